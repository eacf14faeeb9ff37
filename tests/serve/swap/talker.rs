//! A client that notices whatever is lost, doubled or reordered.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use wasocket::Message;

use crate::peer::Peer;

/// The length of some messages: more than a read.
const LONG: usize = 100_000;

/// A client that numbers its messages, and expects their echoes in order, and in a room, the numbers that are published.
pub(super) struct Talker {
    peer: Peer,
    sent: u64,
    echoed: u64,
    heard: u64,
}

impl Talker {
    pub(super) fn new(peer: Peer) -> Self {
        Self {
            peer,
            sent: 0,
            echoed: 0,
            heard: 0,
        }
    }

    fn send(&mut self) {
        self.sent += 1;
        let length = if self.sent.is_multiple_of(16) {
            LONG
        } else {
            8
        };
        let text = format!("!echo e{} {}", self.sent, "x".repeat(length));
        self.peer.send(&text);
    }

    /// Reads one message, which must be the next of its kind.
    fn read(&mut self) {
        let Message::Text(text) = self.peer.read_message() else {
            panic!("only texts are sent");
        };
        let text = text.to_string();
        match text.strip_prefix('e') {
            Some(echo) => {
                let number = echo.split(' ').next();
                self.echoed += 1;
                assert_eq!(number, Some(&*self.echoed.to_string()));
                assert_eq!(text.len() > LONG, self.echoed.is_multiple_of(16));
            }
            None => {
                self.heard += 1;
                assert_eq!(text, self.heard.to_string());
            }
        }
    }

    /// Sends messages, and returns once it is over and all are echoed.
    pub(super) fn talk(&mut self, is_over: &AtomicBool) {
        while !is_over.load(Relaxed) {
            // Some are on the way at all times.
            while self.sent < self.echoed + 4 {
                self.send();
            }
            self.read();
        }
        while self.echoed < self.sent {
            self.read();
        }
    }

    /// Hears the numbers up to this one, and nothing else.
    pub(super) fn hear_all(&mut self, published: u64) {
        while self.heard < published {
            self.read();
        }
        self.peer.send("!echo end");
        assert_eq!(self.peer.read(), "end", "nothing else has arrived");
    }
}
