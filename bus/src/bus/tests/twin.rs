//! Two processes that share their topics, without a socket between them: the test passes on what they send.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use crate::limits::Limits;
use crate::message::twin::{Change, Wish};
use crate::message::{Keep, Kind, Message, Start, SubscriberId, Subscription};
use crate::topic::Topic;
use crate::{Arrival, Bus, Inbox, Port};

type Queue<T> = Arc<Mutex<VecDeque<T>>>;

struct Process {
    bus: Bus,
    port: Port,
    inbox: Inbox,
    /// What its one subscriber has been given, in short.
    given: Vec<String>,
}

impl Process {
    fn new() -> Self {
        let bus = Bus::local(Limits::default());
        let (port, inbox) = bus.attach();
        Self {
            bus,
            port,
            inbox,
            given: vec![],
        }
    }

    fn publish(&self, text: &str) {
        let message = Message {
            kind: Kind::Text,
            bytes: text.to_owned().into(),
        };
        self.port
            .publish(&topic(), message, None)
            .expect("it is short");
    }

    fn subscribe(&self, subscriber: u64, start: Start, member: Option<&str>) {
        self.port.subscribe(Subscription {
            subscriber: SubscriberId(subscriber),
            topic: topic(),
            start,
            keep: Some(Keep {
                count: 100,
                seconds: 60,
            }),
            member: member.map(|info| info.to_owned().into()),
            watches_members: true,
        });
    }

    fn take(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        if let Poll::Ready(arrivals) = self.inbox.poll_take(cx) {
            self.given.extend(arrivals.iter().map(short));
        }
    }

    fn given(&mut self) -> Vec<String> {
        self.take();
        std::mem::take(&mut self.given)
    }
}

