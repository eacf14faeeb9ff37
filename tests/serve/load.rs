//! Many connections at once, and a runner that is killed under load.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use support::operator::{admin, get, metric};
use support::{
    Server, TIMEOUT, build_guest, opening_handshake, read_head, target_folder, text, wasocket,
};
use wasocket_host::default_app::DEFAULT_APP;

/// The number of connections at once.
const MANY: u64 = 20_000;

/// Other files that the runner, or this test, may have open.
const OTHER_FILES: u64 = 128;

/// The number of clients that connect at a time: fewer than the listener's backlog.
const AT_ONCE: usize = 500;

/// The number of connections from one address of this machine: fewer than it has ports.
const FROM_ONE: usize = 10_000;

/// The most memory that a connection may take, including that of the guest, in bytes.
const OF_CONNECTION: usize = 16 << 10;

/// Held by each test: together they would open too many files.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Raises the limit on open files to `wanted`, or as far as possible, for this process and its children.
/// Returns the limit.
fn allow_files(wanted: u64) -> u64 {
    let limit = |number| Rlimit {
        current: Some(number),
        maximum: Some(number),
    };
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    match maximum {
        Some(maximum) if maximum < wanted => match setrlimit(Resource::Nofile, limit(wanted)) {
            Ok(()) => wanted,
            Err(_) => {
                setrlimit(Resource::Nofile, limit(maximum)).expect("the present limit");
                maximum
            }
        },
        maximum => {
            let raised = Rlimit {
                current: Some(wanted),
                maximum,
            };
            setrlimit(Resource::Nofile, raised).expect("below the maximum");
            wanted
        }
    }
}

/// The number of connections that this machine allows.
fn many() -> usize {
    let allowed = allow_files(MANY + OTHER_FILES).saturating_sub(OTHER_FILES);
    let number = allowed.min(MANY);
    if number < MANY {
        // Bypasses the test harness, which captures what tests print.
        let _ = writeln!(
            io::stderr(),
            "\nONLY {number} CONNECTIONS instead of {MANY}: raise `ulimit -Hn` to {}\n",
            MANY + OTHER_FILES
        );
    }
    usize::try_from(number).expect("it fits")
}

/// A connection from one of several addresses of this machine. The addresses differ between processes, since those
/// just used may have few ports left.
fn connect(server: SocketAddr, number: usize) -> TcpStream {
    let [.., high, low] = std::process::id().to_be_bytes();
    let own = u8::try_from(number / FROM_ONE + 1).expect("a few addresses");
    let own = SocketAddr::from(([127, high | 1, low, own], 0));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a file");
    socket.bind(&own.into()).expect("all of 127/8 is ours");
    socket.connect(&server.into()).expect("the runner accepts");
    // Reset when dropped, so that no port is left waiting for stray packets.
    socket.set_linger(Some(Duration::ZERO)).expect("connected");
    let stream = TcpStream::from(socket);
    let time = Some(4 * TIMEOUT);
    stream.set_read_timeout(time).expect("a time");
    stream.set_write_timeout(time).expect("a time");
    stream
}

/// Opens a WebSocket on a stream.
fn open<S: Read + Write>(mut stream: S) -> S {
    let handshake = opening_handshake("/echo");
    stream.write_all(&handshake).expect("the runner reads");
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 101 "));
    stream
}

fn assert_echoes(stream: &mut (impl Read + Write), message: &str) {
    stream.write_all(&text(message)).expect("the runner reads");
    let mut echo = vec![0; 2 + message.len()];
    stream.read_exact(&mut echo).expect("an echo");
    assert_eq!(&echo[2..], message.as_bytes());
}

