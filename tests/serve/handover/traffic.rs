//! Nothing is lost, doubled, reordered or closed while processes come and go.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use support::Site;
use support::operator::{admin, metric};

use crate::Service;
use crate::peer::Peer;
use crate::talker::Talker;

/// The clients, every second of which has its messages compressed.
const CLIENTS: usize = 24;

const HANDOVERS: usize = 5;

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
                let target = ["/", "/?compress"][number % 2];
                let mut talker = Talker::new(Peer::open(site, target));
                all_there.wait();
                talker.talk(is_over);
                talker.hear_all(0);
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
