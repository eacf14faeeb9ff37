//! The same apps, unchanged, on each target of `wasocket build --target`. All targets have to pass the same table
//! of behaviours, except what each of them lists as impossible, with the reason.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod grip;
mod handler;
mod node;
mod server;
mod workers;

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread;

use wasmtime::Engine;
use wasmtime::component::Component;

use support::app_behaviours::{self, Behaviour, CHAT, ECHO, EXCEPTION, JSON, TRAP};
use support::{Site, build_guest, root, wasocket};

/// The tables, by the name of the app.
const APPS: [(&str, &[Behaviour]); 3] = [("echo", ECHO), ("chat", CHAT), ("json", JSON)];

/// The languages in which a crash is an exception.
const EXCEPTIONS: [&str; 3] = ["go", "javascript", "python"];

/// The languages whose apps do not include the protocol.
const LANGUAGES: [&str; 5] = ["rust", "c", "go", "javascript", "python"];

/// The same, and apps in Rust that include the protocol.
const ALL_FORMS: [&str; 6] = ["fused", "rust", "c", "go", "javascript", "python"];

/// A folder for temporary files that programs leave behind, as jco does when it is killed.
fn leftovers() -> PathBuf {
    let folder = root().join("target/tmp/leftovers");
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Checks the apps of a language (`json` exists only in Rust) as a target serves them, except the behaviours that
/// it cannot have, which are listed with the reason.
fn check<S: Deref<Target = Site>>(
    target: &str,
    language: &str,
    cannot: &[(&str, &str)],
    serve: impl Fn(&Path) -> S,
) {
    app_behaviours::build();
    let crashes = if EXCEPTIONS.contains(&language) {
        EXCEPTION
    } else {
        TRAP
    };
    let tables = APPS.map(|(_, table)| table);
    let is_known = |row| {
        let rows = tables.iter().chain(&[TRAP, EXCEPTION]);
        rows.copied().flatten().any(|(name, _)| *name == row)
    };
    for (row, _) in cannot {
        assert!(is_known(*row), "there is no behaviour {row:?}");
    }
    for (app, table) in APPS {
        let component = app_behaviours::component(language, app);
        if component.exists() {
            let site = serve(&component);
            let where_to = format!("{target}, {app} in {language}");
            app_behaviours::run(&where_to, table, &site, cannot);
            if app == "chat" {
                app_behaviours::run(&where_to, crashes, &site, cannot);
            }
            // A third-party client.
            let result = site.serves(&format!("ws-{app}"), "ws");
            result.unwrap_or_else(|output| panic!("{where_to}: {output}"));
        }
    }
}

/// Runs `wasocket compose` on an app's component for a target: the output is a file, or a folder.
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
    // Renamed into place: another test may be reading the previous file.
    let new = out.with_extension(format!("{:?}", thread::current().id()));
    assert_composes(app, target, &new);
    fs::rename(&new, &file).expect("the file is renamed");
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

/// The names of a component's imports, in order, without the types it shares with other components.
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

/// The error says what to do.
#[test]
fn compose_refuses_apps_a_target_cannot_run() {
    const EVENT_FORM: &str = "write it in the event form";
    const HTTP: &str = "it imports wasi:http/outgoing-handler";
    const TCP: &str = "it imports wasi:sockets/tcp-create-socket";
    for (guest, target, reason) in [
        // Nothing could wake an app that waits for a backend.
        ("relay", "server", HTTP),
        ("relay", "node", HTTP),
        ("tunnel", "server", TCP),
        ("tunnel", "node", TCP),
        // An `async fn`, a timer and a raw takeover, which need an instance that lives as long as the connection.
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
