//! Builds the components that the runner embeds, and leaves them in `OUT_DIR`: `examples/echo`,
//! the app that is served when no other is named (`src/guest/default_app.rs`), `components/client`, which
//! speaks for `wasocket connect` (`src/guest/client.rs`), `components/protocol`, for apps that have none, and
//! the adapters to other places, `components/server` and `components/grip` (`src/guest/compose`).
//!
//! The components are for another target than this crate, which Cargo's own dependencies cannot
//! express yet (artifact dependencies are unstable); so a second Cargo is run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const TARGET: &str = "wasm32-wasip2";

/// Names the folder of the build in this repository: `.cargo/config.toml` sets it, so that the embedded components and
/// those of the tests share what they are made of.
const FOLDER: &str = "WASOCKET_GUESTS";

/// The packages of the components.
const PACKAGES: [&str; 5] = ["echo", "client", "protocol", "server", "grip"];

/// What their build depends on, seen from the workspace.
const SOURCES: [&str; 11] = [
    "src",
    "wit",
    "components/client",
    "components/grip",
    "components/protocol",
    "components/server",
    "examples/echo",
    "host-core",
    "Cargo.toml",
    "Cargo.lock",
    ".cargo/config.toml",
];

fn main() -> Result<(), String> {
    let workspace = directory("CARGO_MANIFEST_DIR")?.join("..");
    let out = directory("OUT_DIR")?;
    for source in SOURCES {
        println!(
            "cargo:rerun-if-changed={}",
            workspace.join(source).display()
        );
    }
    println!("cargo:rerun-if-env-changed={FOLDER}");
    let target_directory = match env::var_os(FOLDER) {
        Some(folder) => folder.into(),
        // `target/debug/build/PACKAGE-HASH/out` becomes `target/debug/embedded`.
        None => out.ancestors().nth(3).unwrap_or(&out).join("embedded"),
    };
    let profile = profile();
    build(&workspace, &target_directory, profile)?;
    for package in PACKAGES {
        let file = format!("{package}.wasm");
        let built = target_directory.join(TARGET).join(profile).join(&file);
        fs::copy(&built, out.join(&file))
            .map_err(|error| format!("cannot copy {}: {error}", built.display()))?;
    }
    Ok(())
}

/// A fast host gets fast components, which take long to link; others get what the tests build.
fn profile() -> &'static str {
    match env::var("OPT_LEVEL").as_deref() {
        Ok("3") => "component",
        _ => "release",
    }
}

fn directory(variable: &str) -> Result<PathBuf, String> {
    env::var_os(variable)
        .map(PathBuf::from)
        .ok_or_else(|| format!("cargo did not set {variable}"))
}

/// Runs Cargo from the workspace, so that its `.cargo/config.toml` applies, and into a directory of
/// its own: the outer Cargo holds the lock of the usual one.
fn build(workspace: &Path, target_directory: &Path, profile: &str) -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(workspace)
        .args(["build", "--profile", profile, "--target", TARGET])
        .args(PACKAGES.iter().flat_map(|package| ["--package", package]))
        .arg("--target-dir")
        .arg(target_directory);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_the_outer_build) {
            command.env_remove(name);
        }
    }
    let status = command
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!(
        "the embedded components did not build (see above). If the target is missing: rustup target add {TARGET}"
    ))
}

/// Whether a variable speaks of the build of this crate: flags for the native target, the wrapper
/// that is Clippy, the profile, the job server. Inherited, they would leak into the component.
fn is_of_the_outer_build(name: &str) -> bool {
    const KEPT: [&str; 2] = ["CARGO_HOME", "CARGO_NET_OFFLINE"];
    const OUTER: [&str; 13] = [
        "RUSTFLAGS",
        "RUSTDOCFLAGS",
        "RUSTC",
        "RUSTDOC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_LINKER",
        "CLIPPY_ARGS",
        "MAKEFLAGS",
        "TARGET",
        "PROFILE",
        "OPT_LEVEL",
        "DEBUG",
    ];
    OUTER.contains(&name) || (name.starts_with("CARGO_") && !KEPT.contains(&name))
}
