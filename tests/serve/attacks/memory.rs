//! Memory that clients try to fill.

use support::{Client, Server};

use super::{KIB, MIB, flood_until};

#[test]
fn announced_lengths_allocate_nothing() {
    let server = Server::with_options(&["--idle-timeout", "3"]);
    let mut other = server.websocket("/echo");
    let before = server.memory();
    let mut attackers: Vec<Client> = (0..100).map(|_| server.websocket("/echo")).collect();
    for attacker in &mut attackers {
        // Announces a MiB, and sends a byte.
        attacker.send(b"\x82\xff\0\0\0\0\0\x10\0\0\0\0\0\0a");
        other.assert_echoes("served");
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes");
    for attacker in &mut attackers {
        assert_eq!(attacker.read_to_end(), b"");
    }
}

#[test]
fn clients_that_do_not_read_do_not_fill_the_memory() {
    let server =
        Server::with_options(&["--max-unsent", "2", "--send-timeout", "3600", "--verbose"]);
    let mut other = server.websocket("/echo");
    let before = server.memory();
    let mut message = b"\x82\xff\0\0\0\0\0\x0e\0\0\0\0\0\0".to_vec();
    message.resize(message.len() + 14 * 64 * KIB, 0);
    let mut attackers: Vec<Client> = (0..8).map(|_| server.websocket("/echo")).collect();
    let mut lost = 0;
    for attacker in &mut attackers {
        let taken = flood_until(attacker, &message, 64 * MIB, 100, &mut other);
        lost += usize::from(taken.is_none());
    }
    server.wait_for_log("--max-unsent");
    other.assert_echoes("served");
    assert!(
        lost < attackers.len(),
        "connections within their share are kept"
    );
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 64 * MIB, "{grown} bytes");
}
