//! A CPU that is busy with something else, or that is allowed for a part of the time only. A call may use CPU time, not
//! time of day: everything takes longer, and no instance ends.

use std::fs;
use std::hint;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use support::{Client, Server, TIMEOUT};

/// Threads that compute all the time: more than most machines have cores.
const NEIGHBOURS: usize = 8;

/// The time in which a group with a quota may run: a fifth.
const QUOTA: &str = "20000";
const PERIOD: &str = "100000";

/// A control group with a quota, removed when dropped.
struct Quota(PathBuf);

impl Quota {
    /// Makes one for a process (cgroups(7)): in version 2, or else in version 1; `None`, with a message, where that is
    /// not allowed.
    fn of(process: u32) -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let name = format!("wasocket-{process}");
        let made = Self::in_version_2(root.join(&name))
            .or_else(|_| Self::in_version_1(root.join("cpu").join(&name)))
            .and_then(|quota| {
                fs::write(quota.0.join("cgroup.procs"), process.to_string())?;
                Ok(quota)
            });
        made.inspect_err(|error| eprintln!("skipped: no control group for this user: {error}"))
            .ok()
    }

    fn in_version_2(folder: PathBuf) -> io::Result<Self> {
        fs::metadata("/sys/fs/cgroup/cgroup.controllers")?;
        fs::create_dir(&folder)?;
        let quota = Self(folder);
        // Without the controller there is no such file, and none can be made.
        fs::write(quota.0.join("cpu.max"), format!("{QUOTA} {PERIOD}"))?;
        Ok(quota)
    }

    fn in_version_1(folder: PathBuf) -> io::Result<Self> {
        fs::metadata("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")?;
        fs::create_dir(&folder)?;
        let quota = Self(folder);
        fs::write(quota.0.join("cpu.cfs_period_us"), PERIOD)?;
        fs::write(quota.0.join("cpu.cfs_quota_us"), QUOTA)?;
        Ok(quota)
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // Processes that are still in it go on without a quota.
        let parent = self.0.parent().map(|parent| parent.join("cgroup.procs"));
        if let (Ok(processes), Some(parent)) = (fs::read(self.0.join("cgroup.procs")), parent) {
            let _ = fs::write(parent, processes);
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// Clients, which wait as long as it takes.
fn connect(server: &Server) -> Vec<Client> {
    let clients = (0..132).map(|_| {
        let client = server.websocket("/echo");
        let timeout = Some(8 * TIMEOUT);
        client.stream.set_read_timeout(timeout).expect("a time");
        client
    });
    clients.collect()
}

/// Most of the clients send long messages at once, next to some that are quiet, and all are answered.
fn assert_serves_bursts(server: &Server, clients: &mut [Client]) {
    let message = "x".repeat(65_535);
    let (quiet, clients) = clients.split_at_mut(4);
    for _ in 0..2 {
        thread::scope(|scope| {
            for client in &mut *clients {
                scope.spawn(|| client.assert_echoes(&message));
            }
        });
    }
    for client in clients.iter_mut().chain(quiet) {
        client.assert_echoes("still here");
    }
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn a_busy_machine_ends_no_instance() {
    let server = Server::start();
    let mut clients = connect(&server);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..NEIGHBOURS {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    hint::spin_loop();
                }
            });
        }
        // Also ends the neighbours of a test that fails.
        let _end = OnDrop(|| is_over.store(true, Relaxed));
        assert_serves_bursts(&server, &mut clients);
    });
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_quota_ends_no_instance() {
    let server = Server::start();
    let mut clients = connect(&server);
    if let Some(_quota) = Quota::of(server.id()) {
        assert_serves_bursts(&server, &mut clients);
    }
}
