//! File access of components: granted directories, and nothing else.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use support::{Client, Server, build_guest, temporary_folder, text, wasocket};

/// A Close frame with code 1011: the final bytes.
const FINAL_BYTES: &[u8] = b"\x88\x02\x03\xf3";

/// A new folder for a test, with data to grant, in which a link leads outside.
fn folder(test: &str) -> PathBuf {
    let folder = temporary_folder(&format!("files-{test}"));
    fs::create_dir_all(folder.join("data/deep")).expect("a folder in it");
    fs::write(folder.join("secret"), "outside").expect("a file");
    fs::write(folder.join("data/file"), "inside").expect("a file");
    fs::write(folder.join("data/deep/large"), vec![b'a'; 300_000]).expect("a file");
    symlink("../secret", folder.join("data/link")).expect("a link");
    folder
}

/// Serves a component that is granted the folder's data, for reading or with these permissions.
fn server(folder: &Path, permissions: &str) -> Server {
    let dir = format!("{}::/data{permissions}", folder.join("data").display());
    Server::serving(&build_guest("files", ""), &["--dir", &dir])
}

/// Makes a named pipe in the folder's data.
fn make_pipe(folder: &Path) -> PathBuf {
    let pipe = folder.join("data/pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    pipe
}

fn ask(client: &mut Client, command: &str) -> String {
    client.send(&text(command));
    client.read_text()
}

#[test]
fn only_granted_directories_are_readable() {
    let folder = folder("read");
    let server = server(&folder, "");
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
    // All in one instance: none of the calls was a fault.
    assert_eq!(ask(&mut client, "read /data/file"), "inside");
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn only_directories_granted_for_writing_are_writable() {
    let folder = folder("write");
    let server = server(&folder, "::rw");
    let (mut client, mut other) = (server.websocket("/"), server.websocket("/"));
    for (command, expected) in [
        ("write /data/file changed", "written"),
        ("append /data/file  twice", "appended"),
        ("read /data/file", "changed twice"),
        ("write /data/new made", "written"),
        ("fill /data/deep/large 2000", "filled"),
        ("size /data/deep/large", "2000000"),
        ("make /data/more", "made"),
        ("rename /data/new /data/more/new", "renamed"),
        ("remove /data/deep/large", "removed"),
        ("list /data", "deep file link more"),
    ] {
        assert_eq!(ask(&mut client, command), expected, "{command}");
        assert_eq!(
            ask(&mut other, "list /data/deep/.."),
            ask(&mut client, "list /data")
        );
    }
    for command in [
        "write /data/link changed",
        "append /data/link changed",
        "write /data/../secret changed",
        "rename /data/file /data/../file",
        "remove /data/../secret",
        "write /new changed",
    ] {
        let said = ask(&mut client, command);
        assert!(said.starts_with("error: "), "{command}: {said}");
    }
    let content = |path| fs::read_to_string(folder.join(path)).expect("it is there");
    assert_eq!(content("data/file"), "changed twice");
    assert_eq!(content("data/more/new"), "made");
    assert_eq!(content("secret"), "outside");
    assert!(!folder.join("data/deep/large").exists());
    fs::remove_dir_all(folder).expect("the folder");
}

/// The other end of the pipe is never opened.
#[test]
fn waiting_for_a_file_is_limited_and_delays_no_other_call() {
    let folder = folder("pipe");
    make_pipe(&folder);
    let dir = format!("{}::/data", folder.join("data").display());
    let options = [
        "--dir",
        &dir,
        "--connections-per-instance",
        "1",
        "--file-timeout",
        "2000",
    ];
    let mut server = Server::serving(&build_guest("files", ""), &options);
    let (mut client, mut other) = (server.websocket("/"), server.websocket("/"));
    client.send(&text("read /data/pipe"));
    for _ in 0..100 {
        assert_eq!(ask(&mut other, "read /data/file"), "inside");
    }
    assert!(client.has_nothing_to_read(), "the other was served first");
    assert_eq!(client.read_to_end(), FINAL_BYTES);
    server.wait_for_log("the guest waited for files for more than 2000 ms inside a call");
    assert_eq!(ask(&mut other, "read /data/file"), "inside");
    // The thread that opens the pipe still waits; the runner exits without it.
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    fs::remove_dir_all(folder).expect("the folder");
}

/// Opening a named pipe takes until its other end is opened: here, each time, longer than a call may compute.
#[test]
fn time_spent_waiting_for_files_is_not_call_time() {
    const TIMES: usize = 3;
    let folder = folder("slow");
    let pipe = make_pipe(&folder);
    let server = server(&folder, "");
    let mut client = server.websocket("/");
    let other_end = thread::spawn(move || {
        for _ in 0..TIMES {
            thread::sleep(Duration::from_millis(400));
            File::options().write(true).open(&pipe).expect("a reader");
        }
    });
    assert_eq!(ask(&mut client, "open /data/pipe 3"), "opened");
    other_end.join().expect("it is opened");
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn nothing_is_granted_by_default() {
    let server = Server::serving(&build_guest("files", ""), &[]);
    let mut client = server.websocket("/");
    for command in ["read /etc/passwd", "list /", "list .", "write /tmp/a b"] {
        let said = ask(&mut client, command);
        assert!(said.starts_with("error: "), "{command}: {said}");
    }
}

#[test]
fn a_missing_directory_is_reported() {
    let mut command = wasocket(&["serve", "--dir", "/no/such::/data"]);
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot mount /no/such (--dir)"), "{said}");
}
