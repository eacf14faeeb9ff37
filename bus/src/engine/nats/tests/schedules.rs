//! The random schedules that every bus is checked with, over NATS.

use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::server::Server;
use crate::Bus;
use crate::bus::tests::schedule;
use crate::limits::Limits;

fn processes(server: &Server, count: usize) -> Vec<Bus> {
    let connect = |_| Bus::connect_to(server.connector(), Limits::default());
    (0..count)
        .map(connect)
        .collect::<Result<_, _>>()
        .expect("threads")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everything_is_seen_once_and_in_order(steps in schedule::schedules(3, 150)) {
        let server = Server::start();
        let buses = processes(&server, 3);
        schedule::check("calm", &buses, steps, false, || ());
    }

    /// The server is killed and comes back with what it had.
    #[test]
    fn nothing_is_missing_silently_when_nats_is_killed(steps in schedule::schedules(3, 150)) {
        let mut server = Server::start();
        let buses = processes(&server, 3);
        schedule::check("killed", &buses, steps, false, || {
            server.kill();
            server.restart();
        });
    }

    /// The server does not answer for a moment.
    #[test]
    fn nothing_is_missing_silently_when_nats_pauses(steps in schedule::schedules(2, 150)) {
        let server = Server::start();
        let buses = processes(&server, 2);
        schedule::check("paused", &buses, steps, false, || {
            server.signal("-STOP");
            thread::sleep(Duration::from_millis(300));
            server.signal("-CONT");
        });
    }
}
