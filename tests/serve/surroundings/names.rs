//! A name server that does not answer: a real one, in a network namespace where it can be the system's only one.

use std::io::{self, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use support::{target_folder, wasocket};

/// Runs a command where the only name server takes queries and answers none.
const WITHOUT_NAMES: &str = r#"
import fcntl, socket, struct, subprocess, sys
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(silent, 0x8914, struct.pack("16sh22x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
silent.bind(("127.0.0.1", 53))
with open(sys.argv[1], "w") as file:
    file.write("nameserver 127.0.0.1\n")
subprocess.run(["mount", "--bind", sys.argv[1], "/etc/resolv.conf"], check=True)
sys.exit(subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL).returncode)
"#;

const UNSHARE: [&str; 4] = ["unshare", "--map-root-user", "--net", "--mount"];

#[test]
fn a_silent_name_server_is_waited_for_as_long_as_the_user_says() {
    let [program, options @ ..] = UNSHARE;
    let unshare = || {
        let mut command = Command::new(program);
        command.args(options);
        command
    };
    if !unshare()
        .arg("true")
        .status()
        .is_ok_and(|status| status.success())
    {
        // Bypasses the test harness, which captures what tests print.
        let _ = writeln!(
            io::stderr(),
            "\nNO TEST of a silent name server: unshare(1) is not allowed\n"
        );
        return;
    }
    let file = target_folder("names").join("resolv.conf");
    let client = wasocket(&["connect", "--timeout", "1", "ws://silent.test/"]);
    let start = Instant::now();
    let output = unshare()
        .args(["python3", "-c", WITHOUT_NAMES])
        .arg(file)
        .arg(client.get_program())
        .args(client.get_args())
        .output()
        .expect("unshare runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("no name server has answered where silent.test is"),
        "{stderr}"
    );
    // The system's own time limit is 10 s.
    assert!(start.elapsed() < Duration::from_secs(9), "{stderr}");
}
