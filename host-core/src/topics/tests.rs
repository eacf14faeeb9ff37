use alloc::string::ToString;
use alloc::vec;

use super::*;

const SECOND: Instant = 1_000_000_000;

fn subscription(topic: &str) -> Subscription {
    Subscription {
        topic: topic.into(),
        start: Start::Now,
        keep: None,
        member: None,
        watches_members: false,
        confirm: false,
    }
}

fn with_history(topic: &str, start: Start) -> Subscription {
    let keep = Some(Keep {
        count: 3,
        seconds: 10,
    });
    Subscription {
        start,
        keep,
        confirm: true,
        ..subscription(topic)
    }
}

fn member(topic: &str, name: &str) -> Subscription {
    Subscription {
        member: Some(name.into()),
        watches_members: true,
        ..subscription(topic)
    }
}

fn publish(topics: &mut Topics<&'static str>, message: &'static str, now: Instant) {
    topics.publish("room".into(), message, message.len(), None, now);
}

/// What was missed, whether that is all, and the position that follows.
fn recovered(arrivals: &[Arrival<&'static str>]) -> (Vec<&'static str>, bool, Option<String>) {
    let missed = arrivals.iter().filter_map(|arrival| match arrival {
        Arrival::Publication(delivery, _) => Some(delivery.message),
        Arrival::Event(..) => None,
    });
    let Some(Arrival::Event(
        _,
        Event::Subscribed {
            recovered,
            position,
            ..
        },
    )) = arrivals.first()
    else {
        return (vec![], false, Some("not subscribed".into()));
    };
    (missed.collect(), *recovered, position.clone())
}

#[test]
fn reaches_all_subscribers_but_the_excluded_one() {
    let mut topics = Topics::new(0);
    for id in 1..=3 {
        assert_eq!(topics.subscribe(id, subscription("room"), 0), []);
    }
    topics.unsubscribe(1, "room");
    let all = topics.publish("room".into(), "hi", 2, None, 0);
    assert!(matches!(all, Some(Arrival::Publication(delivery, to))
        if to == [2, 3] && delivery.message == "hi" && delivery.position.is_none()));
    let others = topics.publish("room".into(), "hi", 2, Some(2), 0);
    assert!(matches!(others, Some(Arrival::Publication(_, to)) if to == [3]));
    topics.leave(3);
    topics.leave(2);
    assert_eq!(topics.publish("room".into(), "hi", 2, None, 0), None);
    assert!(topics.topics.is_empty() && topics.of.is_empty());
}

#[test]
fn those_who_come_back_get_what_they_missed() {
    let mut topics = Topics::new(6);
    topics.subscribe(1, with_history("room", Start::Now), 0);
    for message in ["a", "b", "c", "d"] {
        publish(&mut topics, message, 0);
    }
    let mut start = |start: Start| recovered(&topics.subscribe(2, with_history("room", start), 0));
    let position = Some("0000000000000007-4".to_string());
    let at = |offset: u64| Start::After(alloc::format!("0000000000000007-{offset}"));
    assert_eq!(start(Start::Now), (vec![], true, position.clone()));
    assert_eq!(
        start(Start::Last(2)),
        (vec!["c", "d"], true, position.clone())
    );
    assert_eq!(
        start(Start::Last(9)),
        (vec!["b", "c", "d"], true, position.clone())
    );
    assert_eq!(start(at(4)), (vec![], true, position.clone()));
    assert_eq!(start(at(1)), (vec!["b", "c", "d"], true, position.clone()));
    for lost in [
        "0000000000000007-0",
        "0000000000000007-5",
        "0000000000000008-4",
        "7-4",
        "",
        "0000000000000007-+4",
    ] {
        assert_eq!(
            start(Start::After(lost.into())),
            (vec![], false, position.clone()),
            "{lost}"
        );
    }
}

#[test]
fn what_is_too_old_is_not_given() {
    let mut topics = Topics::new(0);
    topics.subscribe(1, with_history("room", Start::Now), 0);
    publish(&mut topics, "old", 0);
    publish(&mut topics, "new", 5 * SECOND);
    let given = topics.subscribe(2, with_history("room", Start::Last(9)), 10 * SECOND);
    assert_eq!(recovered(&given).0, ["new"]);
}

#[test]
fn without_history_only_a_start_at_a_position_misses_something() {
    let mut topics = Topics::<&str>::new(0);
    for (start, is_recovered) in [(Start::Last(5), true), (Start::After("x".into()), false)] {
        let wanted = Subscription {
            start,
            confirm: true,
            ..subscription("room")
        };
        assert_eq!(
            recovered(&topics.subscribe(1, wanted, 0)),
            (vec![], is_recovered, None)
        );
    }
}

#[test]
fn history_is_bounded() {
    let mut topics = Topics::new(0);
    topics.subscribe(1, with_history("room", Start::Now), 0);
    for _ in 0..5 {
        topics.publish("room".into(), "long", 8 * 1024 * 1024, None, 0);
    }
    let given = topics.subscribe(2, with_history("room", Start::Last(9)), 0);
    assert_eq!(recovered(&given).0.len(), 1);
}

#[test]
fn members_are_listed_and_watched() {
    let mut topics = Topics::<&str>::new(0);
    let joined = |id, member: &str| {
        Arrival::Event(
            id,
            Event::Joined {
                topic: "room".into(),
                member: member.into(),
            },
        )
    };
    assert_eq!(
        topics.subscribe(1, member("room", "Ann"), 0),
        [joined(1, "Ann")]
    );
    assert_eq!(topics.subscribe(1, member("room", "Ann"), 0), []);
    let both = [joined(1, "Bob"), joined(2, "Bob")];
    assert_eq!(topics.subscribe(2, member("room", "Bob"), 0), both);
    let listed = topics.list_members(2, "room");
    assert!(
        matches!(listed, Arrival::Event(2, Event::Members { count: 2, members, .. })
        if members == [b"Ann".to_vec(), b"Bob".to_vec()])
    );
    let left = Event::Left {
        topic: "room".into(),
        member: b"Ann".to_vec(),
    };
    assert_eq!(topics.leave(1), [Arrival::Event(2, left)]);
}
