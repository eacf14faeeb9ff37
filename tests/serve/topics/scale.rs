//! Many topics, and many subscribers of one.

use std::time::{Duration, Instant};

use support::Server;
use support::operator::{admin, metric, wait_for_metric};

use crate::peer::Peer;
use crate::serve;

/// The longest that all of it may take.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn ten_thousand_topics_with_a_subscriber_each() {
    let server = serve(&[
        "--max-subscriptions-per-connection",
        "10000",
        "--admin",
        "127.0.0.1:0",
    ]);
    let mut subscribers: Vec<_> = (0..1000).map(|_| Peer::open(&server, "/")).collect();
    let since = Instant::now();
    for (number, peer) in subscribers.iter_mut().enumerate() {
        for topic in 0..10 {
            peer.send(&format!("!subscribe {number}/{topic}"));
        }
    }
    for peer in &mut subscribers {
        for _ in 0..10 {
            peer.wait_until_subscribed();
        }
    }
    let admin = admin(&server);
    assert_eq!(metric(&admin, "wasocket_topics"), 10_000);
    let mut publisher = Peer::open(&server, "/");
    for number in 0..1000 {
        for topic in 0..10 {
            publisher.send(&format!("!publish {number}/{topic} {topic}"));
        }
    }
    for peer in &mut subscribers {
        for topic in 0..10 {
            assert_eq!(peer.read(), topic.to_string());
        }
    }
    drop(subscribers);
    wait_for_metric(&admin, "wasocket_topics", 0);
    assert!(since.elapsed() < LONG);
}

/// As many as the limit on open files allows: each has a socket here and one in the server.
#[test]
fn one_topic_with_as_many_subscribers_as_the_machine_allows() {
    let most = 19_000.min(open_files().saturating_sub(200));
    let server = serve(&[
        "--max-connections",
        "20000",
        "--memory",
        "16",
        "--admin",
        "127.0.0.1:0",
    ]);
    let admin = admin(&server);
    let most =
        most.min(usize::try_from(metric(&admin, "wasocket_connections_limit")).expect("few") - 2);
    let mut subscribers: Vec<Peer> = Vec::with_capacity(most);
    for number in 0..most {
        subscribers.push(Peer::join(&server, "/room"));
        if number % 1000 == 999 {
            subscribers.iter_mut().for_each(Peer::answer_pings);
        }
    }
    let subscriptions = metric(&admin, "wasocket_subscriptions");
    assert_eq!(subscriptions, most as u64, "{}", last_lines(&server));
    let since = Instant::now();
    for text in ["one", "two"] {
        subscribers[0].send(text);
    }
    for peer in &mut subscribers {
        assert_eq!([peer.read(), peer.read()], ["one", "two"]);
    }
    assert!(since.elapsed() < LONG, "{:?}", since.elapsed());
    assert_eq!(metric(&admin, "wasocket_deliveries_total"), 2 * most as u64);
}

/// The number of files that this process may open.
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("on Linux");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    soft.unwrap_or(1024)
}

/// The end of the log, which says why connections have ended.
fn last_lines(server: &Server) -> String {
    let log = server.log();
    let lines: Vec<_> = log.lines().rev().take(10).collect();
    lines.join("\n")
}
