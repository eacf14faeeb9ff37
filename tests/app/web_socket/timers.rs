//! Sleeps, timeouts and intervals.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::host::{Host, outcome};
use wasocket::{Elapsed, Error, Instant, Message, WebSocket};

#[test]
fn sleeps_and_timeouts_take_as_long_as_asked() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        ws.sleep(Duration::from_secs(2)).await;
        ws.timeout(Duration::from_secs(3), ws.receive::<String>())
            .await
    });
    host.pass(Duration::from_secs(4));
    assert!(slot.borrow().is_none());
    host.say(id, "in time");
    let received = slot.take().expect("ended").expect("in time");
    assert_eq!(received, Ok(Some("in time".to_owned())));

    let (_, slot) = outcome(&mut host, |ws| async move {
        ws.timeout(Duration::from_secs(3), ws.receive::<String>())
            .await
            .is_err()
    });
    host.pass(Duration::from_secs(3));
    assert_eq!(slot.take(), Some(true));
}

/// Ticks every ten seconds, recorded as (due, seen); a message keeps it busy for as many seconds as it is long.
async fn tick(ws: WebSocket, ticks: Rc<RefCell<Vec<(u64, u64)>>>) -> Result<(), Error> {
    let seconds = |instant: Instant| instant.as_nanos() / 1_000_000_000;
    let mut interval = ws.interval(Duration::from_secs(10));
    loop {
        let message = ws.receive::<String>();
        match ws.timeout_at(interval.due(), message).await {
            Ok(message) => {
                let length = message?.map_or(0, |text| text.len());
                ws.sleep(Duration::from_secs(length as u64)).await;
            }
            Err(Elapsed) => {
                let due = interval.tick().await;
                ticks.borrow_mut().push((seconds(due), seconds(ws.now())));
            }
        }
    }
}

#[test]
fn intervals_neither_drift_nor_catch_up() {
    let mut host = Host::default();
    let ticks = Rc::new(RefCell::new(vec![]));
    let seen = Rc::clone(&ticks);
    let id = host.open(|ws| tick(ws, seen));
    host.pass_by_seconds(21);
    assert_eq!(*ticks.borrow(), [(10, 10), (20, 20)]);
    host.say(id, "twenty-six seconds of work");
    host.pass_by_seconds(40);
    // The tick at 40 is skipped; the later ones are where they should be.
    let expected = [(10, 10), (20, 20), (30, 47), (50, 50), (60, 60)];
    assert_eq!(*ticks.borrow(), expected);
}

#[test]
fn a_tick_outlasts_a_cancelled_wait() {
    let mut host = Host::default();
    let (id, slot) = outcome(&mut host, |ws| async move {
        let mut interval = ws.interval(Duration::ZERO);
        let limit = Duration::from_micros(100);
        let early = ws.timeout(limit, interval.tick()).await.is_err();
        ws.receive::<Message>().await.expect("open");
        (early, interval.tick().await, interval.due())
    });
    host.pass(Duration::from_micros(100));
    host.pass(Duration::from_micros(4300));
    host.say(id, "now");
    let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
    assert_eq!(slot.take(), Some((true, at(1), at(5))));
}
