//! The config file, as the running binary reads it.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use support::{Server, temporary_folder, wasocket};

/// A folder for a test, with this config file in it.
fn folder(test: &str, file: &str) -> PathBuf {
    let folder = temporary_folder(&format!("config-{test}"));
    fs::write(folder.join("wasocket.toml"), file).expect("a file in it");
    folder
}

/// The errors of a server that refuses its configuration.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let mut command = wasocket(&["serve"]);
    let output: Output = command
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn the_config_file_in_the_current_folder_is_read_and_logged() {
    let options =
        "listen = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\nallow-host = ['*']\nmax-lifetime = 1\n";
    let folder = folder("here", options);
    let server = Server::run(wasocket(&["serve"]).current_dir(&folder));
    server.wait_for_log("loaded options from wasocket.toml");
    server.wait_for_log("/metrics");
    let mut client = server.websocket("/echo");
    client.assert_echoes("hello");
    // Close code 1012, from --max-lifetime.
    assert_eq!(client.read_exactly(4), b"\x88\x02\x03\xf4");
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn the_command_line_overrides_a_named_config_file() {
    let folder = folder("named", "no such key = 1");
    fs::write(
        folder.join("other.toml"),
        "listen = 'unix:a.sock'\nlog-format = 'json'",
    )
    .expect("a file");
    let other = folder.join("other.toml");
    let other = other.to_str().expect("UTF-8");
    let server = Server::with_options(&["--config", other]);
    server.wait_for_log("{\"level\":\"INFO\",\"message\":\"loaded options from ");
    assert!(!folder.join("a.sock").exists());
    drop(server);
    let problem = refused(&folder, &["--config", "missing.toml"]);
    assert!(
        problem.contains("missing.toml: it cannot be read"),
        "{problem}"
    );
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn an_invalid_config_file_is_reported_and_nothing_is_served() {
    let folder = folder("wrong", "# Mine.\nmax-conections = 500\n");
    assert_eq!(
        refused(&folder, &[]),
        "error: wasocket.toml:2: unknown key `max-conections`: did you mean `max-connections`?\n"
    );
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn a_world_writable_config_file_must_be_named() {
    let folder = folder("shared", "listen = '127.0.0.1:0'\n");
    let file = folder.join("wasocket.toml");
    fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("its owner");
    assert!(refused(&folder, &[]).contains("--config wasocket.toml"));
    let named = ["serve", "--config", "wasocket.toml"];
    drop(Server::run(wasocket(&named).current_dir(&folder)));
    fs::remove_dir_all(folder).expect("the folder");
}
