//! From nothing to a running app: `wasocket new`, `build`, `check`, `serve --watch`.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use support::{Server, build_guest, root, target_folder, text, wasocket};
use wasocket_host::default_app::DEFAULT_APP;

/// The opcode of a text message (RFC 6455 §5.2).
const TEXT: u8 = 1;

/// An empty folder for a test.
fn folder(test: &str) -> PathBuf {
    target_folder(&format!("start-{test}"))
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = wasocket(arguments);
    let output = sharing_builds(&mut command).current_dir(folder).output();
    output.expect("the program runs")
}

/// So that Cargo does not build once more, for each project, what the tests have built already. Projects in Rust must
/// have other names than their components.
fn sharing_builds(command: &mut Command) -> &mut Command {
    command.env("CARGO_TARGET_DIR", root().join("target/guests"))
}

#[track_caller]
fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The output on stderr, and the exit code.
#[track_caller]
fn fail(folder: &Path, arguments: &[&str]) -> (String, Option<i32>) {
    let output = run(folder, arguments);
    assert!(!output.status.success(), "{arguments:?}: {output:?}");
    let error = String::from_utf8(output.stderr).expect("text");
    (error, output.status.code())
}

/// Goes through a new user's first steps; returns the project.
fn start(language: &str, source: &str, steps: &[&str]) -> PathBuf {
    let folder = folder(language);
    let next = succeed(&folder, &["new", "greeter", "--lang", language]);
    for part in [
        "wasocket build greeter\n",
        "wasocket serve greeter/app.wasm",
        source,
    ] {
        assert!(next.contains(part), "{next}");
    }
    let built = succeed(&folder, &["build", "greeter"]);
    for step in steps {
        assert!(built.contains(&format!("greeter$ {step}")), "{built}");
    }
    let report = succeed(
        &folder,
        &["check", "greeter/app.wasm", "--path", "/", "--quiet"],
    );
    assert!(report.contains(" 0 failed"), "{report}");
    let project = folder.join("greeter");
    talk(&project.join("app.wasm"));
    edit(&project.join(source));
    succeed(&folder, &["build", "greeter"]);
    browse(&project.join("app.wasm"));
    project
}

/// Changes what the app answers to `count`, and what its own test expects.
fn edit(source: &Path) {
    let app = fs::read_to_string(source).expect("the app");
    let mut edited = app.clone();
    for before in ["} messages", "%u messages", "%d messages", "2 messages"] {
        edited = edited.replace(before, &before.replace("messages", "so far"));
    }
    assert_ne!(edited, app);
    fs::write(source, edited).expect("written");
}

/// Opens the project's page in a browser, which runs the script `tests/peers/browser/new-page.mjs`.
fn browse(component: &Path) {
    let server = Server::serving(component, &[]);
    server.assert_serves("new-page", "ws");
}

