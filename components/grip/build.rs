//! Keeps the component at WASI 0.2.0.
//!
//! The linker of this target has an adapter for WASI 0.1 at hand, and where it has, it raises all imports to
//! the version of that one. There is nothing to adapt here.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo:rustc-link-arg-cdylib=--wasi-adapter=none");
    }
}
