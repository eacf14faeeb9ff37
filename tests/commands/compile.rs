//! `wasocket compile`, and serving precompiled components.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use support::{Server, temporary_folder, wasocket};
use wasocket_host::default_app::DEFAULT_APP;

/// A folder for a test with a compiled app, and the compiled file.
fn compiled(test: &str) -> (PathBuf, PathBuf) {
    let folder = temporary_folder(&format!("compile-{test}"));
    let app = folder.join("app.wasm");
    fs::write(&app, DEFAULT_APP).expect("a file in it");
    let output = wasocket(&["compile"]).arg(&app).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("app.compiled: "), "{said}");
    let file = folder.join("app.compiled");
    assert!(file.exists());
    (folder, file)
}

/// The errors of a server that refuses this file.
fn refused(file: &Path, options: &[&str]) -> String {
    let mut command = wasocket(&["serve", "--listen", "127.0.0.1:0"]);
    let output = command.arg(file).args(options).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn a_precompiled_component_is_served() {
    let (folder, file) = compiled("served");
    let server = Server::serving(&file, &["--allow-precompiled"]);
    let mut client = server.websocket("/echo");
    client.assert_echoes("hello");
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn a_precompiled_component_needs_permission_to_run() {
    let (folder, file) = compiled("refused");
    assert!(refused(&file, &[]).contains("--allow-precompiled"));
    fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("its owner");
    assert!(refused(&file, &["--allow-precompiled"]).contains("chmod go-w"));
    let output = wasocket(&["check"]).arg(&file).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn a_damaged_file_is_refused() {
    let (folder, file) = compiled("damaged");
    let mut bytes = fs::read(&file).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(&file, &bytes).expect("its owner");
    assert!(refused(&file, &["--allow-precompiled"]).contains("it is damaged"));
    bytes.truncate(20);
    fs::write(&file, &bytes).expect("its owner");
    assert!(refused(&file, &["--allow-precompiled"]).contains("it is damaged"));
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn a_component_that_cannot_be_served_is_not_compiled() {
    let (folder, file) = compiled("nothing");
    fs::write(folder.join("no.wasm"), "no component").expect("a file");
    let mut command = wasocket(&["compile"]);
    let output = command
        .arg(folder.join("no.wasm"))
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!folder.join("no.compiled").exists());
    // Neither is a file that is compiled already.
    let output = wasocket(&["compile"]).arg(&file).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    fs::remove_dir_all(folder).expect("the folder");
}
