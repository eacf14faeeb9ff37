//! Time, pings and timers.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use wasocket::{Disposition, Error, Event, Instant, Message, Request, Upgrade, WebSocket};
use wasocket_test::{Kit, websocket};

use super::{SECOND, echo, failure};

#[test]
fn automatic_pings_count_as_silence() {
    let kit = Kit::native(wasocket::websocket(|ws: WebSocket| async move {
        ws.sleep(60 * SECOND).await;
        ws.send_ping(b"own")?;
        ws.receive::<Message>().await.map(drop)
    }));
    let [ws, other] = [(); 2].map(|()| kit.connect(websocket("/")));
    kit.pass(59 * SECOND);
    let ping = || Event::Ping(b""[..].into());
    assert_eq!(other.events(), [ping(), ping()]);
    ws.assert_silent();
    kit.pass(SECOND);
    assert!(failure(|| ws.assert_silent()).contains("got a ping"));
    assert_eq!(ws.try_receive(), None);
    ws.close(1000, "");
    assert!(failure(|| ws.assert_silent()).contains("got the end (1000)"));
}

#[test]
fn timers_fire_in_order() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&order);
    let kit = Kit::native(move |request: &Request| {
        let (log, target) = (Rc::clone(&log), request.target.clone());
        Upgrade::new().converse(request, |ws: WebSocket| async move {
            let seconds = target.trim_start_matches('/').parse().expect("a number");
            for _ in 0..2 {
                ws.sleep(Duration::from_secs(seconds)).await;
                log.borrow_mut()
                    .push((seconds, ws.now().as_nanos() / 1_000_000_000));
            }
        })
    });
    let (three, two) = (kit.connect(websocket("/3")), kit.connect(websocket("/2")));
    assert_eq!(two.wake_at(), Some(Instant::from_nanos(2_000_000_000)));
    kit.pass(SECOND);
    assert!(order.borrow().is_empty());
    kit.pass(10 * SECOND);
    assert_eq!(*order.borrow(), [(2, 2), (3, 3), (2, 4), (3, 6)]);
    assert_eq!(kit.now(), Instant::from_nanos(11_000_000_000));
    three.assert_closed(1000);
}

#[test]
fn only_a_silent_peer_is_disconnected() {
    let kit = Kit::native(echo);
    let [here, gone, slow] = [(); 3].map(|()| kit.connect(websocket("/")));
    gone.hold();
    slow.block();
    kit.pass(30 * SECOND);
    assert!(matches!(here.events()[..], [Event::Ping(_)]));
    kit.pass(30 * SECOND);
    assert!(here.is_open());
    assert_eq!(gone.disposition(), Disposition::Abort);
    gone.assert_closed(1006);
    // Its ping is part of the unsent output.
    assert!(slow.is_open() && slow.unsent() > 0);
    slow.unblock();
    kit.pass(SECOND);
    assert!(slow.is_open());
}

#[test]
fn held_replies_lengthen_the_round_trip() {
    let times = Rc::new(RefCell::new(None));
    let made = Rc::clone(&times);
    let kit = Kit::native(move |request: &Request| {
        let made = Rc::clone(&made);
        Upgrade::new().converse(request, |ws: WebSocket| async move {
            while let Some(text) = ws.receive::<String>().await? {
                assert_eq!(text, "go");
                *made.borrow_mut() = Some(ws.ping().await?);
            }
            Ok::<(), Error>(())
        })
    });
    let ws = kit.connect(websocket("/"));
    ws.send("go");
    assert_eq!(times.take(), Some(Duration::ZERO));
    ws.hold();
    ws.send_frame(0x81, b"go");
    kit.pass(SECOND);
    assert_eq!(times.take(), None);
    ws.release();
    assert_eq!(times.take(), Some(SECOND));
}
