//! Random schedules for whole buses, with an engine or without: the same for all of them.

use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::checker::{Checker, Place};
use crate::message::{Keep, Start, SubscriberId, Subscription};
use crate::position::Position;
use crate::topic::Topic;
use crate::{Bus, Inbox, Port, PublishError};

/// The workers of each process, and the subscribers that each has on each topic at most.
const WORKERS: usize = 2;
const SLOTS: usize = 2;

/// The topics, and the history that subscribers want of them.
const TOPICS: [(&str, Option<u32>); 3] =
    [("kept", Some(100)), ("not kept", None), ("short", Some(2))];

/// How long everything may take to arrive. It takes that long only if something is missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A step. Which process, worker, slot and topic is meant is told by numbers, of which the rest is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Subscribe(Who, From),
    Leave(Who),
    /// The last says whether who publishes is excluded.
    Publish(Who, usize, bool),
    Take(Who),
    /// Waits for milliseconds.
    Wait(u64),
    /// Whatever the test does to the engine.
    Disturb,
}

/// Process, worker, slot and topic.
pub(crate) type Who = (usize, usize, usize, usize);

/// Where a subscriber begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum From {
    Now,
    Last(u32),
    WhereItStood,
}

/// Schedules for this number of processes.
pub(crate) fn schedules(processes: usize, length: usize) -> impl Strategy<Value = Vec<Step>> {
    let who = || (0..processes, 0..WORKERS, 0..SLOTS, 0..TOPICS.len());
    let from = prop_oneof![
        Just(From::Now),
        (0u32..5).prop_map(From::Last),
        Just(From::WhereItStood),
    ];
    let step = prop_oneof![
        6 => (who(), from).prop_map(|(who, from)| Step::Subscribe(who, from)),
        2 => who().prop_map(Step::Leave),
        12 => (who(), 1usize..20, any::<bool>()).prop_map(|(who, count, x)| Step::Publish(who, count, x)),
        6 => who().prop_map(Step::Take),
        3 => (0u64..30).prop_map(Step::Wait),
        1 => Just(Step::Disturb),
    ];
    vec(step, 1..length)
}

/// Some processes with a bus each.
struct Processes {
    workers: Vec<Worker>,
    topics: Vec<Topic>,
    slots: Vec<(Option<SubscriberId>, Option<Position>)>,
    checker: Checker,
    numbers: u64,
}

struct Worker {
    place: Place,
    port: Port,
    inbox: Inbox,
    published: usize,
}

/// Runs a schedule and checks that every subscriber has seen everything once and in order, or was told of a gap.
/// Topics are named after `run`, so that runs do not meet at an engine. `has_amnesia` says that the engine may forget
/// what it has; `disturb` does to it whatever the test is about, and must leave it reachable.
pub(crate) fn check(
    run: &str,
    buses: &[Bus],
    steps: Vec<Step>,
    has_amnesia: bool,
    mut disturb: impl FnMut(),
) -> Checker {
    let mut processes = Processes::new(run, buses);
    processes.checker.has_amnesia = has_amnesia;
    for step in steps {
        if matches!(step, Step::Disturb) {
            disturb();
        }
        processes.step(step);
    }
    processes.finish();
    processes.checker
}

impl Processes {
    fn new(run: &str, buses: &[Bus]) -> Self {
        let places = (0..buses.len()).flat_map(|bus| (0..WORKERS).map(move |worker| (bus, worker)));
        let workers: Vec<_> = places
            .map(|place| Worker::new(&buses[place.0], place))
            .collect();
        let topics = TOPICS
            .iter()
            .map(|(name, _)| Topic::new(&format!("{run} {name}")).unwrap());
        Self {
            slots: vec![(None, None); workers.len() * SLOTS * TOPICS.len()],
            workers,
            topics: topics.collect(),
            checker: Checker::default(),
            numbers: 0,
        }
    }

