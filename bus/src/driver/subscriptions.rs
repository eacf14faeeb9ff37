//! Subscribers come and leave.

use std::time::Instant;

use bytes::Bytes;

use super::requests::Purpose;
use super::topic::{Flow, Needs, Pending, State};
use super::{Driver, Link};
use crate::delivery::arrival::{Arrival, Refusal};
use crate::delivery::mailbox::Generation;
use crate::delivery::subscribers::{Key, Subscriber, WorkerId};
use crate::engine::Request;
use crate::message::{Keep, MAX_MEMBER_INFO, Member, MemberKey, Start, Subscription};
use crate::topic::Topic;

impl Driver {
    pub(crate) fn subscribe(
        &mut self,
        worker: WorkerId,
        generation: Generation,
        wanted: Subscription,
        now: Instant,
    ) {
        self.unsubscribe((worker, wanted.subscriber), &wanted.topic, now);
        if let Some(reason) = self.refusal(&wanted) {
            return self.refuse(worker, generation, &wanted, reason);
        }
        self.subscriptions += 1;
        let pending = Pending {
            worker,
            generation,
            subscriber: self.subscriber(&wanted),
            wanted,
            needs: Needs::Flow,
            since: self.outgoing.last(),
            recent_before: 0,
            missed_a_gap: false,
        };
        self.enroll(pending, now);
    }

    pub(crate) fn unsubscribe(&mut self, key: Key, topic: &Topic, now: Instant) {
        let mut gone = 0;
        self.with_topic(topic, |driver, state| {
            let before = state.pending.len();
            state.pending.retain(|one| one.key() != key);
            gone += before - state.pending.len();
            if let Some(left) = state.subscribers.remove(key) {
                gone += 1;
                driver.leave(topic, state, left, now);
            }
        });
        self.subscriptions -= gone;
        self.forget_if_empty(topic, now);
    }

    /// What others see of a live subscriber, and the history that its topic is to have.
    pub(crate) fn describe(
        &self,
        key: Key,
        topic: &Topic,
    ) -> Option<(Option<Bytes>, Option<Keep>)> {
        let state = self.topics.get(topic)?;
        let subscriber = state.subscribers.get(key)?;
        let member = subscriber.member.as_ref();
        Some((member.map(|member| member.info.clone()), state.keep))
    }

    /// Removes a worker and its subscribers.
    pub(crate) fn detach(&mut self, worker: WorkerId, now: Instant) {
        self.workers.remove(worker);
        let mut gone: Vec<(Key, Topic)> = vec![];
        for (topic, state) in &self.topics {
            let live = state.subscribers.keys();
            let keys = live.chain(state.pending.iter().map(Pending::key));
            gone.extend(keys.map(|key| (key, topic.clone())));
        }
        for (key, topic) in gone {
            if key.0 == worker {
                self.unsubscribe(key, &topic, now);
            }
        }
    }

    /// Sees to a subscriber: now, or when the engine is back.
    fn enroll(&mut self, pending: Pending, now: Instant) {
        let topic = pending.wanted.topic.clone();
        self.topics.entry(topic.clone()).or_default();
        self.with_topic(&topic, |driver, state| {
            driver.want_keep(&topic, state, pending.wanted.keep, now);
            match &driver.link {
                Link::Connected { .. } => driver.wait(&topic, state, pending, now),
                Link::Away { is_short: true, .. } => state.pending.push(pending),
                Link::Away { .. } => driver.admit_without_engine(&topic, state, pending, now),
            }
        });
    }

    /// Lets a subscriber wait for what it needs.
    fn wait(&mut self, topic: &Topic, state: &mut State, mut pending: Pending, now: Instant) {
        if state.flow == Flow::Off {
            self.start(topic, state, now);
        }
        pending.needs = self.needs(topic, pending.wanted.start, now);
        pending.recent_before = state.recent.len();
        state.pending.push(pending);
        self.settle(topic, state, now);
    }

    /// What a subscriber that begins there needs, and asks the engine for it.
    pub(super) fn needs(&mut self, topic: &Topic, start: Start, now: Instant) -> Needs {
        if start == Start::Now {
            return Needs::Flow;
        }
        let request = Request::History(topic.clone(), start);
        Needs::History(self.begin(request, Purpose::Missed(topic.clone()), now))
    }

    /// Lets a subscriber in that gets what is published here, until the engine is back.
    pub(super) fn admit_without_engine(
        &mut self,
        topic: &Topic,
        state: &mut State,
        mut pending: Pending,
        now: Instant,
    ) {
        if pending.wanted.start != Start::Now {
            pending.needs = Needs::Nothing(None);
        }
        state.was_cut_off = true;
        self.admit(topic, state, pending, now);
    }

    /// Asks the engine for a topic, and holds back what arrives until it is known where the topic stands.
    pub(super) fn start(&mut self, topic: &Topic, state: &mut State, now: Instant) {
        if let Some(keep) = state.keep {
            self.begin(Request::Keep(topic.clone(), keep), Purpose::Other, now);
        }
        let purpose = Purpose::Subscribe(topic.clone());
        self.begin(Request::Subscribe(topic.clone()), purpose, now);
        self.hold_until_read(topic, state, now);
    }

