//! Time that passes while a connection is suspended.

use std::time::Duration;

use host::Host;
use wasocket::events::events;
use wasocket::{Instant, ReadyList, resume};

use super::{Room, SECOND, host, open, suspended};

/// The connection is pinged after 20 seconds of silence, and ends 20 seconds later.
#[test]
fn an_unanswered_ping_is_not_forgotten() {
    for (suspended_for, left) in [(0, 15), (10, 5), (15, 0), (3600, 0)] {
        let app = events(Room);
        let mut host = Host {
            now: 5_000_000 * SECOND,
            ..Host::default()
        };
        open(&mut host, &app);
        host.connections[0].takes_output = false;
        host.now += 20 * SECOND;
        // The host's system takes the ping, but the peer is gone.
        let now = host.time();
        let effects = host.connections[0].session.wake(now, 0);
        assert_eq!(effects.output, [0x89, 0]);
        host.now += 5 * SECOND;
        let state = suspended(&host, &app, 0).expect("it is at rest");
        let now = Instant::from_nanos(1_000_000 * SECOND);
        let passed = Duration::from_secs(suspended_for);
        let resumed = resume(&app, now, 1, &ReadyList::default(), passed, &state);
        let mut resumed = resumed.expect("a state");
        if left > 0 {
            let due = now.after(Duration::from_secs(left));
            assert_eq!(resumed.effects.wake_at, Some(due));
            assert_eq!(resumed.effects.next, wasocket::Disposition::Open);
            let mut answered = resume(&app, now, 2, &ReadyList::default(), passed, &state)
                .expect("a state")
                .session;
            answered.receive(now, vec![0x8a, 0x80, 0, 0, 0, 0]);
            let next = answered.wake(due, 0).next;
            assert_eq!(next, wasocket::Disposition::Open);
            resumed.effects = resumed.session.wake(due, 0);
        }
        assert_eq!(resumed.effects.next, wasocket::Disposition::Abort);
    }
}

/// A clock that has run for a shorter time than the connection was suspended.
#[test]
fn a_clock_younger_than_the_suspension_extends_the_deadline() {
    let app = events(Room);
    let mut host = Host::default();
    open(&mut host, &app);
    let state = suspended(&host, &app, 0).expect("it is at rest");
    let passed = Duration::from_secs(3600);
    let now = Instant::from_nanos(1);
    let resumed = resume(&app, now, 1, &ReadyList::default(), passed, &state);
    let effects = resumed.expect("a state").effects;
    let due = Instant::from_nanos(20 * SECOND);
    assert_eq!((effects.output, effects.wake_at), (vec![], Some(due)));
}
