//! Directories that a component is granted, and all else that it is not.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod runner;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use runner::{Client, Server, build_guest, text, wasocket};

/// A new folder, with a file of this content and a way out in it.
fn folder(test: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("wasocket-files-{}-{test}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("data/deep")).expect("a new folder");
    fs::write(folder.join("secret"), "outside").expect("a file");
    fs::write(folder.join("data/file"), "inside").expect("a file");
    fs::write(folder.join("data/deep/large"), vec![b'a'; 300_000]).expect("a file");
    symlink("../secret", folder.join("data/link")).expect("a link");
    folder
}

fn ask(client: &mut Client, command: &str) -> String {
    client.send(&text(command));
    client.read_text()
}

#[test]
fn what_is_granted_can_be_read_and_nothing_else() {
    let folder = folder("read");
    let dir = format!("{}::/data", folder.join("data").display());
    let server = Server::of(&build_guest("files", ""), &["--dir", &dir]);
    let mut client = server.websocket("/");
    for (command, expected) in [
        ("read /data/file", "inside"),
        ("size /data/deep/large", "300000"),
        ("list /data", "deep file link"),
        ("read /data/deep/../file", "inside"),
        ("read /data/missing", "error: NotFound"),
    ] {
        assert_eq!(ask(&mut client, command), expected, "{command}");
    }
    for command in [
        "read /data/link",
        "read /data/../secret",
        "read /etc/passwd",
        "list /",
        "write /data/file changed",
        "write /data/new changed",
        "remove /data/file",
    ] {
        let said = ask(&mut client, command);
        assert!(said.starts_with("error: "), "{command}: {said}");
    }
    assert_eq!(
        fs::read(folder.join("data/file")).expect("still there"),
        b"inside"
    );
    assert!(!folder.join("data/new").exists());
    // All in one instance, and no call was a fault.
    assert_eq!(ask(&mut client, "read /data/file"), "inside");
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn nothing_is_granted_by_default() {
    let server = Server::of(&build_guest("files", ""), &[]);
    let mut client = server.websocket("/");
    for command in ["read /etc/passwd", "list /", "list .", "write /tmp/a b"] {
        let said = ask(&mut client, command);
        assert!(said.starts_with("error: "), "{command}: {said}");
    }
}

#[test]
fn a_directory_that_is_not_there_is_said() {
    let mut command = wasocket(&["serve", "--dir", "/no/such::/data"]);
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("cannot give /no/such to the app (--dir)"),
        "{said}"
    );
}
