//! `wasocket compile`, and serving precompiled components.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::fs::{self, Permissions};
use std::io::{Read as _, pipe};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Server, temporary_folder, wasocket, with_small_disk};
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

/// ENOSPC.
#[test]
fn a_full_disk_is_named_and_keeps_nothing() {
    let (folder, _) = compiled("full");
    let disk = folder.join("disk");
    fs::create_dir(&disk).expect("a folder");
    let own = wasocket(&["compile"]);
    let mut command = Command::new("sh");
    command
        .args(["-c", r#""$@"; code=$?; ls -A "$0"; exit $code"#])
        .arg(&disk)
        .arg(own.get_program())
        .arg("compile")
        .arg(folder.join("app.wasm"))
        .arg("--output")
        .arg(disk.join("app.compiled"));
    if let Some(mut command) = with_small_disk(&command, &disk, 64) {
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("app.compiled: No space left on device"),
            "{said}"
        );
        assert!(output.stdout.is_empty(), "it left {output:?}");
    }
    fs::remove_dir_all(folder).expect("the folder");
}

/// A device is written to: root could replace it by a file.
#[test]
fn a_device_stays_one() {
    let (folder, _) = compiled("device");
    let mut command = wasocket(&["compile", "--output", "/dev/full"]);
    let output = command.arg(folder.join("app.wasm")).output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("/dev/full: No space left on device"),
        "{said}"
    );
    let metadata = fs::metadata("/dev/full").expect("it is there");
    assert!(metadata.file_type().is_char_device());
    fs::remove_dir_all(folder).expect("the folder");
}

/// EPIPE.
#[test]
fn a_compiled_component_may_go_to_a_pipe() {
    let (folder, file) = compiled("pipe");
    let compile = || {
        let mut command = wasocket(&["compile", "--output", "/dev/stdout"]);
        command.arg(folder.join("app.wasm"));
        command
    };
    let output = compile().output().expect("it runs");
    assert_eq!(output.stdout, fs::read(file).expect("compiled before"));
    let (mut reader, writer) = pipe().expect("a pipe");
    let mut command = compile();
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn();
    drop(command);
    let mut byte = [0];
    reader.read_exact(&mut byte).expect("its beginning");
    drop(reader);
    let output = child.expect("it runs").wait_with_output();
    let output = output.expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("/dev/stdout: Broken pipe"), "{said}");
    fs::remove_dir_all(folder).expect("the folder");
}
