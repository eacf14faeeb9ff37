//! The examples of `deploy/`: as far as that can be tried without an init system and without images.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod runner;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use runner::{PATIENCE, Server, Site, opening_handshake, root, text, wasocket};
use wasocket_host::default_app::DEFAULT_APP;

const PROGRAM: &str = env!("CARGO_BIN_EXE_wasocket");

/// A folder for one test.
fn folder(test: &str) -> PathBuf {
    let folder =
        std::env::temp_dir().join(format!("wasocket-deploy-{}-{test}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).expect("a new folder");
    folder
}

fn example(name: &str) -> String {
    fs::read_to_string(root().join("deploy").join(name)).expect("a file of deploy/")
}

/// What the service runs.
fn command() -> Vec<String> {
    let unit = example("wasocket.service");
    let mut lines = unit.lines();
    let command = lines.find_map(|line| line.strip_prefix("ExecStart="));
    let words = command.expect("a command").split(' ');
    words.map(str::to_owned).collect()
}

/// The units, with the program that is there.
fn units(folder: &Path) -> [PathBuf; 2] {
    let service = example("wasocket.service").replace(&command()[0], PROGRAM);
    let units = ["wasocket.service", "wasocket.socket"].map(|name| folder.join(name));
    fs::write(&units[0], service).expect("a unit");
    fs::write(&units[1], example("wasocket.socket")).expect("a unit");
    units
}

fn systemd_analyze(arguments: &[&str], units: &[PathBuf]) -> Output {
    let mut command = Command::new("systemd-analyze");
    let output = command.args(arguments).args(units).output();
    output.expect("systemd-analyze: run tests/setup.sh")
}

#[test]
fn the_units_are_valid() {
    let folder = folder("units");
    let output = systemd_analyze(&["verify", "--man=no"], &units(&folder));
    assert!(output.status.success(), "{output:?}");
    // A key or a value that it does not know is only said.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("wasocket."), "{said}");
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn the_service_has_few_rights() {
    let folder = folder("rights");
    let [service, _] = units(&folder);
    // From 0, nothing can be reached, to 100.
    let arguments = ["security", "--no-pager", "--offline=yes", "--threshold=15"];
    let output = systemd_analyze(&arguments, &[service]);
    assert!(output.status.success(), "{output:?}");
    fs::remove_dir_all(folder).expect("the folder");
}

/// A program, killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Unless it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(address: SocketAddr) -> Site {
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(start.elapsed() < PATIENCE, "nobody listens");
        thread::sleep(Duration::from_millis(20));
    }
    Site::at(address)
}

/// A copy of the file, for this component and without a port of its own for the operator.
fn options(folder: &Path, name: &str, component: &str) -> PathBuf {
    let file = folder.join("wasocket.toml");
    let text = example(name);
    let lines = text.lines().map(|line| match line {
        line if line.starts_with("component") => format!("component = \"{component}\""),
        line if line.starts_with("admin") => "admin = '127.0.0.1:0'".to_owned(),
        line => line.to_owned(),
    });
    fs::write(&file, lines.collect::<Vec<_>>().join("\n")).expect("a file");
    fs::write(folder.join("app.wasm"), DEFAULT_APP).expect("a file");
    file
}

#[test]
fn the_service_s_command_serves_the_socket_of_systemd() {
    let folder = folder("activated");
    let file = options(&folder, "wasocket.toml", "app.wasm");
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("bound");
    drop(free);
    let words = command();
    let child = Command::new("systemd-socket-activate")
        .args(["--listen", &address.to_string(), PROGRAM])
        .args(&words[1..words.len() - 1])
        .arg(&file)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _running = Running(child.expect("systemd-socket-activate: run tests/setup.sh"));
    let mut client = wait_for(address).connect();
    let handshake = String::from_utf8(opening_handshake("/echo")).expect("text");
    let host = handshake.lines().find(|line| line.starts_with("Host: "));
    let host = host.expect("a host");
    client.send(handshake.replace(host, "Host: chat.example").as_bytes());
    assert_eq!(client.read_head().status, 101);
    client.send(&text("hello"));
    assert_eq!(client.read_text(), "hello");
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn the_container_s_file_serves_what_was_compiled() {
    let folder = folder("container");
    let file = options(&folder, "container.toml", "app.compiled");
    let mut compile = wasocket(&["compile"]);
    let output = compile
        .arg(folder.join("app.wasm"))
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let file = file.to_str().expect("UTF-8");
    let containerfile = example("Containerfile");
    assert!(
        containerfile.contains(r#"ENTRYPOINT ["/usr/local/bin/wasocket", "serve", "--config", "#)
    );
    let mut command = wasocket(&["serve", "--config", file]);
    let server = Server::run(command.args(["--listen", "127.0.0.1:0", "--allow-host", "*"]));
    let mut client = server.websocket("/echo");
    client.send(&text("hello"));
    assert_eq!(client.read_text(), "hello");
    fs::remove_dir_all(folder).expect("the folder");
}