fn talk(component: &Path) {
    let server = Server::serving(component, &[]);
    let (head, page) = server.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let content_type = head.field("Content-Type");
    assert_eq!(content_type.as_deref(), Some("text/html; charset=utf-8"));
    assert!(
        page.contains("<h1>greeter</h1>") && page.ends_with("</html>\n"),
        "{page}"
    );
    let (head, _) = server.request("GET /other HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(head.status, 404);

    let mut client = server.websocket("/");
    for (sent, received) in [("hello", "hello"), ("", ""), ("count", "3 messages")] {
        client.send(&text(sent));
        assert_eq!(client.read_text(), received);
    }
    // The longest messages that the defaults allow, at once, end no one's connection.
    let longest = "x".repeat(1 << 20);
    let mut clients = [(); 6].map(|()| server.websocket("/"));
    for client in &mut clients {
        client.send_frame(TEXT, longest.as_bytes());
    }
    for client in &mut clients {
        client.assert_frame(TEXT, longest.as_bytes());
    }
    for client in &mut clients {
        client.send(&text("here"));
        assert_eq!(client.read_text(), "here", "{}", server.log());
    }
}

#[test]
fn a_new_rust_project_builds_and_runs() {
    let steps = ["cargo build --release --target wasm32-wasip2", "cp "];
    let project = start("rust", "src/lib.rs", &steps);
    let status = sharing_builds(&mut Command::new(env!("CARGO")))
        .args(["test", "--quiet"])
        .current_dir(&project)
        .status();
    assert!(status.expect("cargo runs").success());
}

#[test]
fn a_new_javascript_project_builds_and_runs() {
    let project = start("js", "app.js", &["npm install", "node build.js"]);
    let again = succeed(&project, &["build"]);
    assert!(again.starts_with("$ node build.js\n"), "{again}");
}

#[test]
fn a_new_python_project_builds_and_runs() {
    let steps = [
        "python3 -m venv",
        ".venv/bin/python -m pip",
        ".venv/bin/componentize-py",
    ];
    let project = start("python", "app.py", &steps);
    let again = succeed(&project, &["build"]);
    assert!(again.starts_with("$ .venv/bin/componentize-py"), "{again}");
}

#[test]
fn a_new_c_project_builds_and_runs() {
    let project = start("c", "app.c", &["(wasocket) componentize"]);
    // `puts` needs an adapter for WASI.
    let source = project.join("app.c");
    let app = fs::read_to_string(&source).expect("the app");
    let app = app.replace(
        "  ++*count;",
        "  ++*count;\n      puts(\"a message\");\n      fflush(stdout);",
    );
    fs::write(&source, app).expect("written");
    succeed(&project, &["build"]);
    let server = Server::serving(&project.join("app.wasm"), &[]);
    server.websocket("/").send(&text("hello"));
    server.wait_for_log("a message");
}

#[test]
fn a_new_go_project_builds_and_runs() {
    let steps = ["env GOOS=wasip1 GOARCH=wasm ", "(wasocket) componentize"];
    let project = start("go", "app.go", &steps);
    // Go's message about a panic is logged.
    let source = project.join("app.go");
    let app = fs::read_to_string(&source).expect("the app");
    let app = app.replace("*count++", "*count /= *count");
    fs::write(&source, app).expect("written");
    succeed(&project, &["build"]);
    let server = Server::serving(&project.join("app.wasm"), &[]);
    server.websocket("/").send(&text("hello"));
    server.wait_for_log("panic: runtime error: integer divide by zero");
    server.wait_for_log("example/greeter/app.go:");
}

#[test]
fn a_failed_build_is_reported() {
    let folder = folder("broken");
    succeed(&folder, &["new", "greeter"]);
    fs::write(folder.join("greeter/src/lib.rs"), "fn\n").expect("written");
    let (error, code) = fail(&folder, &["build", "greeter"]);
    assert!(
        error.ends_with("error: cargo failed: see above\n"),
        "{error}"
    );
    assert_eq!(code, Some(1));
}

#[test]
fn unusable_names_are_refused() {
    let folder = folder("names");
    for name in ["", "Hello", "1a", "a b", "fn", "wasocket", "a/.."] {
        let (error, code) = fail(&folder, &["new", name]);
        assert_eq!(code, Some(2), "{name}: {error}");
    }
    let (error, code) = fail(&folder, &["new", "nowhere/hello"]);
    assert!(
        error.starts_with("error: cannot create nowhere/hello: "),
        "{error}"
    );
    assert_eq!(code, Some(1));
    let (error, _) = fail(&folder, &["new", "Hello"]);
    assert!(
        error.contains("a name begins with a letter from a to z"),
        "{error}"
    );
    assert_eq!(
        fail(&folder, &["new", "hello", "--lang", "cobol"]).1,
        Some(2)
    );
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 0);
}

#[test]
fn an_existing_folder_is_left_alone() {
    let folder = folder("exists");
    fs::create_dir(folder.join("hello")).expect("a folder");
    let (error, code) = fail(&folder, &["new", "hello", "--lang", "c"]);
    assert_eq!(error, "error: hello exists already: choose another name\n");
    assert_eq!(code, Some(1));
    assert_eq!(
        fs::read_dir(folder.join("hello"))
            .expect("a folder")
            .count(),
        0
    );
}

#[test]
fn the_checkout_must_be_this_repository() {
    let folder = folder("checkout");
    let (error, code) = fail(&folder, &["new", "hello", "--wasocket", "."]);
    assert_eq!(
        error,
        "error: . is not a checkout of Wasocket's repository\n"
    );
    assert_eq!(code, Some(1));
    assert!(!folder.join("hello").exists());
}

