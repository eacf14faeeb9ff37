//! A clock that jumps, as one does that is set: times are measured on another, which does not.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use support::{Server, target_folder, wasocket};

/// The environment in which a program gets its date from a file (faketime(1), which `tests/setup.sh` installs).
fn fake_clock(command: &mut Command, file: &Path) {
    let output = Command::new("faketime")
        .args(["-f", "+0", "printenv", "LD_PRELOAD"])
        .output()
        .expect("faketime is installed: `make setup`");
    let library = String::from_utf8_lossy(&output.stdout).into_owned();
    command
        .env("LD_PRELOAD", library.trim_end())
        .env("FAKETIME_TIMESTAMP_FILE", file)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}

/// The year in a response.
fn year(server: &Server) -> u32 {
    let (head, _) = server.request("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    assert_eq!(head.status, 200);
    let date = head.field("Date").expect("a date");
    let year = date.split(' ').nth(3).and_then(|year| year.parse().ok());
    year.expect("a date with a year")
}

#[test]
fn a_clock_that_jumps_ends_nothing() {
    let file = target_folder("clock").join("offset");
    // Replaced as a whole, so that no one reads half of it.
    let set = |offset: &str| {
        let new = file.with_extension("new");
        fs::write(&new, format!("{offset}\n")).expect("written");
        fs::rename(&new, &file).expect("renamed");
    };
    set("+0");
    let mut command = wasocket(&["serve", "--listen", "127.0.0.1:0", "--allow-host", "*"]);
    command.args(["--idle-timeout", "600", "--max-lifetime", "3600"]);
    command.args(["--max-requests-per-address", "10"]);
    fake_clock(&mut command, &file);
    let server = Server::run(&mut command);
    let now = year(&server);
    let mut open = server.websocket("/echo");
    for offset in ["+1000d", "-1000d"] {
        set(offset);
        // hyper makes the date once a second, and waits for a clock that was set back to catch up.
        thread::sleep(Duration::from_millis(1100));
        assert!(year(&server) >= now + 2, "{offset}");
        open.assert_echoes(offset);
        server.websocket("/echo").assert_echoes("new");
    }
    open.assert_echoes("still open");
}
