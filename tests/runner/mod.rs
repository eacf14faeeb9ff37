//! The running binary, and a client that knows just enough to talk to it byte by byte.
#![allow(dead_code, reason = "each test that includes this module uses a part")]

pub mod backend;
pub mod connect;
pub mod operator;
pub mod peer;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Deref;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// How long anything may take. Generous, but less than the 10 seconds after which the runner gives a
/// client up, so that an answer which waits for that does not pass.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// The repository.
pub fn root() -> PathBuf {
    let runner = Path::new(env!("CARGO_MANIFEST_DIR"));
    runner.parent().expect("host-runner is in a folder").into()
}

/// Builds a component for the tests, with these features of its package.
pub fn build_guest(package: &str, features: &str) -> PathBuf {
    // Two features of one package are built to the same file.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = root().join("target/guests");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--target", "wasm32-wasip2"])
        .args(["-p", package, "--features", features, "--target-dir"])
        .arg(&folder)
        .current_dir(root())
        .status()
        .expect("cargo runs");
    assert!(status.success(), "{package} does not build");
    let file = package.replace('-', "_");
    let built = folder.join(format!("wasm32-wasip2/release/{file}.wasm"));
    let kept = folder.join(format!("{package}+{features}.wasm"));
    // At once: another test may be reading the one that is there.
    let copy = kept.with_extension("new");
    std::fs::copy(&built, &copy).expect("the component is copied");
    std::fs::rename(&copy, &kept).expect("the copy is put in its place");
    kept
}

/// The command line under test; or that of another host, which the variable `WASOCKET` names.
pub fn wasocket(arguments: &[&str]) -> Command {
    let other = std::env::var_os("WASOCKET");
    let program = other.unwrap_or_else(|| env!("CARGO_BIN_EXE_wasocket").into());
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_remove("RUST_LOG")
        .env("XDG_CACHE_HOME", root().join("target/cache"))
        .env("NO_COLOR", "1");
    command
}

/// Where something is served.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    pub address: SocketAddr,
    /// How long it may take until others reach a client that has joined: where subscriptions are not part of
    /// the answer.
    pub settling: Duration,
}

impl Site {
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            settling: Duration::ZERO,
        }
    }
}

/// A running server on a free port. Killed when dropped.
pub struct Server {
    child: Child,
    site: Site,
    log: Arc<Mutex<String>>,
}

impl Deref for Server {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Server {
    /// Serves the default app.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Serves a component.
    pub fn of(component: &Path, options: &[&str]) -> Self {
        let component = component.to_str().expect("a path in UTF-8");
        let mut arguments = vec![component];
        arguments.extend(options);
        Self::with(&arguments)
    }

    /// With these arguments of `wasocket serve`.
    pub fn with(arguments: &[&str]) -> Self {
        // The clients here are of any host.
        let mut command = wasocket(&["serve", "--listen", "127.0.0.1:0", "--allow-host", "*"]);
        Self::run(command.args(arguments))
    }

    /// Starts a program that prints `http://ADDRESS/`, or `https://`, in its first line, when it listens.
    pub fn run(program: &mut Command) -> Self {
        let mut child = program
            // With all that it starts, as jco does: ended together.
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let log = collect(child.stderr.take().expect("piped"));
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("the server prints where it listens");
        let address = line
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'))
            .and_then(|(address, _)| address.parse().ok())
            .unwrap_or_else(|| panic!("no address in {line:?}"));
        Self {
            child,
            site: Site::at(address),
            log,
        }
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until the log contains a text.
    pub fn wait_for_log(&self, text: &str) {
        let start = Instant::now();
        while !self.log().contains(text) {
            assert!(start.elapsed() < PATIENCE, "no {text:?} in {}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The memory of the process, in bytes (proc_pid_status(5), `VmRSS`).
    pub fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes =
            line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
        kilobytes.expect("a number of kB") * 1024
    }

    /// Sends a signal: `TERM`, `INT`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    /// Waits for the end and returns the exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let status = wait(&mut self.child).expect("the runner ends");
        status.code()
    }
}

impl Site {
    /// A new connection.
    pub fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("the runner accepts");
        Client::on(stream)
    }

    /// A new connection from another address of this machine, such as 127.0.0.2.
    pub fn connect_from(&self, address: [u8; 4]) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let own = SocketAddr::from((address, 0));
        socket.bind(&own.into()).expect("all of 127/8 is ours");
        socket
            .connect(&self.address.into())
            .expect("the runner accepts");
        Client::on(socket.into())
    }

