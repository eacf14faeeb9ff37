use crate::limits::{HistoryLimits, Limits};
use crate::message::{Keep, Kind, Message, Start, SubscriberId, Subscription};
use crate::position::Position;
use crate::topic::Topic;
use crate::{Arrival, Bus, Inbox, Port, Refusal, TopicsPage};
use std::task::{Context, Poll, Waker};

fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

fn text(text: &str) -> Message {
    Message {
        kind: Kind::Text,
        bytes: text.to_owned().into(),
    }
}

fn subscription(subscriber: u64, start: Start) -> Subscription {
    Subscription {
        subscriber: SubscriberId(subscriber),
        topic: topic("room"),
        start,
        keep: None,
        member: None,
        watches_members: false,
    }
}

fn keeping(subscriber: u64, start: Start) -> Subscription {
    Subscription {
        keep: Some(Keep {
            count: 3,
            seconds: 60,
        }),
        ..subscription(subscriber, start)
    }
}

fn seen(subscriber: u64, info: &str) -> Subscription {
    Subscription {
        member: Some(info.to_owned().into()),
        watches_members: true,
        ..subscription(subscriber, Start::Now)
    }
}

fn take(inbox: &mut Inbox) -> Vec<Arrival> {
    match inbox.poll_take(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(arrivals) => arrivals,
        Poll::Pending => vec![],
    }
}

/// What arrived, in short.
fn told(inbox: &mut Inbox) -> Vec<String> {
    take(inbox).iter().map(short).collect()
}

fn short(arrival: &Arrival) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match arrival {
        Arrival::Publication { publication, .. } => match publication.exclude {
            Some(excluded) => format!("{} not {}", text(&publication.message.bytes), excluded.0),
            None => text(&publication.message.bytes),
        },
        Arrival::Subscribed {
            subscriber,
            recovered,
            missed,
            ..
        } => {
            let missed = missed.iter().map(|one| text(&one.message.bytes));
            let missed = missed.collect::<Vec<_>>().join(",");
            format!("{} live, {recovered}, [{missed}]", subscriber.0)
        }
        Arrival::Refused { reason, .. } => format!("refused: {reason:?}"),
        Arrival::Gap { .. } => "gap".to_owned(),
        Arrival::Members { count, members, .. } => format!("{count} members, {}", members.len()),
        Arrival::Released { .. } | Arrival::Resumed { .. } => "moved".to_owned(),
        Arrival::Joined { member, .. } => format!("joined {}", text(&member.info)),
        Arrival::Left { member, .. } => format!("left {}", text(&member.info)),
    }
}

fn position(inbox: &mut Inbox) -> Position {
    match &take(inbox)[..] {
        [Arrival::Subscribed { position, .. }] => position.unwrap(),
        other => panic!("{other:?}"),
    }
}

fn publish(port: &Port, message: &str) {
    port.publish(&topic("room"), text(message), None).unwrap();
}

#[test]
fn a_publisher_that_subscribes_gets_its_own_at_one_place_of_the_order() {
    let bus = Bus::local(Limits::default());
    let (port, mut inbox) = bus.attach();
    let (other, mut others) = bus.attach();
    publish(&port, "a");
    port.subscribe(subscription(1, Start::Now));
    other.subscribe(subscription(1, Start::Now));
    publish(&port, "b");
    port.publish(&topic("room"), text("c"), Some(SubscriberId(1)))
        .unwrap();
    assert_eq!(told(&mut inbox), ["1 live, true, []", "b", "c not 1"]);
    assert_eq!(told(&mut others), ["1 live, true, []", "b", "c"]);
}

#[test]
fn history_gives_what_was_missed_or_says_that_it_cannot() {
    let bus = Bus::local(Limits::default());
    let (port, mut inbox) = bus.attach();
    port.subscribe(keeping(1, Start::Now));
    let start = position(&mut inbox);
    port.unsubscribe(SubscriberId(1), &topic("room"));
    for message in ["a", "b", "c"] {
        publish(&port, message);
    }
    port.subscribe(subscription(1, Start::After(start)));
    assert_eq!(told(&mut inbox), ["1 live, true, [a,b,c]"]);
    publish(&port, "d");
    port.subscribe(subscription(1, Start::After(start)));
    port.subscribe(subscription(2, Start::Last(2)));
    let other = Position {
        epoch: 1,
        offset: 0,
    };
    port.subscribe(subscription(3, Start::After(other)));
    let beyond = Position { offset: 9, ..start };
    port.subscribe(subscription(4, Start::After(beyond)));
    let expected = [
        "d",
        "1 live, false, []",
        "2 live, true, [c,d]",
        "3 live, false, []",
        "4 live, false, []",
    ];
    assert_eq!(told(&mut inbox), expected);
    assert_eq!(bus.counters().recovered.get(), 1);
    assert_eq!(bus.counters().not_recovered.get(), 3);
}

#[test]
fn an_answer_to_a_subscription_that_was_left_or_replaced_does_not_arrive() {
    let bus = Bus::local(Limits::default());
    let (port, mut inbox) = bus.attach();
    port.subscribe(subscription(1, Start::Now));
    port.unsubscribe(SubscriberId(1), &topic("room"));
    port.subscribe(subscription(2, Start::Now));
    publish(&port, "a");
    port.subscribe(subscription(2, Start::Now));
    assert_eq!(told(&mut inbox), ["a", "2 live, true, []"]);
}

