//! The servers to compare: how to start each, its description, and its requirements.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Result;
use crate::process::{pin, pin_to, which};

/// The reference, with which all others are compared.
pub const REFERENCE: &str = "wasocket";

/// The protocol's default limit.
const MIB: usize = 1 << 20;

/// The limit of servers that have none of that order by default, or were given this one.
const MAX_MESSAGE: usize = 16 << 20;

/// A kind of server.
pub struct Kind {
    /// Its name in options and tables.
    pub name: &'static str,
    /// Its description.
    pub what: &'static str,
    /// Whether it supports permessage-deflate.
    pub deflates: bool,
    /// The longest message that it accepts, in bytes.
    pub max_message: usize,
    command: fn(&Places) -> Result<Command>,
    version: fn(&Places) -> Option<String>,
}

/// The paths of everything.
pub struct Places {
    /// The repository.
    pub root: PathBuf,
    /// The program `wasocket`.
    pub wasocket: PathBuf,
    /// The build folder of the benchmark.
    pub built: PathBuf,
}

impl Places {
    /// The file for the report of a command.
    pub fn report(&self, name: &str) -> PathBuf {
        self.built.join(format!("{name}.json"))
    }
}

/// All kinds, in the order of the tables.
pub const KINDS: &[Kind] = &[
    Kind {
        name: REFERENCE,
        what: "`wasocket serve`, the embedded echo: app and protocol in one component",
        deflates: true,
        max_message: MIB,
        command: |places| Ok(serve(places, &[])),
        version: |_| None,
    },
    Kind {
        name: "composed",
        what: "`wasocket serve`, the event-form echo: app and protocol composed from two components",
        deflates: false,
        max_message: MIB,
        command: |places| component(places, "portable_echo.wasm", &[]),
        version: |_| None,
    },
    Kind {
        name: "native",
        what: "the same protocol crate without WebAssembly, reading and writing as the runner does",
        deflates: true,
        max_message: MAX_MESSAGE,
        command: |places| peer(places, "native"),
        version: |_| None,
    },
    Kind {
        name: "tungstenite",
        what: "tokio-tungstenite, one thread, with a read buffer of 16 KiB",
        deflates: false,
        max_message: MAX_MESSAGE,
        command: |places| peer(places, "tungstenite"),
        version: |_| locked("tokio-tungstenite"),
    },
    Kind {
        name: "fastwebsockets",
        what: "fastwebsockets on hyper, one thread",
        deflates: false,
        max_message: MAX_MESSAGE,
        command: |places| peer(places, "fastwebsockets"),
        version: |_| locked("fastwebsockets"),
    },
    Kind {
        name: "gorilla",
        what: "gorilla/websocket, `GOMAXPROCS=1`",
        deflates: true,
        max_message: MAX_MESSAGE,
        command: |places| go(places, "gorilla"),
        version: |_| debian("golang-github-gorilla-websocket-dev"),
    },
    Kind {
        name: "xnet",
        what: "golang.org/x/net/websocket, `GOMAXPROCS=1`",
        deflates: false,
        max_message: MAX_MESSAGE,
        command: |places| go(places, "xnet"),
        version: |_| debian("golang-golang-x-net-dev"),
    },
    Kind {
        name: "ws",
        what: "npm's ws on Node.js",
        deflates: true,
        max_message: MAX_MESSAGE,
        command: node,
        version: |places| {
            output(
                Command::new("node")
                    .arg(places.root.join("benches/peers/ws/server.mjs"))
                    .arg("--version"),
            )
        },
    },
    Kind {
        name: "floor",
        what: "a bare epoll loop that unmasks and echoes, and checks next to nothing",
        deflates: false,
        max_message: MAX_MESSAGE,
        command: |places| peer(places, "floor"),
        version: |_| None,
    },
];

/// An echo that accepts longer messages than the embedded one.
pub const BIG: Kind = Kind {
    name: REFERENCE,
    what: "`wasocket serve`, an echo for messages of up to 16 MiB",
    deflates: false,
    max_message: MAX_MESSAGE,
    command: |places| {
        let options = ["--memory", "1024", "--call-timeout", "10000"];
        component(places, "wasocket_bench_echo.wasm", &options)
    },
    version: |_| None,
};

impl Kind {
    /// The version of a server that is not part of Wasocket.
    pub fn version(&self, places: &Places) -> Option<String> {
        (self.version)(places)
    }

    /// Starts a server on a core of its own.
    ///
    /// # Errors
    ///
    /// When something is missing; the error names it, and how to install it.
    pub fn start(&self, places: &Places, cores: Cores) -> Result<Server> {
        spawn((self.command)(places)?, cores)
    }
}