    /// A new connection on which the opening handshake of `path` has succeeded.
    pub fn websocket(&self, path: &str) -> Client {
        let mut client = self.connect();
        client.send(&opening_handshake(path));
        let head = client.read_head();
        assert_eq!(head.status, 101, "{head:?}");
        client
    }

    /// Answers to a whole request.
    pub fn request(&self, request: &str) -> (Head, String) {
        let mut client = self.connect();
        client.send(request.as_bytes());
        let head = client.read_head();
        let body = client.read_body(&head);
        (head, body)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end_group(&mut self.child);
    }
}

/// Ends a process that leads a group, and the group.
pub fn end_group(leader: &mut Child) {
    // Not waited for yet, so that the number is still its own.
    let _ = Command::new("kill")
        .args(["-KILL", "--", &format!("-{}", leader.id())])
        .stderr(Stdio::null())
        .status();
    let _ = leader.wait();
}

/// Waits for a process to end, if it does in time.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().expect("the child is ours") {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}

/// What is written to a pipe, line by line.
pub fn collect(pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&log);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut log = sink.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = writeln!(log, "{line}");
        }
    });
    log
}

/// A valid opening handshake.
pub fn opening_handshake(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// A masked text frame with a payload of up to 125 bytes; the masking key is zero.
pub fn text(payload: &str) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("not long");
    let mut frame = vec![0x81];
    match u8::try_from(length).ok().filter(|length| *length < 126) {
        Some(length) => frame.push(0x80 | length),
        None => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload.as_bytes());
    frame
}

/// The head of a response.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    pub fields: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// The value of a field, if there is one.
    pub fn field(&self, name: &str) -> Option<String> {
        let (_, value) = self
            .fields
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

/// A client's socket, and what it has read and not used.
pub struct Client {
    pub stream: TcpStream,
    pub received: Vec<u8>,
}

impl Client {
    fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time");
        Self {
            stream,
            received: vec![],
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the runner reads");
    }

    /// Sends what the runner may no longer want to read.
    pub fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("connected");
    }

    /// Whether nothing has arrived, and the stream has not ended.
    pub fn has_nothing_to_read(&self) -> bool {
        self.stream.set_nonblocking(true).expect("connected");
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("connected");
        peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Reads the head of a response.
    pub fn read_head(&mut self) -> Head {
        let end = loop {
            let end = self.received.windows(4).position(|end| end == b"\r\n\r\n");
            match end {
                Some(end) => break end,
                None => assert!(self.read_more(), "end of stream in the head"),
            }
        };
        let head: Vec<u8> = self.received.drain(..end + 4).collect();
        let text = String::from_utf8_lossy(&head);
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1."));
        let status = status.and_then(|line| line.get(2..5)?.parse().ok());
        let field = |line: &str| {
            let (name, value) = line.split_once(':').expect("a field line");
            (name.to_owned(), value.trim().as_bytes().to_vec())
        };
        Head {
            status: status.unwrap_or_else(|| panic!("no status in {text:?}")),
            fields: lines.map(field).collect(),
        }
    }

    /// Reads a body of the announced length.
    pub fn read_body(&mut self, head: &Head) -> String {
        let length = head.field("Content-Length").expect("a length");
        let body = self.read_exactly(length.parse().expect("a number"));
        String::from_utf8(body).expect("text")
    }

    /// Reads a frame that is a whole text message.
    pub fn read_text(&mut self) -> String {
        let start = self.read_exactly(2);
        assert_eq!(start[0], 0x81, "a text message");
        let length = match start[1] {
            126 => {
                let length = self.read_exactly(2);
                u16::from_be_bytes([length[0], length[1]]).into()
            }
            length => length.into(),
        };
        String::from_utf8(self.read_exactly(length)).expect("text")
    }

    pub fn read_exactly(&mut self, length: usize) -> Vec<u8> {
        while self.received.len() < length {
            assert!(self.read_more(), "end of stream in {:?}", self.received);
        }
        self.received.drain(..length).collect()
    }

    /// Reads until the server has closed its direction; panics on a reset.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        while self.read_more() {}
        std::mem::take(&mut self.received)
    }

    /// Waits until the connection is over, however it ends.
    pub fn wait_for_end(&mut self) {
        let mut buffer = [0; 65_536];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => drop(result.expect("the stream ends in time")),
            }
        }
    }

    /// Whether bytes came before the end of the stream.
    pub fn read_more(&mut self) -> bool {
        let mut buffer = [0; 65_536];
        let size = loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result.expect("the stream ends well, in time"),
            }
        };
        self.received.extend(&buffer[..size]);
        size > 0
    }
}
