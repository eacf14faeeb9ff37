//! The examples in `deploy/`, as far as they can be tried without an init system and without downloading images.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{Server, Site, TIMEOUT, opening_handshake, root, temporary_folder, wasocket};
use wasocket_host::default_app::DEFAULT_APP;

const PROGRAM: &str = env!("CARGO_BIN_EXE_wasocket");

/// An empty folder for a test.
fn folder(test: &str) -> PathBuf {
    temporary_folder(&format!("deploy-{test}"))
}

fn example(name: &str) -> String {
    fs::read_to_string(root().join("deploy").join(name)).expect("a file of deploy/")
}

/// The command that the service runs.
fn command() -> Vec<String> {
    let unit = example("wasocket.service");
    let mut lines = unit.lines();
    let command = lines.find_map(|line| line.strip_prefix("ExecStart="));
    let words = command.expect("a command").split(' ');
    words.map(str::to_owned).collect()
}

/// The units, with the path of the program under test.
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
    // Unknown keys and values are only warnings.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("wasocket."), "{said}");
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn the_service_has_few_privileges() {
    let folder = folder("rights");
    let [service, _] = units(&folder);
    // From 0, nothing is exposed, to 100.
    let arguments = ["security", "--no-pager", "--offline=yes", "--threshold=15"];
    let output = systemd_analyze(&arguments, &[service]);
    assert!(output.status.success(), "{output:?}");
    fs::remove_dir_all(folder).expect("the folder");
}

/// Runs a program with only the system calls that the service may use.
fn with_the_services_system_calls(program: &str) -> Command {
    // Debian's Python, which has the module `seccomp`.
    let mut command = Command::new("/usr/bin/python3");
    command.arg(root().join("tests/commands/deploy/with_system_calls_of.py"));
    command.arg(root().join("deploy/wasocket.service"));
    command.arg(program);
    command
}

#[test]
fn the_service_needs_only_the_system_calls_it_may_use() {
    // The service does not need `chroot`, which is refused even to root.
    let mut chroot = with_the_services_system_calls("/usr/sbin/chroot");
    let output = chroot.args(["/", "true"]).output().expect("python3");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("Operation not permitted"),
        "python3-seccomp: run tests/setup.sh: {said}"
    );

    let folder = folder("calls");
    fs::write(folder.join("app.wasm"), DEFAULT_APP).expect("a file");
    let mut command = with_the_services_system_calls(PROGRAM);
    command.args(["serve", "app.wasm", "--listen", "127.0.0.1:0"]);
    command.args(["--admin", "127.0.0.1:0", "--workers", "2", "--http2"]);
    command.args(["--allow-host", "*", "--dir", ".::/here"]);
    // It caches the compiled component.
    command.env("XDG_CACHE_HOME", folder.join("cache"));
    let mut server = Server::run(command.current_dir(&folder));
    let mut client = server.websocket("/echo");
    client.assert_echoes("hello");
    assert!(folder.join("cache/wasocket").exists(), "{}", server.log());
    drop(client);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    fs::remove_dir_all(folder).expect("the folder");
}

/// A program, killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if it has exited.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(address: SocketAddr) -> Site {
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(start.elapsed() < TIMEOUT, "the port is closed");
        thread::sleep(Duration::from_millis(20));
    }
    Site::at(address)
}

/// A copy of the config file, for this component, with any free port for the operator.
fn options(folder: &Path, name: &str, component: &str) -> PathBuf {
    let file = folder.join("wasocket.toml");
    let text = example(name);
    let lines = text.lines().map(|line| match line {
        line if line.starts_with("component") => format!("component = \"{component}\""),
        line if line.starts_with("admin") => "admin = '127.0.0.1:0'".to_owned(),
        // In the folder of the file.
        line => line.replace("unix:/run/wasocket/", "unix:"),
    });
    fs::write(&file, lines.collect::<Vec<_>>().join("\n")).expect("a file");
    fs::write(folder.join("app.wasm"), DEFAULT_APP).expect("a file");
    file
}

#[test]
fn the_services_command_serves_systemds_socket() {
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
    client.assert_echoes("hello");
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn the_containerfiles_command_serves_a_precompiled_component() {
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
    client.assert_echoes("hello");
    fs::remove_dir_all(folder).expect("the folder");
}

/// Copies the files of these Debian packages, which are installed here, to a folder for an image.
fn files(folder: &Path, packages: &[&str]) {
    // Skips links to folders, such as /lib, and documentation.
    let script = r#"
        out=$1; shift; mkdir -p "$out/etc" "$out/usr/bin"
        dpkg -L "$@" | sort -u | grep '^/' | grep -v -e '^/usr/share/' -e '^/s\?bin$' -e '^/lib[0-9x]*$' |
        while read -r file; do [ -d "$file" ] && [ ! -h "$file" ] || echo "${file#/}"; done |
        tar --create --directory=/ --no-recursion --files-from=- | tar --extract --directory="$out"
    "#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(folder).args(packages);
    assert!(shell.status().expect("sh runs").success());
}

/// Writes an executable script.
fn script(file: &Path, text: &str) {
    fs::write(file, format!("#!/bin/sh\n{text}\n")).expect("a file");
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).expect("its mode");
}