/// Starts `wasocket serve` with this number of workers, on all cores.
///
/// # Errors
///
/// When it cannot serve.
pub fn start_workers(places: &Places, cores: Cores, workers: usize) -> Result<Server> {
    let mut command = serve(places, &["--workers", &workers.to_string()]);
    // A child process runs on the cores of the thread that starts it.
    pin_to(&[cores.server, cores.load])?;
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    pin(cores.load)?;
    Server::new(child?)
}

/// Compiles a component to a file.
///
/// # Errors
///
/// When it cannot be compiled.
pub fn compile(places: &Places, component: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new(&places.wasocket);
    command.args(["compile", "--quiet"]).arg(component);
    let status = command
        .arg("--output")
        .arg(to)
        .stdout(Stdio::null())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("wasocket compile {}: {status}", component.display()).into())
    }
}

/// Starts `wasocket serve` with a component, these options, and this folder for its cache.
///
/// # Errors
///
/// When the component cannot be served.
pub fn start_component(
    places: &Places,
    cores: Cores,
    component: &Path,
    cache: &Path,
    options: &[&str],
) -> Result<Server> {
    let mut command = serve(places, options);
    command.arg(component).env("XDG_CACHE_HOME", cache);
    spawn(command, cores)
}

/// Starts `wasocket serve` with the embedded app, and with these options, on any core.
///
/// # Errors
///
/// When it cannot serve.
pub fn start_runner(places: &Places, options: &[&str]) -> Result<Server> {
    let mut command = serve(places, options);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    Server::new(child.map_err(|error| format!("{}: {error}", command.get_program().display()))?)
}

fn spawn(mut command: Command, cores: Cores) -> Result<Server> {
    // A child process runs on the cores of the thread that starts it.
    pin(cores.server)?;
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    pin(cores.load)?;
    let child = child.map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    Server::new(child)
}

/// The cores of the servers and of the load generator.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    /// The servers' core.
    pub server: usize,
    /// The load generator's.
    pub load: usize,
}

/// A running server, ended when dropped.
pub struct Server {
    child: Child,
    /// Its address.
    pub address: SocketAddr,
}

impl Server {
    fn new(mut child: Child) -> Result<Self> {
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        match address(&line) {
            Some(address) => Ok(Self { child, address }),
            None => {
                let _ = child.kill();
                let status = child.wait()?;
                Err(format!("it printed no address, but {line:?} ({status})").into())
            }
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a line with `http://ADDRESS/`.
fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    rest.split_once('/')?.0.parse().ok()
}

fn serve(places: &Places, arguments: &[&str]) -> Command {
    let mut command = Command::new(&places.wasocket);
    command
        .args(["serve", "--quiet", "--listen", "127.0.0.1:0"])
        .args(["--max-connections", "30000"])
        .args(arguments);
    command.env("XDG_CACHE_HOME", places.built.join("cache"));
    command
}

fn component(places: &Places, file: &str, options: &[&str]) -> Result<Command> {
    let file = built(&places.built.join("wasm32-wasip2/component").join(file))?;
    let mut command = serve(places, options);
    command.arg(file);
    Ok(command)
}

fn peer(places: &Places, name: &str) -> Result<Command> {
    Ok(Command::new(built(
        &places.built.join("release").join(format!("peer-{name}")),
    )?))
}

fn built(file: &Path) -> Result<PathBuf> {
    if file.is_file() {
        Ok(file.into())
    } else {
        Err(format!("{} is not built: use `make bench`", file.display()).into())
    }
}

/// Debian's Go libraries are a GOPATH, without modules.
fn go(places: &Places, name: &str) -> Result<Command> {
    const INSTALL: &str =
        "apt-get install golang-go golang-github-gorilla-websocket-dev golang-golang-x-net-dev";
    which("go").ok_or_else(|| format!("Go is not installed: {INSTALL}"))?;
    let program = places.built.join(name);
    let status = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(places.root.join("benches/peers").join(name))
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .status()?;
    if !status.success() {
        return Err(format!("it does not build; is its library installed? {INSTALL}").into());
    }
    let mut command = Command::new(program);
    command.env("GOMAXPROCS", "1");
    Ok(command)
}

fn node(places: &Places) -> Result<Command> {
    which("node").ok_or("Node.js is not installed: apt-get install nodejs npm")?;
    if !places.root.join("tests/peers/ws/node_modules/ws").is_dir() {
        return Err("npm's ws is not installed: make setup".into());
    }
    let mut command = Command::new("node");
    command.arg(places.root.join("benches/peers/ws/server.mjs"));
    Ok(command)
}

/// The version of a crate in the lock file.
fn locked(name: &str) -> Option<String> {
    let lock = include_str!("../../Cargo.lock");
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split('"').next().map(str::to_owned)
}

fn debian(package: &str) -> Option<String> {
    let arguments = ["--show", "--showformat=${Version}", package];
    let go = output(Command::new("go").args(["env", "GOVERSION"]))?;
    let version = output(Command::new("dpkg-query").args(arguments))?;
    Some(format!("{version} ({go})"))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
