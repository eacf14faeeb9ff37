//! What this process publishes, and its return from the engine.
//!
//! While the engine is connected, a publication comes back to the subscribers here from the engine, in the order that
//! all runners see. While it is away, they get it at once and without a position, and its return is recognised by its
//! number.

use std::sync::Arc;
use std::time::Instant;

use super::Driver;
use super::outgoing::Sending;
use super::requests::Purpose;
use super::topic::State;
use crate::delivery::subscribers::Key;
use crate::engine::{EngineError, Origin, Request, Sent};
use crate::message::Message;
use crate::position::Position;
use crate::topic::Topic;

/// Why a publication does not reach everybody: too much waits for the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotPublished {
    /// The engine is slow. It went to no subscriber.
    Busy,
    /// The engine is away. It went to the subscribers here.
    OnlyHere,
}

impl Driver {
    pub(crate) fn publish(
        &mut self,
        topic: &Topic,
        message: Message,
        exclude: Option<Key>,
        now: Instant,
    ) -> Result<(), NotPublished> {
        let has_room = self.outgoing.has_room(&message, self.limits.unconfirmed);
        let is_connected = self.is_connected();
        if is_connected && !has_room {
            return Err(NotPublished::Busy);
        }
        self.counters.publications.add(1);
        let mut sending = Sending {
            topic: topic.clone(),
            message,
            exclude,
            confirmed: None,
            has_echo: false,
            echoed: false,
            delivered: false,
            since: now,
        };
        if !is_connected {
            sending.delivered = self.deliver_here(&sending);
        }
        if !has_room {
            self.counters.lost.add(1);
            return Err(NotPublished::OnlyHere);
        }
        let number = self.outgoing.add(sending);
        if is_connected {
            self.send(number, now);
        } else if let Some(state) = self.topics.get_mut(topic) {
            state.own.push_back(number);
        }
        Ok(())
    }

    /// Gives a publication to the engine, for the first time or again.
    pub(super) fn send(&mut self, number: u64, now: Instant) {
        self.expect_echo(number);
        let Some(sending) = self.outgoing.get(number) else {
            return;
        };
        let sent = Sent {
            topic: sending.topic.clone(),
            message: sending.message.clone(),
            origin: Origin {
                runner: self.runner,
                number,
            },
        };
        self.begin(Request::Publish(sent), Purpose::Publish(number), now);
    }

    /// Notes that the engine is going to send it here, if the topic has subscribers.
    pub(super) fn expect_echo(&mut self, number: u64) {
        let topics = &mut self.topics;
        self.outgoing.update(number, |sending| {
            let state = topics.get_mut(&sending.topic);
            sending.has_echo = state.is_some();
            if let Some(state) = state {
                state.own.push_back(number);
            }
        });
    }

    /// Delivers to the live subscribers here without the engine. Returns whether there are some, live or not: those that
    /// are not yet get it when they are.
    pub(super) fn deliver_here(&self, sending: &Sending) -> bool {
        let Some(state) = self.topics.get(&sending.topic) else {
            return false;
        };
        let publication = Arc::new(sending.publication());
        let Sending { topic, exclude, .. } = sending;
        state
            .subscribers
            .deliver(&self.workers, topic, &publication, *exclude);
        true
    }

    /// The engine has confirmed it.
    pub(super) fn confirmed(&mut self, number: u64, position: Option<Position>, now: Instant) {
        let Some(sending) = self.outgoing.get(number) else {
            return;
        };
        let topic = sending.topic.clone();
        let state = self.topics.get(&topic);
        let is_awaited = state.is_some_and(|state| !state.pending.is_empty());
        let cursor = state.and_then(|state| state.cursor);
        self.outgoing.update(number, |sending| {
            sending.confirmed = Some(position);
            let is_over = sending.is_passed_by(cursor) || sending.need_not_return();
            sending.echoed |= !is_awaited && is_over;
        });
        if is_awaited {
            self.with_topic(&topic, |driver, state| driver.settle(&topic, state, now));
        }
    }

    /// The engine does not take it. It is lost, and the subscribers here are told.
    pub(super) fn not_confirmed(&mut self, number: u64, error: &EngineError, now: Instant) {
        let Some(sending) = self.outgoing.remove(number) else {
            return;
        };
        self.counters.lost.add(1);
        tracing::warn!(topic = %sending.topic, error = %error.0, "the engine refused a publication");
        if let Some(state) = self.topics.get(&sending.topic) {
            self.tell_gap(&state.subscribers, &sending.topic, state.cursor);
        }
        let topic = &sending.topic;
        self.with_topic(topic, |driver, state| driver.settle(topic, state, now));
    }

    /// Forgets publications whose return is not missed, unless a subscriber waits for them.
    pub(super) fn forget_passed(&mut self, state: &mut State) {
        if !state.pending.is_empty() {
            return;
        }
        let cursor = state.cursor;
        for number in &state.own {
            self.outgoing.update(*number, |sending| {
                sending.echoed |= sending.is_passed_by(cursor) || sending.need_not_return();
            });
        }
        self.forget_returned(state);
    }

    /// Forgets publications that were announced in an epoch that is over.
    pub(super) fn forget_epoch(&mut self, state: &mut State, epoch: u64) {
        for number in &state.own {
            self.outgoing.update(*number, |sending| {
                let position = sending.confirmed.flatten();
                sending.echoed |= position.is_some_and(|position| position.epoch == epoch);
            });
        }
        self.forget_returned(state);
    }

    /// Forgets the numbers that do not wait for their return.
    pub(super) fn forget_returned(&self, state: &mut State) {
        let outgoing = &self.outgoing;
        let waits = |number: &u64| outgoing.get(*number).is_some_and(|one| !one.echoed);
        while state.own.front().is_some_and(|number| !waits(number)) {
            state.own.pop_front();
        }
    }
}