#[test]
fn serves_twenty_thousand_connections_at_once() {
    let _alone = alone();
    let many = many();
    let most = many.to_string();
    let options = ["--max-connections", &most, "--workers", "auto", "--quiet"];
    let server = Server::with_options(&options);
    let before = server.memory();
    let mut streams = Vec::with_capacity(many);
    while streams.len() < many {
        let first = streams.len();
        let some = AT_ONCE.min(many - first);
        let connect = |number| connect(server.address, first + number);
        let mut opening: Vec<TcpStream> = (0..some).map(connect).collect();
        for stream in &mut opening {
            let handshake = opening_handshake("/echo");
            stream.write_all(&handshake).expect("the runner reads");
        }
        for stream in &mut opening {
            assert!(read_head(stream).starts_with("HTTP/1.1 101 "));
        }
        streams.append(&mut opening);
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        assert_echoes(stream, &format!("connection {number}"));
    }
    // The first is still there when the last is.
    assert_echoes(&mut streams[0], "all are here");
    let of_each = server.memory().saturating_sub(before) / many;
    assert!(of_each < OF_CONNECTION, "{of_each} bytes of each");
}

/// A folder with everything that a killed runner could leave behind.
struct Place {
    folder: PathBuf,
    component: PathBuf,
}

impl Place {
    fn new(name: &str) -> Self {
        let folder = target_folder(name);
        let component = folder.join("app.wasm");
        fs::write(&component, DEFAULT_APP).expect("written");
        fs::create_dir(folder.join("tmp")).expect("a folder");
        Self { folder, component }
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("app.sock")
    }

    fn serve(&self, address: &str) -> Server {
        let unix = format!("unix:{}", self.socket().display());
        let mut command = wasocket(&["serve", "--allow-host", "*", "--workers", "2"]);
        command
            .arg(&self.component)
            .args(["--listen", address, "--listen", &unix])
            .env("XDG_CACHE_HOME", self.folder.join("cache"))
            .env("TMPDIR", self.folder.join("tmp"));
        Server::run(&mut command)
    }

    fn unix(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).expect("the runner accepts");
        let time = Some(4 * TIMEOUT);
        stream.set_read_timeout(time).expect("a time");
        open(stream)
    }

    /// All files that the runner has made, with their contents.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut folders = vec![self.folder.clone()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for file in fs::read_dir(folder).expect("a folder") {
                let path = file.expect("a file").path();
                match path {
                    path if path.is_dir() => folders.push(path),
                    path if path == self.component => {}
                    path => files.push((path.clone(), fs::read(path).unwrap_or_default())),
                }
            }
        }
        files.sort();
        files
    }
}

/// Sends messages as fast as their echoes come, and reports each echo, until the connection ends.
fn echo_until_the_end(mut stream: TcpStream, echoed: &Sender<()>) {
    let message = text(&"x".repeat(125));
    let mut echo = vec![0; message.len() - 4];
    let outcome = loop {
        let sent = stream.write_all(&message);
        if let Err(error) = sent.and_then(|()| stream.read_exact(&mut echo)) {
            break error;
        }
        // The test may have stopped counting.
        let _ = echoed.send(());
    };
    assert!(is_end(&outcome), "{outcome}");
}

/// Whether the connection is over, rather than silent.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}

fn assert_ends(stream: &mut impl Read) {
    match stream.read(&mut [0; 16]) {
        Ok(length) => assert_eq!(length, 0, "nothing more is sent"),
        Err(error) => assert!(is_end(&error), "{error}"),
    }
}

fn wait_for(echoes: &Receiver<()>, number: usize) {
    for _ in 0..number {
        echoes.recv_timeout(TIMEOUT).expect("echoes");
    }
}

