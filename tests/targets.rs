//! The same apps, unchanged, through each target that they can be built for: `wasocket build --target`. What a
//! target cannot do is listed with it, and why; all else is the table that every target has to pass.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod apps;
mod hosts;
mod runner;

#[path = "targets/grip.rs"]
mod grip;
#[path = "targets/handler.rs"]
mod handler;
#[path = "targets/node.rs"]
mod node;
#[path = "targets/server.rs"]
mod server;
#[path = "targets/workers.rs"]
mod workers;

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use apps::{Behaviour, CHAT, ECHO, JSON};
use runner::{Site, root, wasocket};

/// The tables, by the name of the app.
const APPS: [(&str, &[Behaviour]); 3] = [("echo", ECHO), ("chat", CHAT), ("json", JSON)];

/// Runs the apps of a language (`json` is there in Rust only) as a target serves them, but those behaviours
/// that it cannot have: each with the reason.
fn check<S: Deref<Target = Site>>(
    target: &str,
    language: &str,
    cannot: &[(&str, &str)],
    serve: impl Fn(&Path) -> S,
) {
    apps::build();
    let is_known = |row| {
        APPS.iter()
            .any(|(_, table)| table.iter().any(|(name, _)| *name == row))
    };
    for (row, _) in cannot {
        assert!(is_known(*row), "there is no behaviour {row:?}");
    }
    for (app, table) in APPS {
        let component = apps::component(language, app);
        if component.exists() {
            let site = serve(&component);
            apps::run(
                &format!("{target}, {app} in {language}"),
                table,
                &site,
                cannot,
            );
        }
    }
}

/// What `wasocket compose` makes of the component of an app for a target: a file, or a folder.
fn compose(app: &Path, target: &str) -> PathBuf {
    let name = app
        .file_stem()
        .and_then(|name| name.to_str())
        .expect("a name");
    let folder = root().join("target/targets");
    fs::create_dir_all(&folder).expect("the folder can be made");
    let out = folder.join(format!("{name}-{target}"));
    let out = match target {
        "node" | "workers" => out,
        _ => out.with_extension("wasm"),
    };
    let output = wasocket(&["compose", "--target", target, "--output"])
        .args([&out, app])
        .output()
        .expect("the program starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    out
}
