//! Random schedules of processes that subscribe, publish and leave, with an engine that loses connections, answers and
//! publications, sends some twice, and forgets everything.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::world::World;
use crate::limits::Limits;
use crate::message::{Start, SubscriberId};
use crate::position::Position;
use crate::topic::Topic;

const RUNNERS: usize = 2;
const SLOTS: usize = 2;

/// The history that the subscribers of each topic want.
const TOPICS: [(&str, Option<u32>); 3] =
    [("kept", Some(50)), ("not kept", None), ("short", Some(2))];

#[derive(Clone, Copy, Debug)]
enum Step {
    Subscribe(usize, usize, usize, From),
    Unsubscribe(usize, usize, usize),
    /// The last says whether the subscriber of this slot is excluded.
    Publish(usize, usize, Option<usize>),
    CarryOut(usize, usize),
    Answer(usize, usize),
    Live(usize, usize),
    Connect(usize),
    Cut(usize),
    Pass(u64),
    Lose(usize),
    Repeat(usize),
    Forget,
}

#[derive(Clone, Copy, Debug)]
enum From {
    Now,
    Last(u32),
    WhereItStood,
}

fn steps(with_amnesia: bool) -> impl Strategy<Value = Vec<Step>> {
    let runner = || 0..RUNNERS;
    let slot = || 0..SLOTS;
    let topic = || 0..TOPICS.len();
    let from = prop_oneof![
        Just(From::Now),
        (0u32..5).prop_map(From::Last),
        Just(From::WhereItStood),
    ];
    let forget = if with_amnesia {
        Step::Forget
    } else {
        Step::Pass(1)
    };
    let step = prop_oneof![
        6 => (runner(), slot(), topic(), from).prop_map(|(r, s, t, f)| Step::Subscribe(r, s, t, f)),
        3 => (runner(), slot(), topic()).prop_map(|(r, s, t)| Step::Unsubscribe(r, s, t)),
        12 => (runner(), topic(), proptest::option::weighted(0.2, slot()))
            .prop_map(|(r, t, e)| Step::Publish(r, t, e)),
        12 => (runner(), 1usize..6).prop_map(|(r, n)| Step::CarryOut(r, n)),
        10 => (runner(), 1usize..6).prop_map(|(r, n)| Step::Answer(r, n)),
        10 => (runner(), 1usize..6).prop_map(|(r, n)| Step::Live(r, n)),
        6 => runner().prop_map(Step::Connect),
        2 => runner().prop_map(Step::Cut),
        2 => (0u64..3000).prop_map(Step::Pass),
        2 => runner().prop_map(Step::Lose),
        2 => runner().prop_map(Step::Repeat),
        1 => Just(forget),
    ];
    vec(step, 1..150)
}

struct Run {
    world: World,
    topics: Vec<Topic>,
    /// Who is in a slot, and where whoever was there before stood.
    slots: Vec<(Option<SubscriberId>, Option<Position>)>,
}

impl Run {
    fn new() -> Self {
        let topics = TOPICS.iter().map(|(name, _)| Topic::new(name).unwrap());
        Self {
            world: World::new(RUNNERS, &Limits::default()),
            topics: topics.collect(),
            slots: vec![(None, None); RUNNERS * SLOTS * TOPICS.len()],
        }
    }

    fn slot(runner: usize, slot: usize, topic: usize) -> usize {
        (runner * SLOTS + slot) * TOPICS.len() + topic
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Subscribe(runner, slot, topic, from) => {
                self.leave(runner, slot, topic);
                let entry = &mut self.slots[Self::slot(runner, slot, topic)];
                let start = match from {
                    From::Now => Start::Now,
                    From::Last(count) => Start::Last(count),
                    From::WhereItStood => entry.1.map_or(Start::Now, Start::After),
                };
                let name = &self.topics[topic];
                entry.0 = Some(self.world.subscribe(runner, name, start, TOPICS[topic].1));
            }
            Step::Unsubscribe(runner, slot, topic) => self.leave(runner, slot, topic),
            Step::Publish(runner, topic, slot) => {
                let excluded = slot.and_then(|slot| self.slots[Self::slot(runner, slot, topic)].0);
                _ = self.world.publish(runner, &self.topics[topic], excluded);
            }
            Step::CarryOut(runner, count) => {
                (0..count).for_each(|_| _ = self.world.carry_out(runner));
            }
            Step::Answer(runner, count) => (0..count).for_each(|_| _ = self.world.answer(runner)),
            Step::Live(runner, count) => (0..count).for_each(|_| _ = self.world.live(runner)),
            Step::Connect(runner) => self.world.connect(runner),
            Step::Cut(runner) => self.world.cut(runner),
            Step::Pass(milliseconds) => self.world.pass(Duration::from_millis(milliseconds)),
            Step::Lose(runner) => self.world.server.lose(runner),
            Step::Repeat(runner) => self.world.server.repeat(runner),
            Step::Forget => {
                self.world.checker.has_amnesia = true;
                self.world.server.forget();
                self.world.notice_cuts();
            }
        }
    }

    fn leave(&mut self, runner: usize, slot: usize, topic: usize) {
        let entry = &mut self.slots[Self::slot(runner, slot, topic)];
        if let Some(subscriber) = entry.0.take() {
            let position = self.world.checker.position((runner, 0), subscriber);
            entry.1 = position.or(entry.1);
            self.world
                .unsubscribe(runner, subscriber, &self.topics[topic]);
        }
    }

    /// Lets everything arrive, and one more publication on each topic, by which what was lost at the end is noticed.
    fn finish(mut self) {
        self.world.settle();
        for topic in 0..self.topics.len() {
            self.take(Step::Publish(0, topic, None));
        }
        self.world.settle();
        self.world.checker.check();
        for runner in 0..RUNNERS {
            let status = self.world.status(runner);
            assert_eq!((status.unconfirmed, status.unconfirmed_bytes), (0, 0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_subscriber_sees_everything_once_and_in_order_or_is_told_of_a_gap(steps in steps(false)) {
        let mut run = Run::new();
        steps.into_iter().for_each(|step| run.take(step));
        run.finish();
    }

    #[test]
    fn an_engine_that_forgets_leaves_gaps_and_nothing_silent(steps in steps(true)) {
        let mut run = Run::new();
        steps.into_iter().for_each(|step| run.take(step));
        run.finish();
    }
}
