//! A member of a room, on any byte stream.

use std::io::{Read, Write};
use std::net::TcpStream;

use support::{Client, Server, opening_handshake, read_head, text};

/// A WebSocket in a room.
pub struct Member<S>(pub S);

impl Member<TcpStream> {
    pub fn of(server: &Server, room: &str) -> Self {
        Self::on(server.connect().stream, room)
    }
}

impl<S: Read + Write> Member<S> {
    /// Enters a room.
    pub fn on(stream: S, room: &str) -> Self {
        let (head, member) = Self::ask(stream, room);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        member
    }

    /// Asks to enter a room. Returns the head of the answer, too.
    pub fn ask(mut stream: S, room: &str) -> (String, Self) {
        let handshake = opening_handshake(&format!("/rooms/{room}"));
        stream.write_all(&handshake).expect("the runner reads");
        (read_head(&mut stream), Self(stream))
    }

    /// Sends a message. Returns how many its room has been sent so far.
    pub fn count(&mut self) -> u64 {
        self.0.write_all(&text("x")).expect("the runner reads");
        self.read_number()
    }

    pub fn read_number(&mut self) -> u64 {
        let (first, number) = self.read_frame();
        assert_eq!(first, 0x81, "a text");
        let number = String::from_utf8(number).expect("digits");
        number.parse().expect("a number")
    }

    /// Reads the first byte of a frame, and its payload. Pings are left out: they only come to a slow test.
    fn read_frame(&mut self) -> (u8, Vec<u8>) {
        loop {
            let mut start = [0; 2];
            self.0.read_exact(&mut start).expect("a frame");
            let mut payload = vec![0; start[1].into()];
            self.0.read_exact(&mut payload).expect("its payload");
            if start[0] != 0x89 {
                return (start[0], payload);
            }
        }
    }

    /// Closes the connection, and waits until the runner has.
    pub fn leave(mut self) {
        let close = b"\x88\x82\0\0\0\0\x03\xe8";
        self.0.write_all(close).expect("the runner reads");
        self.assert_closed_with(1000);
    }

    /// Reads a Close frame with this code.
    pub fn assert_closed_with(&mut self, code: u16) {
        assert_eq!(self.read_frame(), (0x88, code.to_be_bytes().to_vec()));
    }
}

/// The number that a response to a plain request has.
pub fn read_number(client: &mut Client) -> u64 {
    let head = client.read_head();
    let body = client.read_body(&head);
    assert_eq!(head.status, 200, "{body}");
    body.parse().expect("a number")
}

/// All members of a room count once: together, they count to their number.
pub fn assert_meet<S: Read + Write>(members: &mut [Member<S>]) {
    let mut numbers: Vec<u64> = members.iter_mut().map(Member::count).collect();
    numbers.sort_unstable();
    let expected: Vec<u64> = (1..=members.len() as u64).collect();
    assert_eq!(numbers, expected);
}
