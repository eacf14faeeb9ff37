//! Limits on what connections may do with topics, and what the operator sees of them.

use std::time::{Duration, Instant};

use support::operator::{admin, get, metric, wait_for_metric};

use crate::peer::Peer;
use crate::serve;

#[test]
fn subscriptions_are_limited_per_connection_and_in_all() {
    let server = serve(&[
        "--max-subscriptions-per-connection",
        "2",
        "--max-subscriptions",
        "3",
        "--max-topics",
        "2",
    ]);
    let mut first = Peer::join(&server, "/a");
    first.send("!subscribe b");
    first.wait_until_subscribed();
    first.send("!subscribe c");
    let refused = first.read();
    assert!(
        refused.contains("--max-subscriptions-per-connection"),
        "{refused}"
    );
    // Leaving one makes room for another.
    first.send("!unsubscribe a");
    first.send("!subscribe c");
    first.wait_until_subscribed();
    let mut second = Peer::open(&server, "/d");
    assert!(second.read().starts_with("!refused d"), "too many topics");
    second.send("!subscribe b");
    second.wait_until_subscribed();
    second.send("!subscribe c");
    assert!(second.read().starts_with("!refused c"), "too many in all");
    drop(first);
    let mut third = Peer::join(&server, "/e");
    third.send("in time");
    assert_eq!(third.read(), "in time");
}

#[test]
fn a_publication_that_is_too_long_is_refused() {
    let server = serve(&["--max-publication-size", "1"]);
    let mut peer = Peer::join(&server, "/a");
    peer.send(&"x".repeat(1025));
    assert!(peer.read().starts_with("!refused a"));
    peer.send(&"x".repeat(1024));
    assert_eq!(peer.read().len(), 1024);
}

/// A client that publishes too much is read more slowly, and nothing is dropped.
#[test]
fn publishers_and_what_they_cause_are_slowed_down() {
    for options in [
        ["--max-publications-per-second", "20"],
        ["--max-deliveries-per-second", "40"],
    ] {
        let server = serve(&options);
        let mut peers: Vec<_> = (0..2).map(|_| Peer::join(&server, "/a")).collect();
        let since = Instant::now();
        for number in 0..40 {
            peers[0].send(&number.to_string());
            // One message for each read.
            assert_eq!(peers[0].read(), number.to_string());
            assert_eq!(peers[1].read(), number.to_string());
        }
        assert!(since.elapsed() > Duration::from_millis(500), "{options:?}");
    }
}

#[test]
fn metrics_count_by_prefix_and_the_log_by_connection() {
    let server = serve(&[
        "--admin",
        "127.0.0.1:0",
        "--connections-per-instance",
        "2",
        "--metrics-topics",
        "chat/",
        "--metrics-topics",
        "chat/a",
    ]);
    let admin = admin(&server);
    let mut peers: Vec<_> = (0..3).map(|_| Peer::join(&server, "/chat/b")).collect();
    let mut other = Peer::join(&server, "/other");
    peers[0].send("one");
    other.send("two");
    peers.iter_mut().for_each(|peer| drop(peer.read()));
    other.read();
    assert_eq!(metric(&admin, "wasocket_topics"), 2);
    assert_eq!(metric(&admin, "wasocket_subscriptions"), 4);
    assert_eq!(metric(&admin, "wasocket_publications_total"), 2);
    assert_eq!(metric(&admin, "wasocket_deliveries_total"), 4);
    let (_, all) = get(&admin, "/metrics");
    for line in [
        "wasocket_topic_publications_total{prefix=\"chat/\"} 1",
        "wasocket_topic_deliveries_total{prefix=\"chat/\"} 3",
        "wasocket_topic_deliveries_total{prefix=\"chat/a\"} 0",
    ] {
        assert!(all.contains(line), "{line} in {all}");
    }
    assert!(!all.contains("bus_connected"), "there is no engine");
    assert_eq!(get(&admin, "/readyz"), (200, "ready\n".to_owned()));
    drop(peers);
    drop(other);
    wait_for_metric(&admin, "wasocket_subscriptions", 0);
    assert_eq!(metric(&admin, "wasocket_topics"), 0);
    server.wait_for_log("published=1 delivered=1");
}