#[test]
fn members_are_listed_and_announced_to_those_that_watch() {
    let bus = Bus::local(Limits::default());
    let (port, mut inbox) = bus.attach();
    port.subscribe(seen(1, "ann"));
    port.subscribe(seen(2, "bob"));
    port.subscribe(seen(2, "bobby"));
    port.unsubscribe(SubscriberId(1), &topic("room"));
    port.list_members(SubscriberId(2), &topic("room"));
    let expected = [
        "joined ann",
        "joined bob",
        "2 live, true, []",
        "joined bobby",
        "left ann",
        "1 members, 1",
    ];
    assert_eq!(told(&mut inbox), expected);
    port.subscribe(seen(3, &"x".repeat(257)));
    assert_eq!(told(&mut inbox), ["refused: MemberTooLong"]);
}

#[test]
fn a_worker_that_goes_takes_its_members_along() {
    let bus = Bus::local(Limits::default());
    let (port, inbox) = bus.attach();
    let (other, mut others) = bus.attach();
    other.subscribe(seen(1, "stays"));
    port.subscribe(seen(1, "goes"));
    drop(inbox);
    assert_eq!(
        told(&mut others),
        [
            "1 live, true, []",
            "joined stays",
            "joined goes",
            "left goes"
        ]
    );
    assert_eq!(bus.topic(&topic("room")).unwrap().subscribers, 1);
}

#[test]
fn what_a_slow_worker_has_no_room_for_becomes_one_gap_behind_everything() {
    let limits = Limits {
        inbox: 1000,
        ..Limits::default()
    };
    let bus = Bus::local(limits);
    let (port, mut inbox) = bus.attach();
    port.subscribe(keeping(1, Start::Now));
    publish(&port, "a");
    publish(&port, &"b".repeat(800));
    publish(&port, "c");
    assert_eq!(told(&mut inbox), ["1 live, true, []", "a", "gap"]);
    publish(&port, "d");
    assert_eq!(told(&mut inbox), ["d"]);
    let counters = bus.counters();
    assert_eq!((counters.dropped.get(), counters.gaps.get()), (2, 1));
}

#[test]
fn the_history_that_was_used_least_recently_goes_first() {
    let limits = Limits {
        history: HistoryLimits {
            topics: 2,
            ..HistoryLimits::default()
        },
        ..Limits::default()
    };
    let bus = Bus::local(limits);
    let (port, mut inbox) = bus.attach();
    let start = |name: &str, start| Subscription {
        topic: topic(name),
        ..keeping(1, start)
    };
    let mut positions = vec![];
    for name in ["a", "b", "c"] {
        port.subscribe(start(name, Start::Now));
        positions.push(position(&mut inbox));
        port.unsubscribe(SubscriberId(1), &topic(name));
    }
    port.subscribe(start("c", Start::After(positions[2])));
    port.subscribe(start("b", Start::After(positions[1])));
    port.subscribe(start("a", Start::After(positions[0])));
    assert_eq!(
        told(&mut inbox),
        ["1 live, true, []", "1 live, true, []", "1 live, false, []"]
    );
}

#[test]
fn history_holds_no_more_bytes_than_it_may() {
    let limits = Limits {
        history: HistoryLimits {
            bytes: 2000,
            ..HistoryLimits::default()
        },
        ..Limits::default()
    };
    let bus = Bus::local(limits);
    let (port, mut inbox) = bus.attach();
    port.subscribe(keeping(1, Start::Now));
    for size in [1000, 500, 700, 5000, 100] {
        publish(&port, &"x".repeat(size));
        assert!(bus.status().history_bytes <= 2000);
    }
    take(&mut inbox);
    port.subscribe(subscription(2, Start::Last(9)));
    assert_eq!(
        told(&mut inbox),
        [format!("2 live, true, [{}]", "x".repeat(100))]
    );
}

#[test]
fn there_are_no_more_topics_and_subscriptions_than_the_operator_allows() {
    let limits = Limits {
        topics: 1,
        subscriptions: 2,
        ..Limits::default()
    };
    let bus = Bus::local(limits);
    let (port, mut inbox) = bus.attach();
    port.subscribe(subscription(1, Start::Now));
    port.subscribe(Subscription {
        topic: topic("other"),
        ..subscription(1, Start::Now)
    });
    port.subscribe(subscription(2, Start::Now));
    port.subscribe(subscription(3, Start::Now));
    port.subscribe(subscription(2, Start::Now));
    let arrivals = take(&mut inbox);
    let refused = arrivals.iter().filter_map(|arrival| match arrival {
        Arrival::Refused { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    let refused: Vec<_> = refused.collect();
    assert_eq!(
        refused,
        [Refusal::TooManyTopics, Refusal::TooManySubscriptions]
    );
    assert_eq!(arrivals.len(), 4);
    for subscriber in [1, 2] {
        port.unsubscribe(SubscriberId(subscriber), &topic("room"));
    }
    assert_eq!((bus.status().topics, bus.status().subscriptions), (0, 0));
}

#[test]
fn topics_are_listed_by_name_in_pages() {
    let bus = Bus::local(Limits::default());
    let (port, _inbox) = bus.attach();
    for name in ["b1", "a", "b3", "b2", "c"] {
        port.subscribe(Subscription {
            topic: topic(name),
            ..keeping(1, Start::Now)
        });
    }
    let mut page = TopicsPage {
        prefix: "b".to_owned(),
        after: None,
        limit: 2,
    };
    let names = |page: &TopicsPage| -> Vec<String> {
        let topics = bus.topics(page);
        topics.iter().map(|one| one.topic.to_string()).collect()
    };
    assert_eq!(names(&page), ["b1", "b2"]);
    page.after = Some(topic("b2"));
    assert_eq!(names(&page), ["b3"]);
    assert!(bus.topic(&topic("d")).is_none());
}
