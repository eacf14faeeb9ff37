//! The connection to the engine comes and goes.

use std::time::{Duration, Instant};

use super::requests::Purpose;
use super::topic::{Flow, Needs, State};
use super::{Driver, Link};
use crate::engine::{EngineError, LEASE, Request};
use crate::topic::Topic;

/// How long a subscriber waits for an engine that is away. Most absences are shorter, and it misses nothing then.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long an engine that owes an answer may be silent. Then the connection is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl Driver {
    /// There is a connection.
    pub(crate) fn connected(&mut self, now: Instant) {
        self.counters.connections.add(1);
        self.link = Link::Connected { since: now };
        self.renew(now);
        for (topic, key) in std::mem::take(&mut self.departed) {
            self.begin_leave(topic, key, now);
        }
        for topic in self.topics.keys().cloned().collect::<Vec<_>>() {
            self.with_topic(&topic, |driver, state| {
                driver.start_again(&topic, state, now)
            });
        }
        for number in self.outgoing.numbers() {
            self.count_as_delivered(number);
            let is_confirmed = self
                .outgoing
                .get(number)
                .is_some_and(|one| one.confirmed.is_some());
            if is_confirmed {
                self.expect_echo(number);
            } else {
                self.send(number, now);
            }
        }
    }

    /// From here on, the subscribers of this process are those that had a publication, came behind it, or are told of it
    /// when they become live: its return is for other runners only.
    fn count_as_delivered(&mut self, number: u64) {
        let topics = &self.topics;
        self.outgoing.update(number, |sending| {
            sending.delivered |= topics.contains_key(&sending.topic);
        });
    }

    fn start_again(&mut self, topic: &Topic, state: &mut State, now: Instant) {
        state.own.clear();
        self.start(topic, state, now);
        for index in 0..state.pending.len() {
            let start = state.pending[index].wanted.start;
            state.pending[index].needs = self.needs(topic, start, now);
        }
        let members: Vec<_> = state.subscribers.members().cloned().collect();
        for member in members {
            let request = Request::Enter(topic.clone(), member.key, member.info);
            self.begin(request, Purpose::Other, now);
        }
        if state.known.is_some() {
            self.ask_members(topic, false, now);
        }
    }

    /// The connection is gone, or none could be made.
    pub(crate) fn lost(&mut self, error: &EngineError, now: Instant) {
        if let Link::Away { reason, .. } = &mut self.link {
            reason.clone_from(&error.0);
            return;
        }
        self.link = Link::Away {
            since: now,
            reason: error.0.clone(),
            is_short: true,
        };
        self.entered = self.members;
        for topic in self.topics.keys().cloned().collect::<Vec<_>>() {
            self.with_topic(&topic, |driver, state| driver.cut_off(&topic, state));
        }
        self.deliver_what_is_on_its_way();
        let open: Vec<_> = self.requests.abandon().collect();
        for purpose in open {
            match purpose {
                Purpose::Leave(topic, key) => self.departed.push((topic, key)),
                Purpose::List(topic, key) => self.listed(&topic, key, None),
                _ => {}
            }
        }
    }

    /// What was held back and has a position is read again from history.
    fn cut_off(&mut self, topic: &Topic, state: &mut State) {
        state.was_cut_off |= !state.subscribers.is_empty();
        state.flow = Flow::Off;
        while let Some(received) = state.next_held() {
            if received.position.is_none() && self.own_number(&received).is_none() {
                self.deliver_held(topic, state, &received);
            }
        }
        state.held_overflowed = false;
        state.recent.clear();
        state.recent_bytes = 0;
        for pending in &mut state.pending {
            pending.needs = Needs::Flow;
            pending.recent_before = 0;
            pending.missed_a_gap = false;
        }
    }

    /// Whether the engine has these publications is not known. The subscribers here get them now, so that what they get
    /// from the same publisher from now on comes behind.
    fn deliver_what_is_on_its_way(&mut self) {
        for number in self.outgoing.numbers() {
            let Some(sending) = self.outgoing.get(number) else {
                continue;
            };
            let is_new = !sending.delivered && !sending.echoed;
            let is_delivered = is_new && self.deliver_here(sending);
            self.outgoing.update(number, |sending| {
                sending.delivered |= is_delivered;
                if sending.echoed {
                    // It has come back, so the engine has it.
                    sending.confirmed.get_or_insert(None);
                }
                // Without a position it does not come back on another connection.
                sending.has_echo &= sending.confirmed != Some(None);
            });
        }
    }

    /// Time has passed.
    ///
    /// # Errors
    ///
    /// If the engine does not answer: the connection is to be given up.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<(), EngineError> {
        match &mut self.link {
            Link::Connected { .. } => {
                if now.saturating_duration_since(self.renewed) >= LEASE / 4 {
                    self.renew(now);
                }
                self.check_answers(now)
            }
            Link::Away {
                since, is_short, ..
            } => {
                let is_over = now.saturating_duration_since(*since) >= PATIENCE;
                if is_over && std::mem::take(is_short) {
                    self.admit_all(now);
                }
                Ok(())
            }
        }
    }

    /// The engine stays away: lets those in who wait for it.
    fn admit_all(&mut self, now: Instant) {
        for topic in self.topics.keys().cloned().collect::<Vec<_>>() {
            self.with_topic(&topic, |driver, state| {
                for pending in std::mem::take(&mut state.pending) {
                    driver.admit_without_engine(&topic, state, pending, now);
                }
            });
        }
    }

    fn renew(&mut self, now: Instant) {
        self.renewed = now;
        self.begin(Request::Renew, Purpose::Renew, now);
    }

    fn check_answers(&self, now: Instant) -> Result<(), EngineError> {
        let is_long = |since| now.saturating_duration_since(since) >= ANSWER_TIMEOUT;
        let waiting = |since| is_long(since) && is_long(self.heard);
        if self.requests.oldest().is_some_and(waiting) {
            let seconds = ANSWER_TIMEOUT.as_secs();
            return Err(EngineError(format!(
                "it did not answer for {seconds} seconds"
            )));
        }
        Ok(())
    }
}
