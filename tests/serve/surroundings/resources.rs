//! Files and memory that are not to be had.

use std::fs;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use support::{Server, opening_handshake};

/// Lowers a limit of a running process; returns the one before.
fn limit(server: &Server, resource: Resource, most: Option<u64>) -> Rlimit {
    let process = i32::try_from(server.id()).ok().and_then(Pid::from_raw);
    let lowered = Rlimit {
        current: most,
        maximum: prlimit_of(server, resource).maximum,
    };
    prlimit(process, resource, lowered).expect("the process is ours")
}

fn prlimit_of(server: &Server, resource: Resource) -> Rlimit {
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).expect("it runs");
    let name = match resource {
        Resource::Nofile => "Max open files",
        _ => "Max address space",
    };
    let line = limits.lines().find_map(|line| line.strip_prefix(name));
    let mut numbers = line
        .expect("a limit")
        .split_whitespace()
        .map(|number| number.parse().ok());
    Rlimit {
        current: numbers.next().flatten(),
        maximum: numbers.next().flatten(),
    }
}

/// EMFILE.
#[test]
fn without_files_new_clients_wait() {
    let server = Server::start();
    let mut open: Vec<_> = (0..4).map(|_| server.websocket("/echo")).collect();
    let files = fs::read_dir(format!("/proc/{}/fd", server.id())).expect("it runs");
    let before = limit(&server, Resource::Nofile, Some(files.count() as u64));
    let mut waiting: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.send(&opening_handshake("/echo"));
    }
    server.wait_for_log("cannot accept connections, retrying");
    for client in &mut open {
        client.assert_echoes("served");
    }
    limit(&server, Resource::Nofile, before.current);
    for client in &mut waiting {
        assert_eq!(client.read_head().status, 101);
        client.assert_echoes("served at last");
    }
}

/// ENOMEM: no room for the memory of another instance.
#[test]
fn without_memory_new_clients_are_refused() {
    let server = Server::with_options(&["--connections-per-instance", "1"]);
    let mut open = server.websocket("/echo");
    open.assert_echoes("before");
    let before = limit(
        &server,
        Resource::As,
        Some(address_space(&server) + (128 << 20)),
    );
    let mut refused = server.connect();
    refused.send(&opening_handshake("/echo"));
    let head = refused.read_head();
    assert_eq!(head.status, 503, "{}", server.log());
    server.wait_for_log("no room for another instance, requests that need one get 503");
    open.assert_echoes("during");
    limit(&server, Resource::As, before.current);
    open.assert_echoes("after");
    let mut client = server.connect();
    client.send(&opening_handshake("/echo"));
    while client.read_head().status != 101 {
        client = server.connect();
        client.send(&opening_handshake("/echo"));
    }
    client.assert_echoes("new");
}

/// The address space of a process, in bytes (proc_pid_status(5), `VmSize`).
fn address_space(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.expect("a number of kB") * 1024
}
