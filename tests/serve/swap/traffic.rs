//! Nothing is lost, doubled, reordered or closed while versions come and go.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread;

use support::Site;
use support::operator::{admin, metric};
use wasocket::Message;

use crate::peer::Peer;
use crate::{GUEST, Versions};

/// The members of each room, every second of which has its messages compressed.
const MEMBERS: usize = 12;

/// The longest message: more than a read.
const LONG: usize = 100_000;

/// What a member hears, in order: its own echoes and the numbers that are published.
struct Member {
    peer: Peer,
    sent: u64,
    echoed: u64,
    heard: u64,
}

impl Member {
    fn join(site: &Site, number: usize) -> Self {
        let target = ["/room", "/room?compress"][number % 2];
        Self {
            peer: Peer::join(site, target),
            sent: 0,
            echoed: 0,
            heard: 0,
        }
    }

    /// Sends the next message, of which some are long.
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

    fn talk(&mut self, is_over: &AtomicBool) {
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

    fn hear_all(&mut self, published: u64) {
        while self.heard < published {
            self.read();
        }
        self.peer.send("!echo end");
        assert_eq!(self.peer.read(), "end", "nothing else has arrived");
    }
}

fn publish(site: &Site, is_over: &AtomicBool) -> u64 {
    let mut publisher = Peer::open(site, "/");
    let mut number = 0;
    while !is_over.load(Relaxed) {
        number += 1;
        publisher.send(&format!("!publish room {number}"));
        publisher.send("!echo done");
        assert_eq!(publisher.read(), "done");
    }
    number
}

fn swap_under_traffic(test: &str, options: &[&str], swaps: usize) {
    let options = [options, &["--admin", "127.0.0.1:0"]].concat();
    let versions = Versions::serve(test, &GUEST, &options);
    let site = Site::at(versions.server.address);
    let is_over = Arc::new(AtomicBool::new(false));
    let joined = Arc::new(Barrier::new(MEMBERS + 1));
    thread::scope(|scope| {
        let members: Vec<_> = (0..MEMBERS)
            .map(|number| {
                let (site, is_over, joined) = (&site, &is_over, &joined);
                scope.spawn(move || {
                    let mut member = Member::join(site, number);
                    joined.wait();
                    member.talk(is_over);
                    member
                })
            })
            .collect();
        joined.wait();
        let publisher = scope.spawn(|| publish(&site, &is_over));
        for _ in 0..swaps {
            versions.replace_by_same(&GUEST);
        }
        is_over.store(true, Relaxed);
        let published = publisher.join().expect("all is published");
        assert!(published > swaps as u64);
        for member in members {
            let mut member = member.join().expect("nothing is missing");
            member.hear_all(published);
        }
    });
    // All of them, most of the times.
    let moved = metric(&admin(&versions.server), "wasocket_swap_moved_total");
    assert!(moved > (MEMBERS * swaps / 2) as u64, "{moved}");
}

#[test]
fn nothing_is_lost_while_versions_come_and_go() {
    let options = ["--workers", "2", "--connections-per-instance", "4"];
    swap_under_traffic("traffic", &options, 6);
}