    fn worker(who: Who) -> usize {
        who.0 * WORKERS + who.1
    }

    fn slot(who: Who) -> usize {
        (Self::worker(who) * SLOTS + who.2) * TOPICS.len() + who.3
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Subscribe(who, from) => self.subscribe(who, from),
            Step::Leave(who) => self.leave(who),
            Step::Publish(who, count, is_excluded) => {
                let excluded = self.slots[Self::slot(who)].0.filter(|_| is_excluded);
                (0..count).for_each(|_| self.publish(who, excluded));
            }
            Step::Take(who) => self.take(Self::worker(who)),
            Step::Wait(milliseconds) => thread::sleep(Duration::from_millis(milliseconds)),
            Step::Disturb => {}
        }
    }

    fn subscribe(&mut self, who: Who, from: From) {
        self.leave(who);
        self.numbers += 1;
        let subscriber = SubscriberId(self.numbers);
        let slot = &mut self.slots[Self::slot(who)];
        slot.0 = Some(subscriber);
        let start = match from {
            From::Now => Start::Now,
            From::Last(count) => Start::Last(count),
            From::WhereItStood => slot.1.map_or(Start::Now, Start::After),
        };
        let topic = self.topics[who.3].clone();
        let worker = &self.workers[Self::worker(who)];
        self.checker
            .subscribes(worker.place, subscriber, &topic, start);
        worker.port.subscribe(Subscription {
            subscriber,
            topic,
            start,
            keep: TOPICS[who.3].1.map(|count| Keep {
                count,
                seconds: 600,
            }),
            member: None,
            watches_members: false,
        });
    }

    fn leave(&mut self, who: Who) {
        let slot = &mut self.slots[Self::slot(who)];
        let Some(subscriber) = slot.0.take() else {
            return;
        };
        let worker = &self.workers[Self::worker(who)];
        let position = self.checker.position(worker.place, subscriber);
        slot.1 = position.or(slot.1);
        worker.port.unsubscribe(subscriber, &self.topics[who.3]);
        self.checker.leaves(worker.place, subscriber);
    }

    fn publish(&mut self, who: Who, exclude: Option<SubscriberId>) {
        let topic = &self.topics[who.3];
        let worker = &mut self.workers[Self::worker(who)];
        worker.published += 1;
        let message = Checker::message(worker.place, worker.published);
        match worker.port.publish(topic, message.clone(), exclude) {
            Ok(()) => {
                let excluded = exclude.map(|subscriber| (worker.place, subscriber));
                self.checker.publishes(topic, &message, excluded);
            }
            Err(PublishError::Busy | PublishError::OnlyHere) => {}
            Err(PublishError::TooLong) => panic!("a short message is too long"),
        }
    }

    fn take(&mut self, worker: usize) {
        let worker = &mut self.workers[worker];
        let cx = &mut Context::from_waker(Waker::noop());
        if let Poll::Ready(arrivals) = worker.inbox.poll_take(cx) {
            self.checker.takes(worker.place, arrivals);
        }
    }

    fn take_all(&mut self) {
        for worker in 0..self.workers.len() {
            self.take(worker);
        }
    }

    /// Publishes once more on every topic, by which what is missing at the end is noticed, and waits for everything.
    fn finish(&mut self) {
        self.wait(|checker| checker.is_answered());
        for topic in 0..TOPICS.len() {
            self.publish((0, 0, 0, topic), None);
        }
        self.wait(Checker::is_complete);
        self.checker.check();
    }

    fn wait(&mut self, is_over: impl Fn(&Checker) -> bool) {
        let end = Instant::now() + PATIENCE;
        self.take_all();
        while !is_over(&self.checker) && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
            self.take_all();
        }
    }
}

impl Worker {
    fn new(bus: &Bus, place: Place) -> Self {
        let (port, inbox) = bus.attach();
        Self {
            place,
            port,
            inbox,
            published: 0,
        }
    }
}
