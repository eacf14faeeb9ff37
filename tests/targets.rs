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
use std::process::Output;
use std::thread;

use wasmtime::Engine;
use wasmtime::component::Component;

use apps::{Behaviour, CHAT, ECHO, JSON};
use runner::{Site, build_guest, root, wasocket};

/// The tables, by the name of the app.
const APPS: [(&str, &[Behaviour]); 3] = [("echo", ECHO), ("chat", CHAT), ("json", JSON)];

/// The languages whose apps are there without the protocol.
const LANGUAGES: [&str; 5] = ["rust", "c", "go", "javascript", "python"];

/// The same, and those in Rust that have it in them.
const ALL_FORMS: [&str; 6] = ["fused", "rust", "c", "go", "javascript", "python"];

/// Where programs may leave what they do not clear away, as jco does when it is ended.
fn leftovers() -> PathBuf {
    let folder = root().join("target/tmp/leftovers");
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

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
            let where_to = format!("{target}, {app} in {language}");
            apps::run(&where_to, table, &site, cannot);
            // A client that nobody here wrote.
            let content = site.serves(&format!("ws-{app}"), "ws");
            content.unwrap_or_else(|said| panic!("{where_to}: {said}"));
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
    if let "node" | "workers" = target {
        assert_composes(app, target, &out);
        return out;
    }
    let file = out.with_extension("wasm");
    // At once: another test may be reading the one that is there.
    let new = out.with_extension(format!("{:?}", thread::current().id()));
    assert_composes(app, target, &new);
    fs::rename(&new, &file).expect("it is put in its place");
    file
}

fn assert_composes(app: &Path, target: &str, out: &Path) {
    let output = try_compose(app, target, out);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
}

fn try_compose(app: &Path, target: &str, out: &Path) -> Output {
    wasocket(&["compose", "--target", target, "--output"])
        .args([out, app])
        .output()
        .expect("the program starts")
}

/// The names of what a component imports, in order; but for the types that it has in common with others.
fn imports(component: &Path) -> Vec<String> {
    let engine = Engine::default();
    let component = Component::from_file(&engine, component).expect("a component");
    let component = component.component_type();
    let names = component.imports(&engine).map(|(name, _)| name.to_owned());
    let mut names: Vec<_> = names
        .filter(|name| name != "wasocket:websocket/types@0.1.0")
        .collect();
    names.sort_unstable();
    names
}

/// When it is built, with what to do about it.
#[test]
fn what_a_target_cannot_give_is_refused() {
    const EVENT_FORM: &str = "write it in the event form";
    const HTTP: &str = "it imports wasi:http/outgoing-handler";
    const TCP: &str = "it imports wasi:sockets/tcp-create-socket";
    for (guest, target, reason) in [
        // Nobody could wake those who wait for the outside.
        ("relay", "server", HTTP),
        ("relay", "node", HTTP),
        ("tunnel", "server", TCP),
        ("tunnel", "node", TCP),
        // An `async fn`, a timer, a raw takeover: what lives as long as its connection.
        ("hello", "grip", EVENT_FORM),
        ("hello", "workers", EVENT_FORM),
        ("json-rpc", "grip", EVENT_FORM),
        ("json-rpc", "workers", EVENT_FORM),
        ("hijack", "grip", EVENT_FORM),
        ("hijack", "workers", EVENT_FORM),
    ] {
        let out = root().join("target/targets/refused");
        let output = try_compose(&build_guest(guest, ""), target, &out);
        assert_eq!(output.status.code(), Some(1), "{guest} for {target}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(reason), "{guest} for {target}: {error}");
        assert!(!out.exists(), "{guest} for {target}");
    }
}
