//! Starting servers, and ending them.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Result;
use crate::process::{pin, pin_to, which};

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

/// Starts `wasocket serve` with this number of workers, on all cores.
///
/// # Errors
///
/// When it cannot serve.
pub fn start_workers(places: &Places, cores: Cores, workers: usize) -> Result<Server> {
    spawn_everywhere(serve(places, &["--workers", &workers.to_string()]), cores)
}

/// Starts a server on all cores.
///
/// # Errors
///
/// When it does not start.
pub fn spawn_everywhere(mut command: Command, cores: Cores) -> Result<Server> {
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

/// Starts a server on its core.
///
/// # Errors
///
/// When it does not start.
pub fn spawn(mut command: Command, cores: Cores) -> Result<Server> {
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

/// `wasocket serve` with these arguments.
pub fn serve(places: &Places, arguments: &[&str]) -> Command {
    let mut command = Command::new(&places.wasocket);
    command
        .args(["serve", "--quiet", "--listen", "127.0.0.1:0"])
        .args(["--max-connections", "30000"])
        .args(arguments);
    command.env("XDG_CACHE_HOME", places.built.join("cache"));
    command
}

/// `wasocket serve` with a component of the bench and these options.
///
/// # Errors
///
/// When it is not built.
pub fn component(places: &Places, file: &str, options: &[&str]) -> Result<Command> {
    let file = built(&places.built.join("wasm32-wasip2/component").join(file))?;
    let mut command = serve(places, options);
    command.arg(file);
    Ok(command)
}

/// A server in Rust.
///
/// # Errors
///
/// When it is not built.
pub fn peer(places: &Places, name: &str) -> Result<Command> {
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

/// A server in Go, which is built here. Debian's Go libraries are a GOPATH, without modules.
///
/// # Errors
///
/// When it does not build.
pub fn go(places: &Places, name: &str) -> Result<Command> {
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

/// Starts a program with Node.js, which needs the packages that are installed in a folder.
///
/// # Errors
///
/// When something is missing.
pub fn node(places: &Places, folder: &str, program: &str, arguments: &[&str]) -> Result<Command> {
    which("node").ok_or("Node.js is not installed: apt-get install nodejs npm")?;
    if !places.root.join(folder).join("node_modules").is_dir() {
        return Err(format!("the packages of {folder} are not installed: make bench-build").into());
    }
    let mut command = Command::new("node");
    command.arg(places.root.join(program)).args(arguments);
    Ok(command)
}
