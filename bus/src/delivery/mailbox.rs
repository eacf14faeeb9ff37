//! One worker's mailbox: everything that arrives for it, in order and bounded.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::arrival::{Arrival, Refusal};
use crate::message::SubscriberId;
use crate::observe::counters::Counters;
use crate::position::Position;
use crate::topic::Topic;

/// Which subscription an answer belongs to: one that was left or replaced in the meantime must not become live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// One worker's mailbox.
///
/// What this worker asked for is always admitted, since it is bounded by what the worker asks; what others publish is
/// dropped when the mailbox is full. From then on everything of that topic is dropped until the worker has emptied the
/// mailbox, and a gap stands for it: so it cannot happen that what comes after a loss is delivered before the gap.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    capacity: usize,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<(Arrival, Option<Generation>)>,
    bytes: usize,
    /// Topics of which something was dropped, and where they stood then.
    lossy: HashMap<Topic, Option<Position>>,
    /// Subscriptions without an answer.
    expected: HashMap<(SubscriberId, Topic), Generation>,
    generations: u64,
    waker: Option<Waker>,
}

impl Mailbox {
    pub(crate) fn new(capacity: usize, counters: Arc<Counters>) -> Self {
        Self {
            state: Mutex::default(),
            capacity,
            counters,
        }
    }

    /// Notes that a subscription is to be answered. One of the same subscriber to the same topic is not, any more.
    pub(crate) fn expect(&self, subscriber: SubscriberId, topic: &Topic) -> Generation {
        let mut state = self.lock();
        state.generations = state.generations.wrapping_add(1);
        let generation = Generation(state.generations);
        let of = (subscriber, topic.clone());
        state.expected.insert(of, generation);
        generation
    }

    /// Forgets a subscription that has no answer yet.
    pub(crate) fn expect_no_more(&self, subscriber: SubscriberId, topic: &Topic) {
        let of = (subscriber, topic.clone());
        self.lock().expected.remove(&of);
    }

    /// Answers a subscription: [`Arrival::Subscribed`] or [`Arrival::Refused`].
    pub(crate) fn answer(&self, generation: Generation, answer: Arrival) {
        let mut state = self.lock();
        if let Arrival::Subscribed { topic, .. } = &answer {
            // What was lost was lost before this subscriber came.
            state.tell_gap(topic, &self.counters);
        }
        let answer = self.without_what_has_no_room(&state, answer);
        state.push(answer, Some(generation));
    }

    /// From here on, a subscriber belongs to another process. Anything its topics lost was lost before.
    pub(crate) fn release(&self, subscriber: SubscriberId, topics: &[Topic]) {
        let mut state = self.lock();
        for topic in topics {
            state.tell_gap(topic, &self.counters);
        }
        state.push(Arrival::Released { subscriber }, None);
    }

    /// Answers a list of members.
    pub(crate) fn reply(&self, answer: Arrival) {
        let mut state = self.lock();
        let answer = self.without_what_has_no_room(&state, answer);
        state.push(answer, None);
    }

    /// Ends a live subscription.
    pub(crate) fn end(&self, subscriber: SubscriberId, topic: &Topic, reason: Refusal) {
        let refused = Arrival::Refused {
            subscriber,
            topic: topic.clone(),
            reason,
        };
        self.lock().push(refused, None);
    }

    /// Tells that publications may be missing.
    pub(crate) fn tell_gap(&self, topic: &Topic, position: Option<Position>) {
        let mut state = self.lock();
        let lossy = state.lossy.entry(topic.clone()).or_default();
        *lossy = position.or(*lossy);
        if state.bytes < self.capacity {
            state.tell_gap(topic, &self.counters);
        }
    }

    /// Delivers what somebody published, or that somebody joined or left, if there is room.
    pub(crate) fn deliver(&self, topic: &Topic, position: Option<Position>, arrival: Arrival) {
        let is_publication = matches!(arrival, Arrival::Publication { .. });
        let mut state = self.lock();
        let has_room = state.bytes.saturating_add(arrival.cost()) <= self.capacity;
        if has_room && (state.lossy.is_empty() || !state.lossy.contains_key(topic)) {
            if is_publication {
                self.counters.deliveries.add(1);
            }
            return state.push(arrival, None);
        }
        let lossy = state.lossy.entry(topic.clone()).or_default();
        *lossy = position.or(*lossy);
        if is_publication {
            self.counters.dropped.add(1);
        }
    }

    /// Takes everything that has arrived. Wakes the last caller when something arrives in an empty mailbox.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Vec<Arrival>> {
        let mut state = self.lock();
        let taken = state.take(&self.counters);
        if !taken.is_empty() {
            return Poll::Ready(taken);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Lists and histories may be long, and a worker can ask for many: what has no room is left out, and the answer
    /// says so.
    fn without_what_has_no_room(&self, state: &State, mut answer: Arrival) -> Arrival {
        if state.bytes.saturating_add(answer.cost()) <= self.capacity {
            return answer;
        }
        match &mut answer {
            Arrival::Subscribed {
                missed, recovered, ..
            } if !missed.is_empty() => {
                self.counters.dropped.add(missed.len());
                missed.clear();
                *recovered = false;
            }
            Arrival::Members { members, .. } => members.clear(),
            _ => {}
        }
        answer
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, arrival: Arrival, generation: Option<Generation>) {
        self.bytes = self.bytes.saturating_add(arrival.cost());
        self.queue.push_back((arrival, generation));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn tell_gap(&mut self, topic: &Topic, counters: &Counters) {
        if let Some(position) = self.lossy.remove(topic) {
            counters.gaps.add(1);
            let topic = topic.clone();
            self.push(Arrival::Gap { topic, position }, None);
        }
    }

    fn take(&mut self, counters: &Counters) -> Vec<Arrival> {
        self.bytes = 0;
        let queue = mem::take(&mut self.queue);
        let mut taken = Vec::with_capacity(queue.len().saturating_add(self.lossy.len()));
        for (arrival, generation) in queue {
            if self.is_current(&arrival, generation) {
                taken.push(arrival);
            }
        }
        counters.gaps.add(self.lossy.len());
        let gaps = self.lossy.drain();
        taken.extend(gaps.map(|(topic, position)| Arrival::Gap { topic, position }));
        taken
    }

    /// Whether the subscription that this answers, if it answers one, still waits for it.
    fn is_current(&mut self, arrival: &Arrival, generation: Option<Generation>) -> bool {
        let (Arrival::Subscribed {
            subscriber, topic, ..
        }
        | Arrival::Refused {
            subscriber, topic, ..
        }) = arrival
        else {
            return true;
        };
        let Some(generation) = generation else {
            return true;
        };
        let of = (*subscriber, topic.clone());
        let is_current = self.expected.get(&of) == Some(&generation);
        if is_current {
            self.expected.remove(&of);
        }
        is_current
    }
}
