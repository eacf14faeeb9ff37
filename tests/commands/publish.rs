//! Topics from outside: the admin endpoint's pages, and `wasocket publish`.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use support::operator::admin;
use support::{Server, Site, temporary_folder, wasocket};

const TOKEN: &str = "a-token-for-the-tests";

/// Sends a request to an admin endpoint. Returns the status and the body.
fn ask(admin: &Site, method: &str, path: &str, fields: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Length: {length}\r\n{fields}\r\n{body}"
    );
    let (head, body) = admin.request(&request);
    (head.status, body)
}

const TEXT: &str = "Content-Type: text/plain\r\n";

fn publish(arguments: &[&str], stdin: &[u8]) -> Output {
    let mut command = wasocket(&["publish"]);
    command.args(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut input = child.stdin.take().expect("a pipe");
    // It may have ended without reading.
    let _ = input.write_all(stdin);
    drop(input);
    child.wait_with_output().expect("it ends")
}

#[test]
fn a_local_client_may_publish() {
    let server = Server::with_options(&["--admin", "127.0.0.1:0"]);
    let admin = admin(&server);
    for (fields, body) in [
        (TEXT, "hello"),
        ("Content-Type: application/json\r\n", "{}"),
        ("Content-Type: application/octet-stream\r\n", "\0"),
        (TEXT, ""),
    ] {
        let (status, said) = ask(&admin, "POST", "/topics/a/b%20c", fields, body);
        assert_eq!((status, &*said), (202, "published\n"), "{fields}");
    }
    assert_eq!(ask(&admin, "GET", "/topics", "", "").0, 200);
    let (status, page) = ask(&admin, "GET", "/topics/a", "", "");
    assert_eq!(status, 200, "{page}");
    let page: Value = serde_json::from_str(&page).expect("JSON");
    assert_eq!(page["subscribers"], 0);
    assert_eq!(
        page["members"],
        json!({ "count": 0, "list": [], "here_only": false })
    );
}

#[test]
fn what_cannot_be_published_is_refused_with_the_reason() {
    let server = Server::with_options(&["--admin", "127.0.0.1:0"]);
    let admin = admin(&server);
    let long = "x".repeat((1 << 20) + 1);
    let name = format!("/topics/{}", "x".repeat(129));
    for (method, path, fields, body, expected, reason) in [
        ("POST", "/topics/a", "", "x", 415, "Content-Type"),
        (
            "POST",
            "/topics/a",
            "Content-Type: image/png\r\n",
            "x",
            415,
            "octet-stream",
        ),
        ("POST", "/topics/a", TEXT, &*long, 413, "1048576"),
        ("POST", &*name, TEXT, "x", 400, "128"),
        ("POST", "/topics/%ff", TEXT, "x", 400, "UTF-8"),
        ("POST", "/topics", TEXT, "x", 405, "GET"),
        ("DELETE", "/topics/a", "", "", 405, "POST"),
        ("POST", "/metrics", TEXT, "x", 405, "GET"),
        ("GET", "/topics?limit=0", "", "", 400, "1000"),
        ("GET", "/topicsy", "", "", 404, "/topics"),
    ] {
        let (status, said) = ask(&admin, method, path, fields, body);
        assert_eq!(status, expected, "{method} {path:.20}: {said}");
        assert!(said.contains(reason), "{method} {path:.20}: {said}");
    }
}

#[test]
fn pages_in_a_browser_may_not_publish() {
    let server = Server::with_options(&["--admin", "127.0.0.1:0"]);
    let admin = admin(&server);
    let fields = format!("{TEXT}Origin: https://evil.example\r\n");
    let (status, said) = ask(&admin, "POST", "/topics/a", &fields, "x");
    assert_eq!(status, 403, "{said}");
    let (status, said) = ask(&admin, "POST", "/component", &fields, "app.wasm");
    assert_eq!(status, 403, "{said}");
    let request = "GET /topics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(admin.request(request).0.status, 403);
}

#[test]
fn elsewhere_a_token_is_needed() {
    let server = Server::with_options(&["--admin", "0.0.0.0:0"]);
    let open = admin(&server);
    let (status, said) = ask(&open, "GET", "/topics", "", "");
    assert_eq!(status, 403);
    assert!(said.contains("--admin-token-file"), "{said}");
    assert_eq!(ask(&open, "POST", "/component", "", "app.wasm").0, 403);
    // What monitoring needs stays open.
    assert_eq!(ask(&open, "GET", "/readyz", "", "").0, 200);

    let folder = temporary_folder("publish-token");
    let file = folder.join("token");
    fs::write(&file, format!("{TOKEN}\n")).expect("a file");
    let path = file.to_str().expect("text");
    let server = Server::with_options(&["--admin", "0.0.0.0:0", "--admin-token-file", path]);
    let closed = admin(&server);
    for (fields, expected) in [
        (String::new(), 401),
        ("Authorization: Bearer wrong\r\n".to_owned(), 401),
        (format!("Authorization: Bearer {TOKEN}\r\n"), 200),
    ] {
        assert_eq!(
            ask(&closed, "GET", "/topics", &fields, "").0,
            expected,
            "{fields}"
        );
        // A body without a type is refused.
        let expected = if expected == 200 { 415 } else { expected };
        assert_eq!(ask(&closed, "POST", "/component", &fields, "x").0, expected);
    }
    let url = format!("http://127.0.0.1:{}", closed.address.port());
    let refused = publish(&[&url, "a", "hello"], b"");
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("--token-file"), "{said}");
    let done = publish(&[&url, "a", "hello", "--token-file", path], b"");
    assert!(done.status.success(), "{done:?}");
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn a_short_token_is_refused_at_the_start() {
    let folder = temporary_folder("publish-short");
    let file = folder.join("token");
    fs::write(&file, "short").expect("a file");
    let path = file.to_str().expect("text");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let mut command = wasocket(&arguments);
    let output = command
        .args(["--admin-token-file", path])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("at least 16"), "{said}");
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn a_unix_socket_needs_no_token() {
    let folder = temporary_folder("publish-unix");
    let path = folder.join("admin.sock");
    let place = format!("unix:{}", path.display());
    let mut server = Server::with_options(&["--admin", &place]);
    server.wait_for_log("/metrics");
    let mut stream = UnixStream::connect(&path).expect("a listener");
    let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request).expect("it reads");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("text");
    assert!(page.contains("wasocket_connections_total"), "{page}");
    let done = publish(&[&place, "odd/ t\u{f6}pic?"], b"from stdin");
    assert!(done.status.success(), "{done:?}");
    let lines = publish(&[&place, "a", "--lines"], b"one\ntwo\n");
    assert!(lines.status.success(), "{lines:?}");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    assert!(!path.exists());
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn a_wrong_server_is_explained() {
    let server = Server::with_options(&[]);
    let url = format!("http://{}", server.address);
    let output = publish(&[&url, "a", "hello"], b"");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--admin"), "{said}");
    let output = publish(&["unix:/nowhere/admin.sock", "a", "hello"], b"");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--admin"), "{said}");
    assert_eq!(publish(&["nonsense", "a"], b"").status.code(), Some(2));
}