fn topic() -> Topic {
    Topic::new("room").expect("a name")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn short(arrival: &Arrival) -> String {
    match arrival {
        Arrival::Publication { publication, .. } => text(&publication.message.bytes),
        Arrival::Subscribed {
            recovered, missed, ..
        } => {
            let missed: Vec<_> = missed.iter().map(|one| text(&one.message.bytes)).collect();
            format!("subscribed {recovered} {}", missed.join(","))
        }
        Arrival::Members { members, .. } => {
            let mut members: Vec<_> = members.iter().map(|member| text(&member.info)).collect();
            members.sort();
            format!("members {}", members.join(","))
        }
        Arrival::Joined { member, .. } => format!("joined {}", text(&member.info)),
        Arrival::Left { member, .. } => format!("left {}", text(&member.info)),
        Arrival::Released { .. } => "released".to_owned(),
        Arrival::Resumed { .. } => "resumed".to_owned(),
        other => format!("{other:?}"),
    }
}

struct Pair {
    old: Process,
    new: Process,
    changes: Queue<Change>,
    wishes: Queue<Wish>,
}

impl Pair {
    fn of(old: Process) -> Self {
        let (changes, wishes) = (Queue::<Change>::default(), Queue::<Wish>::default());
        let new = Process::new();
        let queue = Arc::clone(&changes);
        old.bus.lead(Box::new(move |change| {
            queue.lock().expect("one thread").push_back(change);
        }));
        let queue = Arc::clone(&wishes);
        new.bus.follow(Box::new(move |wish| {
            queue.lock().expect("one thread").push_back(wish);
        }));
        Self {
            old,
            new,
            changes,
            wishes,
        }
    }

    /// Each process has a member.
    fn with_members() -> Self {
        let old = Process::new();
        old.subscribe(1, Start::Now, Some("first"));
        let pair = Self::of(old);
        pair.pass_all();
        pair.new.subscribe(7, Start::Now, Some("second"));
        pair.pass_all();
        pair
    }

    /// Passes on at most this number of the leader's changes.
    fn pass_changes(&self, most: usize) {
        for _ in 0..most {
            let change = self.changes.lock().expect("one thread").pop_front();
            let Some(change) = change else { return };
            self.new.bus.apply(change);
        }
    }

    fn pass_wishes(&self, most: usize) {
        for _ in 0..most {
            let wish = self.wishes.lock().expect("one thread").pop_front();
            let Some(wish) = wish else { return };
            self.old.bus.grant(wish);
        }
    }

    fn pass_all(&self) {
        self.pass_wishes(usize::MAX);
        self.pass_changes(usize::MAX);
    }

    /// Moves the subscriber of this number.
    fn move_subscriber(&self, old: u64, new: u64, number: u64) {
        self.new.port.expect(SubscriberId(new), number);
        self.old.port.release(SubscriberId(old), &[topic()], number);
    }

    /// The old process has ended.
    fn part(self) -> Process {
        let Self { new, .. } = self;
        new.bus.part();
        new
    }
}

#[test]
fn history_and_its_positions_go_on() {
    let mut old = Process::new();
    old.subscribe(1, Start::Now, None);
    for text in ["a", "b", "c"] {
        old.publish(text);
    }
    old.take();
    let position = old.bus.topic(&topic()).and_then(|topic| topic.position);
    let pair = Pair::of(old);
    pair.pass_all();
    pair.old.publish("d");
    pair.new.publish("e");
    pair.pass_all();
    pair.new.publish("f");
    let mut new = pair.part();
    let position = position.expect("there is history");
    new.subscribe(1, Start::After(position), None);
    assert_eq!(new.given(), ["subscribed true d,e,f"]);
}

/// A topic has one history, whichever process wants it first.
#[test]
fn a_new_history_has_the_same_positions_in_both() {
    let mut pair = Pair::of(Process::new());
    pair.new.subscribe(1, Start::Now, None);
    assert_eq!(pair.new.given(), Vec::<String>::new(), "it has to be asked");
    pair.pass_all();
    assert_eq!(pair.new.given(), ["subscribed true "]);
    pair.new.publish("a");
    pair.pass_all();
    let position = |process: &Process| process.bus.topic(&topic()).expect("known").position;
    assert_eq!(position(&pair.old), position(&pair.new));
    // Once the other one is gone, what was waiting for it is decided here.
    pair.new.publish("b");
    let other = Subscription {
        subscriber: SubscriberId(2),
        topic: Topic::new("other").expect("a name"),
        start: Start::Now,
        keep: Some(Keep {
            count: 1,
            seconds: 60,
        }),
        member: None,
        watches_members: false,
    };
    pair.new.port.subscribe(other);
    let mut new = pair.part();
    assert_eq!(new.given(), ["a", "b", "subscribed true "]);
}

#[test]
fn members_are_seen_in_both_and_do_not_leave_when_they_move() {
    let mut pair = Pair::with_members();
    assert_eq!(
        pair.old.given(),
        ["subscribed true ", "joined first", "joined second"]
    );
    assert_eq!(pair.new.given(), ["subscribed true ", "joined second"]);
    for process in [&mut pair.old, &mut pair.new] {
        process.port.list_members(SubscriberId(9), &topic());
        assert_eq!(process.given(), ["members first,second"]);
    }
    pair.move_subscriber(1, 8, 1);
    pair.pass_all();
    pair.old.port.unsubscribe(SubscriberId(1), &topic());
    pair.pass_all();
    assert_eq!(pair.old.given(), ["released"]);
    assert_eq!(pair.new.given(), ["resumed"]);
    pair.new.port.list_members(SubscriberId(9), &topic());
    assert_eq!(pair.new.given(), ["members first,second"]);
    let mut new = pair.part();
    assert_eq!(new.given(), Vec::<String>::new(), "no member has left");
    new.port.unsubscribe(SubscriberId(8), &topic());
    assert_eq!(new.given(), ["left first"]);
}

/// The new process dies: its members have left, and the one that was on its way is still there.
#[test]
fn a_subscriber_that_was_not_taken_is_as_before() {
    let mut pair = Pair::with_members();
    pair.move_subscriber(1, 8, 1);
    pair.old.publish("a");
    pair.old.port.retain(SubscriberId(1), &[topic()]);
    pair.old.bus.part();
    pair.old.publish("b");
    pair.old.port.list_members(SubscriberId(1), &topic());
    let all = pair.old.given();
    let after = all.iter().skip_while(|given| *given != "released");
    let after: Vec<_> = after.map(String::as_str).collect();
    assert_eq!(
        after,
        ["released", "a", "left second", "b", "members first"]
    );
}

#[derive(Clone, Copy, Debug)]
enum Step {
    PublishOld,
    PublishNew,
    Changes(usize),
    Wishes(usize),
    TakeOld,
    TakeNew,
    Move,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::PublishOld),
        3 => Just(Step::PublishNew),
        2 => (1..4_usize).prop_map(Step::Changes),
        2 => (1..4_usize).prop_map(Step::Wishes),
        1 => Just(Step::TakeOld),
        1 => Just(Step::TakeNew),
        1 => Just(Step::Move),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whenever the subscriber moves, and whatever is under way: it is given every publication once, in the common order,
    /// which is that of history.
    #[test]
    fn a_subscriber_that_moves_misses_nothing(steps in prop::collection::vec(step(), 1..60)) {
        let old = Process::new();
        old.subscribe(1, Start::Now, None);
        let mut pair = Pair::of(old);
        pair.pass_all();
        let (mut published, mut has_moved) = (0, false);
        for step in steps {
            match step {
                Step::PublishOld => {
                    published += 1;
                    pair.old.publish(&format!("o{published}"));
                }
                Step::PublishNew => {
                    published += 1;
                    pair.new.publish(&format!("n{published}"));
                }
                Step::Changes(most) => pair.pass_changes(most),
                Step::Wishes(most) => pair.pass_wishes(most),
                Step::TakeOld => pair.old.take(),
                Step::TakeNew => pair.new.take(),
                Step::Move if has_moved => {}
                Step::Move => {
                    has_moved = true;
                    pair.move_subscriber(1, 2, 1);
                }
            }
        }
        if !has_moved {
            pair.move_subscriber(1, 2, 1);
        }
        pair.pass_all();
        let of_old = pair.old.given();
        let mut of_old = of_old.iter().filter(|given| !given.starts_with("subscribed"));
        let mut given: Vec<_> = of_old.by_ref().take_while(|given| *given != "released").cloned().collect();
        let of_new = pair.new.given();
        given.extend(of_new.iter().skip_while(|given| *given != "resumed").skip(1).cloned());
        let mut new = pair.part();
        new.subscribe(3, Start::Last(100), None);
        let history = new.given();
        let all = history.last().expect("an answer");
        prop_assert_eq!(format!("subscribed true {}", given.join(",")), all.clone());
        prop_assert_eq!(given.len(), published);
    }
}
