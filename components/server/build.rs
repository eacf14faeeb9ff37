//! Keeps the component at WASI 0.2.0.
//!
//! The linker of this target comes with an adapter for WASI 0.1, and raises all imports to the adapter's version. Here
//! there is nothing to adapt.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo:rustc-link-arg-cdylib=--wasi-adapter=none");
    }
}
