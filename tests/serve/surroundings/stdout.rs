//! The line on stdout that says what is served, where no one takes it.

use std::fs::OpenOptions;
use std::io::{ErrorKind, PipeReader, PipeWriter, Write, pipe};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::operator::get;
use support::{Site, TIMEOUT, kill_group, wasocket};

/// A server whose stdout is `stdout`, and who is killed when dropped.
struct Silent(Child, Site);

impl Silent {
    fn start(stdout: impl Into<Stdio>) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address: SocketAddr = free.local_addr().expect("it is bound");
        drop(free);
        let child = wasocket(&["serve", "--allow-host", "*", "--listen"])
            .arg(address.to_string())
            .process_group(0)
            .stdout(stdout)
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        Self(child, Site::at(address))
    }

    fn assert_serves(&self) {
        let start = Instant::now();
        while TcpStream::connect(self.1.address).is_err() {
            assert!(start.elapsed() < TIMEOUT, "it does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(get(&self.1, "/").0, 200);
        self.1.websocket("/echo").assert_echoes("served");
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        kill_group(&mut self.0);
    }
}

#[test]
fn a_full_disk_is_no_reason_not_to_serve() {
    let full = OpenOptions::new().write(true).open("/dev/full");
    Silent::start(full.expect("it exists")).assert_serves();
}

#[test]
fn a_closed_pipe_is_no_reason_not_to_serve() {
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    Silent::start(writer).assert_serves();
}

#[test]
fn a_stalled_reader_is_no_reason_not_to_serve() {
    let (_unread, writer) = full_pipe();
    Silent::start(writer).assert_serves();
}

/// A pipe with room for nothing more, which blocks those who write to it.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().expect("a pipe");
    rustix::io::ioctl_fionbio(&writer, true).expect("a pipe can do it");
    loop {
        match writer.write(&[b'\n'; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    rustix::io::ioctl_fionbio(&writer, false).expect("a pipe can do it");
    (reader, writer)
}
