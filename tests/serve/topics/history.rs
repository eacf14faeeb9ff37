//! History, recovery and presence, within one process.

use crate::peer::Peer;
use crate::serve;

#[test]
fn history_is_given_to_those_who_come_later() {
    let server = serve(&["--connections-per-instance", "1", "--workers", "2"]);
    let mut first = Peer::join(&server, "/room?keep=3");
    first.send("!count 5");
    for number in 1..=5 {
        assert_eq!(first.read(), number.to_string());
    }
    let mut late = Peer::join(&server, "/room?last=10");
    for number in 3..=5 {
        assert_eq!(late.read(), number.to_string());
    }
    first.send("live");
    assert_eq!(late.read(), "live");
}

#[test]
fn a_client_that_comes_back_misses_nothing_or_is_told() {
    let server = serve(&["--connections-per-instance", "1"]);
    let mut first = Peer::join(&server, "/room?keep=3&position");
    first.send("1");
    let text = first.read();
    let (position, one) = text.split_once('\n').expect("a position");
    assert_eq!(one, "1");
    first.send("!count 2");
    let mut back = Peer::open(&server, &format!("/room?after={position}"));
    assert!(back.wait_until_subscribed().1, "all of it is there");
    assert_eq!([back.read(), back.read()], ["1", "2"]);
    first.send("!count 4");
    for _ in 0..4 {
        back.read();
    }
    let mut late = Peer::open(&server, &format!("/room?after={position}"));
    assert!(!late.wait_until_subscribed().1, "some is gone");
    let mut wrong = Peer::open(&server, "/room?after=nonsense");
    assert!(!wrong.wait_until_subscribed().1);
}

/// The operator's history counts, whatever the app asks for.
#[test]
fn the_operator_gives_topics_their_history() {
    let server = serve(&[
        "--connections-per-instance",
        "1",
        "--history",
        "kept/=2,10m",
        "--history",
        "none=0",
    ]);
    for (target, expected) in [("/kept/a", 2), ("/kept/b?keep=9", 2), ("/none?keep=9", 0)] {
        let mut first = Peer::join(&server, target);
        first.send("!count 4");
        for _ in 0..4 {
            first.read();
        }
        let path = target.split('?').next().expect("a path");
        let mut late = Peer::join(&server, &format!("{path}?last=9"));
        for number in 5 - expected..5 {
            assert_eq!(late.read(), number.to_string(), "{target}");
        }
        late.send("!echo end");
        assert_eq!(late.read(), "end", "{target}");
    }
}

#[test]
fn members_are_listed_and_watched() {
    let server = serve(&["--connections-per-instance", "1", "--workers", "2"]);
    let mut watcher = Peer::join(&server, "/room?watch");
    let first = Peer::join(&server, "/room?member=first");
    assert_eq!(watcher.read(), "!joined first");
    let mut second = Peer::join(&server, "/room?member=second");
    assert_eq!(watcher.read(), "!joined second");
    second.send("!members");
    assert_eq!(second.read(), "!members 2 first,second");
    drop(first);
    assert_eq!(watcher.read(), "!left first");
    second.send("!members");
    assert_eq!(second.read(), "!members 1 second");
}