/// buildah with a storage of its own, which is empty at first, and with settings that work inside a container.
struct Images(PathBuf);

impl Images {
    fn command(&self, command: &str) -> Command {
        let mut buildah = Command::new("buildah");
        buildah.arg("--root").arg(self.0.join("storage"));
        buildah.arg("--runroot").arg(self.0.join("run"));
        buildah.args(["--storage-driver", "vfs", command]);
        buildah.env("BUILDAH_ISOLATION", "chroot");
        buildah
    }

    /// Runs a command; returns its output.
    fn run(&self, command: &str, arguments: &[&str]) -> Result<String, String> {
        let output = self.command(command).args(arguments).output();
        let output = output.map_err(|error| format!("buildah: {error}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stdout) + &text(&output.stderr))
        }
    }

    /// Makes an image of the files in a folder.
    fn of(&self, name: &str, folder: &Path) -> Result<String, String> {
        let container = self.run("from", &["scratch"])?;
        let folder = folder.to_str().expect("UTF-8");
        self.run("copy", &["--quiet", &container, folder, "/"])?;
        self.run("config", &["--env", "PATH=/usr/bin:/bin", &container])?;
        self.run("commit", &["--quiet", "--rm", &container, name])
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        let _ = self.run("rm", &["--all"]);
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Builds all of `deploy/Containerfile`, except that its `cargo build` copies the program under test.
#[test]
fn the_container_is_built_and_serves() {
    let images = Images(folder("image"));
    let folder = images.0.as_path();
    let (base, builder) = (folder.join("base"), folder.join("builder"));
    files(&base, &["libc6", "libgcc-s1"]);
    let shell = ["libc6", "libgcc-s1", "dash", "coreutils"];
    let libraries = [
        "libselinux1",
        "libacl1",
        "libattr1",
        "libgmp10",
        "libpcre2-8-0",
    ];
    files(&builder, &[&shell[..], &libraries].concat());
    script(
        &builder.join("usr/bin/rustup"),
        r#"test "$*" = "target add wasm32-wasip2""#,
    );
    let build = r#"test "$*" = "build --locked --profile dist --workspace --bin wasocket" &&
        mkdir -p target/dist && cp /program target/dist/wasocket"#;
    script(&builder.join("usr/bin/cargo"), build);
    fs::copy(PROGRAM, builder.join("program")).expect("a copy");

    // Some machines cannot build any image.
    let made = images.of("base", &base);
    if let Err(error) = made.and_then(|_| images.of("builder", &builder)) {
        println!("skipped: containers cannot be made here: {error:.300}");
        return;
    }
    let context = folder.join("context");
    fs::create_dir_all(context.join("deploy")).expect("a folder");
    for name in ["Containerfile", "container.toml"] {
        fs::write(context.join("deploy").join(name), example(name)).expect("a file");
    }
    fs::write(context.join("echo.wasm"), DEFAULT_APP).expect("a file");
    let containerfile = context.join("deploy/Containerfile");
    let arguments = [
        "--pull-never",
        "--build-arg=BUILDER=localhost/builder",
        "--build-arg=BASE=localhost/base",
        "--build-arg=APP=echo.wasm",
        "--tag=chat",
        "--file",
    ];
    let mut arguments = arguments.to_vec();
    arguments.push(containerfile.to_str().expect("UTF-8"));
    arguments.push(context.to_str().expect("UTF-8"));
    images.run("build", &arguments).expect("it is built");

    let container = images.run("from", &["--pull-never", "localhost/chat"]);
    let container = container.expect("a container");
    let format = "{{range .OCIv1.Config.Entrypoint}}{{.}} {{end}}";
    let entry = images.run("inspect", &["--format", format, &container]);
    let entry = entry.expect("its entry point");
    let mut run = images.command("run");
    run.args(["--cap-drop", "all", &container, "--"]);
    run.args(entry.split(' ').filter(|word| !word.is_empty()));
    // The container shares the machine's network here.
    run.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let server = Server::run(run.args(["--allow-host", "*"]));
    let mut client = server.websocket("/echo");
    client.assert_echoes("hello");
    server.wait_for_log("loaded options from /etc/wasocket/wasocket.toml");
    assert_eq!(owner_of(server.address).as_deref(), Some("65532"));
}

/// The user that listens on this address (proc_pid_net(5), `tcp`).
fn owner_of(address: SocketAddr) -> Option<String> {
    let sockets = fs::read_to_string("/proc/net/tcp").expect("a table");
    let place = format!(":{:04X}", address.port());
    sockets.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let is_it = columns.get(1)?.ends_with(&place) && columns.get(3) == Some(&"0A");
        is_it.then(|| columns.get(7).map(|uid| (*uid).to_owned()))?
    })
}