#[test]
fn a_killed_runner_leaves_only_closed_sockets() {
    let _alone = alone();
    let place = Place::new("load-kill");
    let mut server = place.serve("127.0.0.1:0");
    let address = server.address;
    let (sender, echoes) = channel();
    let busy: Vec<_> = (0..16)
        .map(|_| {
            let (stream, sender) = (open(connect(address, 0)), sender.clone());
            thread::spawn(move || echo_until_the_end(stream, &sender))
        })
        .collect();
    let mut idle: Vec<TcpStream> = (0..100).map(|_| open(connect(address, 0))).collect();
    let mut unix = place.unix();
    // And half a handshake.
    let mut begun = connect(address, 0);
    begun.write_all(b"GET / HT").expect("the runner reads");
    wait_for(&echoes, 10_000);
    let before = place.files();
    assert_eq!(before.len(), 2, "the cache and the socket: {before:?}");

    server.signal("KILL");
    assert_eq!(server.wait(), None, "it was killed by the signal");
    for client in busy {
        client.join().expect("its connection ends");
    }
    for client in &mut idle {
        assert_ends(client);
    }
    assert_ends(&mut unix);
    assert_ends(&mut begun);
    assert!(place.files() == before, "other files are left behind");

    // Restarted at once, on the same addresses, with the same cache.
    let mut again = place.serve(&address.to_string());
    assert_eq!(again.address, address);
    assert_echoes(&mut open(connect(address, 0)), "hello again");
    assert_echoes(&mut place.unix(), "hello again");
    assert!(place.files() == before, "the cache has changed");
    again.signal("TERM");
    assert_eq!(again.wait(), Some(0), "{}", again.log());
    assert!(!place.socket().exists());
}

/// A server of this component on a system that allows it few files.
fn serve_with_few_files(component: &Path, options: &[&str]) -> Server {
    let program = wasocket(&[]).get_program().to_owned();
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 160; exec \"$0\" \"$@\""])
        .arg(program)
        .args(["serve", "--listen", "127.0.0.1:0", "--allow-host", "*"])
        .args(["--admin", "127.0.0.1:0"])
        .args(options)
        .arg(component);
    Server::run(&mut command)
}

/// Every tunnel takes a file for its client and one for its server.
#[test]
fn apps_leave_files_to_clients_and_the_operator() {
    let _alone = alone();
    let backend = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = backend.local_addr().expect("it listens").to_string();
    let tunnel = build_guest("tunnel", "");
    let destination = format!("TO={to}");
    let options = ["--allow-tcp", &to, "--env", &destination];
    let server = serve_with_few_files(&tunnel, &options);
    let admin = admin(&server);
    let mut tunnels = Vec::new();
    while metric(&admin, "wasocket_connections_open") < metric(&admin, "wasocket_connections_limit")
    {
        tunnels.push(server.websocket("/"));
    }
    assert!(tunnels.len() > 30, "{}", tunnels.len());
    assert_eq!(get(&admin, "/healthz").0, 200);
    let (status, reason) = get(&admin, "/readyz");
    assert_eq!(status, 503, "{reason}");
    assert!(reason.contains("--max-connections"), "{reason}");
    drop(tunnels.pop());
    server.websocket("/");
}

/// An app that closes none of its files.
#[test]
fn apps_that_close_no_file_leave_some_to_clients() {
    let _alone = alone();
    let folder = target_folder("held");
    fs::write(folder.join("file"), "").expect("written");
    let dir = format!("{}::/data", folder.display());
    let server = serve_with_few_files(&build_guest("files", ""), &["--dir", &dir]);
    let admin = admin(&server);
    let mut greedy = server.websocket("/");
    greedy.send(&text("hold /data/file 1000"));
    assert_eq!(greedy.read_text(), "error: QuotaExceeded");
    server.wait_for_log("kept for clients");
    let mut others = Vec::new();
    while metric(&admin, "wasocket_connections_open") < metric(&admin, "wasocket_connections_limit")
    {
        others.push(server.websocket("/"));
    }
    assert_eq!(get(&admin, "/healthz").0, 200);
    greedy.send(&text("release"));
    let held = greedy.read_text();
    assert!(held.parse().is_ok_and(|held: usize| held > 10), "{held}");
    greedy.send(&text("hold /data/file 5"));
    assert_eq!(greedy.read_text(), "held");
}