    /// Reads history from where the topic stands, and holds back what arrives until then.
    pub(super) fn hold_until_read(&mut self, topic: &Topic, state: &mut State, now: Instant) {
        let start = state.cursor.map_or(Start::Last(0), Start::After);
        let request = Request::History(topic.clone(), start);
        let ticket = self.begin(request, Purpose::Resume(topic.clone()), now);
        state.flow = Flow::Holding(ticket);
    }

    fn want_keep(&mut self, topic: &Topic, state: &mut State, keep: Option<Keep>, now: Instant) {
        let Some(keep) = keep.and_then(|keep| self.limits.history.allowed(keep)) else {
            return;
        };
        let longer = state.keep.map_or(keep, |other| other.max_of_both(keep));
        if state.keep == Some(longer) {
            return;
        }
        state.keep = Some(longer);
        if state.flow == Flow::Off {
            return;
        }
        self.begin(Request::Keep(topic.clone(), longer), Purpose::Other, now);
        if state.flow == Flow::Live && state.cursor.is_none() {
            self.hold_until_read(topic, state, now);
        }
    }

    /// Lets those in who have what they need.
    pub(super) fn settle(&mut self, topic: &Topic, state: &mut State, now: Instant) {
        if state.flow != Flow::Live {
            return;
        }
        let is_uncertain = self.has_uncertain(state);
        let is_waiting = |one: &Pending| match one.needs {
            Needs::Flow => false,
            Needs::History(_) => true,
            Needs::Nothing(_) => is_uncertain,
        };
        let pending = std::mem::take(&mut state.pending).into_iter();
        let (waiting, ready) = pending.partition::<Vec<_>, _>(is_waiting);
        state.pending = waiting;
        for pending in ready {
            self.admit(topic, state, pending, now);
        }
        if state.pending.is_empty() {
            state.recent.clear();
            state.recent_bytes = 0;
            self.forget_passed(state);
        }
    }

    /// Makes a subscriber live.
    pub(super) fn admit(
        &mut self,
        topic: &Topic,
        state: &mut State,
        pending: Pending,
        now: Instant,
    ) {
        let (recovered, missed) = self.missed(state, &pending);
        self.counters
            .count_recovery(pending.wanted.start, recovered);
        if let Some(mailbox) = self.workers.get(pending.worker) {
            let subscribed = Arrival::Subscribed {
                subscriber: pending.wanted.subscriber,
                topic: topic.clone(),
                position: state.cursor.filter(|_| state.flow == Flow::Live),
                recovered,
                missed,
            };
            mailbox.answer(pending.generation, subscribed);
        }
        let key = pending.key();
        state.subscribers.insert(key, pending.subscriber.clone());
        self.enter(topic, state, &pending.subscriber, now);
    }

    /// Ends all subscriptions to a topic.
    pub(super) fn refuse_all(&mut self, topic: &Topic, reason: &Refusal, now: Instant) {
        self.with_topic(topic, |driver, state| {
            for pending in std::mem::take(&mut state.pending) {
                driver.subscriptions -= 1;
                let Pending {
                    worker,
                    generation,
                    wanted,
                    ..
                } = &pending;
                driver.refuse(*worker, *generation, wanted, reason.clone());
            }
            for key in state.subscribers.keys().collect::<Vec<_>>() {
                driver.subscriptions -= 1;
                if let Some(mailbox) = driver.workers.get(key.0) {
                    mailbox.end(key.1, topic, reason.clone());
                }
                if let Some(left) = state.subscribers.remove(key) {
                    driver.leave(topic, state, left, now);
                }
            }
        });
        self.forget_if_empty(topic, now);
    }

    fn forget_if_empty(&mut self, topic: &Topic, now: Instant) {
        if !self.topics.get(topic).is_some_and(State::is_empty) {
            return;
        }
        let Some(state) = self.topics.remove(topic) else {
            return;
        };
        for number in state.own {
            self.outgoing.update(number, |one| one.has_echo = false);
        }
        if state.flow != Flow::Off {
            self.begin(Request::Unsubscribe(topic.clone()), Purpose::Other, now);
        }
    }

    fn refuse(
        &self,
        worker: WorkerId,
        generation: Generation,
        wanted: &Subscription,
        reason: Refusal,
    ) {
        if let Some(mailbox) = self.workers.get(worker) {
            let refused = Arrival::Refused {
                subscriber: wanted.subscriber,
                topic: wanted.topic.clone(),
                reason,
            };
            mailbox.answer(generation, refused);
        }
    }

    fn refusal(&self, wanted: &Subscription) -> Option<Refusal> {
        let is_too_long = |info: &bytes::Bytes| info.len() > MAX_MEMBER_INFO;
        if wanted.member.as_ref().is_some_and(is_too_long) {
            Some(Refusal::MemberTooLong)
        } else if self.subscriptions >= self.limits.subscriptions {
            Some(Refusal::TooManySubscriptions)
        } else if self.topics.len() >= self.limits.topics
            && !self.topics.contains_key(&wanted.topic)
        {
            Some(Refusal::TooManyTopics)
        } else {
            None
        }
    }

    fn subscriber(&mut self, wanted: &Subscription) -> Subscriber {
        let member = wanted.member.clone().map(|info| {
            self.members += 1;
            let key = MemberKey {
                runner: self.runner,
                number: self.members,
            };
            Member { key, info }
        });
        Subscriber {
            away: None,
            member,
            watches: wanted.watches_members,
        }
    }
}

impl Pending {
    pub(super) fn key(&self) -> Key {
        (self.worker, self.wanted.subscriber)
    }
}
