//! Connections next to each other, and raw ones.

use crate::{Client, Site, text};

pub fn hijack_speaks_raw_tcp(site: &Site) {
    const GREETING: &[u8] = b"Now we're speaking raw TCP. Say hi: ";
    let request = b"GET /hijack HTTP/1.1\r\nHost: a.test\r\n\r\n";

    let mut client = site.connect();
    client.send(request);
    assert_eq!(client.read_exactly(GREETING.len()), GREETING);
    client.send(b"h");
    client.send(b"i\n");
    assert_eq!(client.read_to_end(), b"You said: \"hi\\n\"\nBye.\n");

    // The line right after the request head, and more than the app reads.
    let mut client = site.connect();
    client.send(&[&request[..], b"hi \"there\"\nmore"].concat());
    let expected = [GREETING, b"You said: \"hi \\\"there\\\"\\n\"\nBye.\n"].concat();
    assert_eq!(client.read_to_end(), expected);

    // The end of the stream in place of a line.
    let mut client = site.connect();
    client.send(request);
    client.finish_sending();
    assert_eq!(client.read_to_end(), GREETING);
}

pub fn connections_are_independent(site: &Site) {
    // More than fit into one instance.
    let mut clients: Vec<Client> = (0..100).map(|_| site.websocket("/")).collect();
    clients.remove(50);
    for (i, client) in clients.iter_mut().enumerate() {
        client.send(&text(&format!("{i:03}")));
    }
    for (i, client) in clients.iter_mut().enumerate() {
        let expected = format!("\u{81}\u{e}Received:  {i:03}");
        let expected: Vec<u8> = expected.chars().map(|char| char as u8).collect();
        assert_eq!(client.read_exactly(16), expected);
    }
}

/// All clients send before any of them reads, so that a host finds many sockets readable at once. One of them
/// sends a long message, one only the beginning of its message.
pub fn each_connection_gets_its_own_messages(site: &Site) {
    let mut clients: Vec<_> = (0..40).map(|_| site.websocket("/echo")).collect();
    for round in 0..20 {
        let mut frames = Vec::new();
        for (number, client) in clients.iter_mut().enumerate() {
            let length = if number == round { 5000 } else { round };
            let payload = format!("{number} in {round}: {}", "x".repeat(length));
            let frame = text(&payload);
            let cut = if number == round + 20 { 3 } else { frame.len() };
            client.send(&frame[..cut]);
            frames.push((payload, frame[cut..].to_vec()));
        }
        for (client, (payload, rest)) in clients.iter_mut().zip(frames) {
            client.send(&rest);
            assert_eq!(client.read_text(), payload);
        }
    }
}
