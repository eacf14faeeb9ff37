//! Nothing is lost, doubled, reordered or closed while processes come and go.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use support::Site;
use support::operator::{admin, metric};
use wasocket::Message;

use crate::Service;
use crate::peer::Peer;

/// The clients, every second of which has its messages compressed.
const CLIENTS: usize = 24;

const HANDOVERS: usize = 5;

/// The length of some messages: more than a read.
const LONG: usize = 65_536;

/// A client that numbers its messages, and expects them back in order.
struct Talker {
    peer: Peer,
    sent: u64,
    echoed: u64,
}

impl Talker {
    fn open(site: &Site, number: usize) -> Self {
        Self {
            peer: Peer::open(site, ["/", "/?compress"][number % 2]),
            sent: 0,
            echoed: 0,
        }
    }

    fn send(&mut self) {
        self.sent += 1;
        let length = if self.sent.is_multiple_of(16) {
            LONG
        } else {
            8
        };
        let text = format!("!echo {} {}", self.sent, "x".repeat(length));
        self.peer.send(&text);
    }

    fn read(&mut self) {
        let Message::Text(text) = self.peer.read_message() else {
            panic!("only texts are sent");
        };
        self.echoed += 1;
        let number = text.to_string();
        let number = number.split(' ').next();
        assert_eq!(number, Some(&*self.echoed.to_string()));
    }

    fn talk(&mut self, is_over: &AtomicBool) {
        while !is_over.load(Relaxed) {
            while self.sent < self.echoed + 4 {
                self.send();
            }
            self.read();
        }
        while self.echoed < self.sent {
            self.read();
        }
        self.peer.send("!echo end");
        assert_eq!(self.peer.read(), "end", "nothing else has arrived");
    }
}

#[test]
fn nothing_is_lost_while_processes_come_and_go() {
    let options = [
        "--workers",
        "2",
        "--connections-per-instance",
        "4",
        "--admin",
        "127.0.0.1:0",
    ];
    let service = Service::start("traffic", &options);
    let site = Site::at(service.server.address);
    let (is_over, all_there) = (AtomicBool::new(false), Barrier::new(CLIENTS + 1));
    let admin = admin(&service.server);
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (site, is_over, all_there) = (&site, &is_over, &all_there);
            scope.spawn(move || {
                let mut talker = Talker::open(site, number);
                all_there.wait();
                talker.talk(is_over);
            });
        }
        all_there.wait();
        for _ in 0..HANDOVERS {
            service.hand_over();
            let arrived = metric(&admin, "wasocket_handover_arrived_total");
            assert_eq!(arrived, CLIENTS as u64);
        }
        is_over.store(true, Relaxed);
    });
}
