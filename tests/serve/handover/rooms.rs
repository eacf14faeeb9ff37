//! Topics are the same in both processes: no member is seen to leave, and every publication arrives once.

use std::io::Write as _;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use support::Site;
use support::engine::{Engine, Kind};
use support::operator::{admin, metric};

use crate::Service;
use crate::peer::Peer;

/// A subscription, its place among the members and its position move along; so does history.
#[test]
fn a_connection_moves_with_its_topics() {
    let service = Service::start("topics", &["--admin", "127.0.0.1:0"]);
    let site = Site::at(service.server.address);
    let mut watcher = Peer::join(&site, "/room?watch");
    let mut first = Peer::join(&site, "/room?member=first&position");
    assert_eq!(watcher.read(), "!joined first");
    first.send("one");
    assert_eq!(watcher.read(), "one");
    assert!(first.read().ends_with("\none"));
    service.hand_over();
    first.send("two");
    assert_eq!(watcher.read(), "two");
    assert!(first.read().ends_with("\ntwo"));
    let mut second = Peer::join(&site, "/room?member=second");
    assert_eq!(watcher.read(), "!joined second", "the first has not left");
    second.send("!members");
    assert_eq!(second.read(), "!members 2 first,second");
    service.hand_over();
    drop(first);
    assert_eq!(watcher.read(), "!left first");
    second.send("three");
    for peer in [&mut watcher, &mut second] {
        assert_eq!(peer.read(), "three");
    }
    let admin = admin(&service.server);
    assert_eq!(metric(&admin, "wasocket_handover_arrived_total"), 3);
}

/// Members of both processes are seen in both, and what is published in one arrives in the other.
#[test]
fn a_room_is_one_while_two_processes_serve_it() {
    let service = Service::start("both", &[]);
    let site = Site::at(service.server.address);
    let mut first = Peer::join(&site, "/room?member=first&watch");
    assert_eq!(first.read(), "!joined first");
    // It is not at rest, so it stays in the old process.
    let begun = first.socket.write_all(b"\x01\x88\0\0\0\0!echo he");
    begun.expect("it reads");
    service.signal("USR2");
    service.wait_for("another process takes over", 1);
    let mut second = Peer::join(&site, "/room?member=second&watch");
    assert_eq!(second.read(), "!joined second");
    assert_eq!(first.read(), "!joined second");
    second.send("from the new one");
    assert_eq!(first.read(), "from the new one");
    assert_eq!(second.read(), "from the new one");
    second.send("!members");
    assert_eq!(second.read(), "!members 2 first,second");
    let rest = first.socket.write_all(b"\x80\x83\0\0\0\0llo");
    rest.expect("it reads");
    assert_eq!(first.read(), "hello");
    service.wait_for("taken over", 1);
    first.send("from the other");
    for peer in [&mut first, &mut second] {
        assert_eq!(peer.read(), "from the other");
    }
    drop(first);
    assert_eq!(second.read(), "!left first");
}

const MEMBERS: usize = 12;

/// The publications of two publishers, who move as well, arrive at all members in the order in which each has published.
fn hand_over_rooms(test: &str, options: &[&str], handovers: usize) {
    let own = [
        "--workers",
        "2",
        "--connections-per-instance",
        "4",
        "--admin",
        "127.0.0.1:0",
    ];
    let service = Service::start(test, &[&own, options].concat());
    let site = Site::at(service.server.address);
    let (is_over, all_there) = (AtomicBool::new(false), Barrier::new(MEMBERS + 3));
    let listen = |number: usize| {
        let mut peer = Peer::join(
            &site,
            ["/room?keep=1000", "/room?keep=1000&compress"][number % 2],
        );
        all_there.wait();
        let (mut heard, mut ends) = ([0_u64; 2], 0);
        while ends < 2 {
            let text = peer.read();
            let (publisher, number) = text.split_once(' ').expect("two words");
            let publisher: usize = publisher.parse().expect("a number");
            if number == "end" {
                ends += 1;
                continue;
            }
            heard[publisher] += 1;
            assert_eq!(number, heard[publisher].to_string());
        }
        peer.send("!echo end");
        assert_eq!(peer.read(), "end", "nothing else has arrived");
        heard
    };
    let publish = |publisher: usize| {
        let mut peer = Peer::open(&site, "/");
        let mut number = 0;
        all_there.wait();
        while !is_over.load(Relaxed) {
            number += 1;
            peer.send(&format!("!publish room {publisher} {number}"));
            peer.send("!echo done");
            assert_eq!(peer.read(), "done");
        }
        peer.send(&format!("!publish room {publisher} end"));
        peer.send("!echo done");
        assert_eq!(peer.read(), "done");
        number
    };
    thread::scope(|scope| {
        let listeners: Vec<_> = (0..MEMBERS)
            .map(|number| scope.spawn(move || listen(number)))
            .collect();
        let publishers: Vec<_> = (0..2)
            .map(|number| scope.spawn(move || publish(number)))
            .collect();
        all_there.wait();
        for _ in 0..handovers {
            service.hand_over();
        }
        is_over.store(true, Relaxed);
        let published: Vec<u64> = publishers
            .into_iter()
            .map(|publisher| publisher.join().expect("all is published"))
            .collect();
        for listener in listeners {
            assert_eq!(listener.join().expect("all is heard").to_vec(), published);
        }
    });
    let arrived = metric(&admin(&service.server), "wasocket_handover_arrived_total");
    assert_eq!(arrived, MEMBERS as u64 + 2);
}

#[test]
fn nothing_is_lost_in_rooms_while_processes_come_and_go() {
    hand_over_rooms("rooms", &[], 5);
}

#[test]
fn nothing_is_lost_in_rooms_of_an_engine() {
    for kind in [Kind::Nats, Kind::Redis] {
        let engine = Engine::start(kind, "handover");
        hand_over_rooms("engine", &["--bus", &engine.url()], 3);
    }
}
