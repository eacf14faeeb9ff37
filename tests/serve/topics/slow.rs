//! Subscribers that do not keep up, under each policy; nobody else waits for them.

use support::Server;
use support::operator::{admin, metric, wait_for_metric};

use crate::peer::Peer;
use crate::serve;

/// More than the systems' buffers hold, and a subscriber's queue.
const PUBLICATIONS: usize = 400;
const LENGTH: usize = 20_000;

fn publication(number: usize) -> String {
    let text = format!("{number:04} ");
    let rest = "x".repeat(LENGTH - text.len());
    text + &rest
}

/// A client that reads nothing, in a room with one that reads everything.
fn overtake(policy: &str) -> (Server, Peer) {
    let server = serve(&[
        "--connections-per-instance",
        "1",
        "--max-subscriber-queue",
        "200",
        "--slow-subscriber",
        policy,
        "--admin",
        "127.0.0.1:0",
    ]);
    let mut slow = Peer::on(server.connect_narrow(), "/room");
    slow.wait_until_subscribed();
    let mut publisher = Peer::join(&server, "/room");
    for number in 0..PUBLICATIONS {
        publisher.send(&publication(number));
        assert_eq!(
            publisher.read(),
            publication(number),
            "it waits for no other"
        );
    }
    (server, slow)
}

/// Reads up to the last publication. Returns the numbers, with a `None` for each gap.
fn read_all(slow: &mut Peer) -> Vec<Option<usize>> {
    let mut heard = vec![];
    while heard.last() != Some(&Some(PUBLICATIONS - 1)) {
        let text = slow.read();
        heard.push(match text.strip_prefix("!gap room") {
            Some(_) => None,
            None => {
                let number = text[..4].parse().expect("a number");
                assert_eq!(text, publication(number));
                Some(number)
            }
        });
    }
    heard
}

/// Checks that what is missing is told, and nothing else.
fn check_gaps(heard: &[Option<usize>]) {
    let mut next = Some(0);
    for one in heard {
        match one {
            None => next = None,
            Some(number) => {
                if let Some(next) = next {
                    assert_eq!(*number, next, "nothing is missing without a gap: {heard:?}");
                }
                next = Some(number + 1);
            }
        }
    }
    let numbers: Vec<_> = heard.iter().flatten().collect();
    assert!(numbers.is_sorted_by(|one, two| one < two), "{heard:?}");
}

#[test]
fn a_slow_subscriber_is_closed_with_1013() {
    let (server, mut slow) = overtake("close");
    assert_eq!(
        metric(&admin(&server), "wasocket_slow_subscribers_total"),
        1
    );
    assert_eq!(slow.read_close(), 1013);
    wait_for_metric(&admin(&server), "wasocket_subscriptions", 0);
}

#[test]
fn the_oldest_are_dropped_and_told_as_a_gap() {
    let (server, mut slow) = overtake("drop-oldest");
    let heard = read_all(&mut slow);
    check_gaps(&heard);
    // More than one, if the systems' buffers took some in between.
    let gaps = heard.iter().filter(|one| one.is_none()).count();
    assert!(gaps > 0, "{heard:?}");
    let dropped = PUBLICATIONS - heard.iter().flatten().count();
    let admin = admin(&server);
    assert!(dropped > 0);
    assert_eq!(
        metric(&admin, "wasocket_publications_dropped_total"),
        dropped as u64
    );
    assert_eq!(metric(&admin, "wasocket_gaps_total"), gaps as u64);
    // 200 KiB of them have waited.
    assert!(heard.ends_with(&[PUBLICATIONS - 3, PUBLICATIONS - 2, PUBLICATIONS - 1].map(Some)));
}

#[test]
fn only_the_latest_waits_where_the_operator_says_so() {
    let (_server, mut slow) = overtake("room=latest");
    let heard = read_all(&mut slow);
    check_gaps(&heard);
    assert_eq!(heard[heard.len() - 2], None, "{heard:?}");
}

/// A client that leaves in the middle costs the others nothing.
#[test]
fn subscribers_leave_in_the_middle() {
    let server = serve(&["--connections-per-instance", "4"]);
    let mut stays: Vec<_> = (0..4).map(|_| Peer::join(&server, "/room")).collect();
    let mut leaves: Vec<_> = (0..12).map(|_| Peer::join(&server, "/room")).collect();
    for number in 0..60 {
        let text = publication(number);
        stays[0].send(&text);
        if number % 5 == 0 {
            drop(leaves.pop());
        }
        for peer in &mut stays {
            assert_eq!(peer.read(), text);
        }
    }
}
