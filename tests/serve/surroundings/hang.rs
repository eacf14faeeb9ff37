//! A worker whose thread hangs, as in a system call that does not return.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::operator::{admin, get};
use support::{Server, Site, TIMEOUT, target_folder, wasocket};

/// Stops one thread until it is killed (ptrace(2)), as no signal can. And until the thread has ended: the process ends
/// only when it has been waited for.
const STOP: &str = "
import ctypes, os, sys
libc, thread, WALL = ctypes.CDLL(None, use_errno=True), int(sys.argv[1]), 0x40000000
for request in (0x4206, 0x4207):  # PTRACE_SEIZE, PTRACE_INTERRUPT
    if libc.ptrace(request, thread, None, None):
        sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(thread, WALL)
print('stopped', flush=True)
os.waitpid(thread, WALL)
";

/// A thread that hangs until this is dropped.
struct Stopped(Child);

impl Stopped {
    /// The thread of the server with this name.
    fn thread(server: &Server, name: &str) -> Self {
        let thread = thread_of(server.id(), name);
        let mut tracer = Command::new("python3")
            .args(["-c", STOP, &thread])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let mut line = String::new();
        let mut stdout = BufReader::new(tracer.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("text");
        assert_eq!(line, "stopped\n");
        Self(tracer)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn thread_of(process: u32, name: &str) -> String {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    for thread in threads.map_while(Result::ok) {
        let own = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        if own.trim_end() == name {
            return thread.file_name().to_string_lossy().into_owned();
        }
    }
    panic!("no thread {name}");
}

/// Waits until a page of the operator's has this status and text.
fn wait_for_page(admin: &Site, path: &str, expected: (u16, &str)) {
    let start = Instant::now();
    loop {
        let (status, text) = get(admin, path);
        if (status, text.trim_end()) == expected {
            return;
        }
        assert!(start.elapsed() < TIMEOUT, "{path}: {status} {text}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A server that a service manager watches, which waits two seconds for a sign of life.
fn watched(name: &str, options: &[&str]) -> (Server, UnixDatagram) {
    let socket = target_folder(&format!("hang-{name}")).join("notify.sock");
    let manager = UnixDatagram::bind(&socket).expect("a socket");
    manager.set_read_timeout(Some(TIMEOUT)).expect("a time");
    let mut command = wasocket(&["serve", "--listen", "127.0.0.1:0", "--allow-host", "*"]);
    command.args(["--admin", "127.0.0.1:0", "--workers", "2"]);
    command.args(options);
    command.env("NOTIFY_SOCKET", &socket);
    let server = Server::run(command.env("WATCHDOG_USEC", "2000000"));
    assert_eq!(next(&manager).as_deref(), Some("READY=1"));
    (server, manager)
}

/// What the service manager is told next; `None` if that takes too long.
fn next(manager: &UnixDatagram) -> Option<String> {
    let mut message = [0; 64];
    let length = manager.recv(&mut message).ok()?;
    Some(String::from_utf8_lossy(&message[..length]).into_owned())
}

#[test]
fn a_worker_that_hangs_is_reported_to_whoever_can_help() {
    let (server, manager) = watched("reported", &[]);
    let admin = admin(&server);
    for _ in 0..2 {
        assert_eq!(next(&manager).as_deref(), Some("WATCHDOG=1"));
    }
    assert_eq!(get(&admin, "/healthz").0, 200);

    let stopped = Stopped::thread(&server, "worker-1");
    wait_for_page(&admin, "/healthz", (503, "worker 1 hangs"));
    wait_for_page(&admin, "/readyz", (503, "a worker hangs"));
    server.wait_for_log("worker 1 hangs");
    // What it was told before.
    manager.set_nonblocking(true).expect("possible");
    while next(&manager).is_some() {}
    manager.set_nonblocking(false).expect("possible");
    manager
        .set_read_timeout(Some(Duration::from_millis(1500)))
        .expect("a time");
    assert_eq!(next(&manager), None, "it is fed every second");

    drop(stopped);
    wait_for_page(&admin, "/healthz", (200, "alive"));
    wait_for_page(&admin, "/readyz", (200, "ready"));
    manager.set_read_timeout(Some(TIMEOUT)).expect("a time");
    assert_eq!(next(&manager).as_deref(), Some("WATCHDOG=1"));
}

#[test]
fn a_service_manager_that_does_not_read_holds_up_nothing() {
    let socket = target_folder("hang-manager").join("notify.sock");
    let _manager = UnixDatagram::bind(&socket).expect("a socket");
    let other = UnixDatagram::unbound().expect("a socket");
    other.set_nonblocking(true).expect("possible");
    while other.send_to(b"x", &socket).is_ok() {}
    let mut command = wasocket(&["serve", "--listen", "127.0.0.1:0", "--allow-host", "*"]);
    let mut server = Server::run(command.env("NOTIFY_SOCKET", &socket));
    server.websocket("/echo").assert_echoes("served");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_second_signal_ends_a_process_whose_worker_hangs() {
    let (mut server, _manager) = watched("ended", &["--shutdown-timeout", "0"]);
    let _stopped = Stopped::thread(&server, "worker-0");
    server.signal("TERM");
    server.wait_for_log("SIGTERM: stopping");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(143));
    server.wait_for_log("error: SIGTERM again");
}
