//! Nothing is lost, doubled, reordered or closed while versions come and go.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread;

use support::Site;
use support::operator::{admin, metric};

use crate::peer::Peer;
use crate::talker::Talker;
use crate::{GUEST, Versions};

/// The members of each room, every second of which has its messages compressed.
const MEMBERS: usize = 12;

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
                    let target = ["/room", "/room?compress"][number % 2];
                    let mut member = Talker::new(Peer::join(site, target));
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