#[test]
fn build_refuses_a_folder_without_a_project() {
    let folder = folder("nothing");
    let (error, code) = fail(&folder, &["build"]);
    assert!(error.contains("`wasocket new NAME` creates one"), "{error}");
    assert_eq!(code, Some(1));
}

#[test]
fn missing_tools_are_named_with_how_to_install_them() {
    let folder = folder("tools");
    for (language, hint) in [
        ("rust", "error: cargo is missing. To install it: rustup"),
        (
            "js",
            "error: node, version 20 or later, is missing. To install it: from https://nodejs.org",
        ),
        (
            "python",
            "error: python3, version 3.10 or later, is missing. To install it: apt-get install python3",
        ),
        (
            "c",
            "error: a C compiler for WebAssembly is missing. To install it: apt-get install python3-venv",
        ),
        (
            "go",
            "error: go, version 1.24 or later, is missing. To install it: from https://go.dev/dl",
        ),
    ] {
        succeed(&folder, &["new", language, "--lang", language]);
        assert_misses(&folder, language, hint);
    }
    program(&folder, "node", "exit 0");
    assert_misses(&folder, "js", "error: npm is missing");
    program(&folder, "cargo", "exit 0");
    program(&folder, "rustc", "echo /nowhere");
    assert_misses(
        &folder,
        "rust",
        "wasm32-wasip2 is missing. To install it: rustup target add wasm32-wasip2",
    );
    program(
        &folder,
        "python3",
        "case \"$2\" in *ensurepip*) exit 1;; esac",
    );
    assert_misses(
        &folder,
        "python",
        "error: the Python module venv is missing",
    );
}

/// Builds with only the test's own programs on the PATH.
#[track_caller]
fn assert_misses(folder: &Path, project: &str, hint: &str) {
    let mut build = wasocket(&["build", project]);
    build.current_dir(folder).env("PATH", folder.join("bin"));
    let output = build
        .env_remove("WASI_SDK_PATH")
        .output()
        .expect("the program runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains(hint), "{error}");
    assert_eq!(output.status.code(), Some(1));
}

fn program(folder: &Path, name: &str, script: &str) {
    let file = folder.join("bin").join(name);
    fs::create_dir_all(folder.join("bin")).expect("a folder");
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("a program");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("executable");
}

#[test]
fn a_watched_file_is_reloaded_when_it_changes() {
    let file = folder("watch").join("app.wasm");
    fs::write(&file, DEFAULT_APP).expect("written");
    let server = Server::serving(
        &file,
        &["--watch", "--swap-grace", "0", "--swap-refused", "close"],
    );
    let mut old = server.websocket("/echo");
    assert_eq!(status(&server), 200);

    let other = fs::read(build_guest("portable-echo", "")).expect("a component");
    fs::write(&file, &other).expect("written");
    server.wait_for_log("the new version is served connections=1");
    assert_eq!(old.read_exactly(4), CLOSE_1012);
    assert_eq!(status(&server), 404, "it has no page");

    // A broken file and a missing one change nothing.
    let mut kept = server.websocket("/");
    fs::write(&file, b"\0asm\x0d\0\x01\0broken").expect("written");
    server.wait_for_log("the previous one still is: it is not a valid component");
    // Saved again, and as broken as before.
    fs::write(&file, b"\0asm\x0d\0\x01\0broken").expect("written");
    thread::sleep(Duration::from_secs(1));
    fs::remove_file(&file).expect("removed");
    kept.assert_echoes("hello");

    fs::write(&file, DEFAULT_APP).expect("written");
    assert_eq!(kept.read_exactly(4), CLOSE_1012);
    assert_eq!(status(&server), 200);
    let log = server.log();
    assert_eq!(log.matches("cannot be served").count(), 1, "{log}");
}

const CLOSE_1012: [u8; 4] = [0x88, 2, 0x03, 0xf4];

fn status(server: &Server) -> u16 {
    let (head, _) = server.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    head.status
}

#[test]
fn watching_needs_a_file() {
    assert_eq!(fail(&folder("no-file"), &["serve", "--watch"]).1, Some(2));
}
