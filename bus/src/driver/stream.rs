//! What arrives of a topic, in order, and what is missing from it.
//!
//! A publication with a position names the one before it. If that is not where the topic stands, something was lost on
//! the way: what comes is held back, and history is read from there. What it does not have any more is a gap.

use std::sync::Arc;
use std::time::Instant;

use super::Driver;
use super::missed::publication;
use super::topic::{Flow, Recent, State};
use crate::engine::{History, Received};
use crate::position::Position;
use crate::topic::Topic;

impl Driver {
    /// A publication has come from the engine.
    pub(super) fn arrived(&mut self, topic: &Topic, received: Received, now: Instant) {
        let limit = self.limits.inbox;
        self.with_topic(topic, |driver, state| match state.flow {
            Flow::Off => {}
            Flow::Holding(_) => state.hold(received, limit),
            Flow::Live => driver.process(topic, state, received, now),
        });
    }

    /// The history that a topic waited for has come; `None` if it could not be read.
    pub(super) fn resume(
        &mut self,
        topic: &Topic,
        state: &mut State,
        history: Option<History>,
        now: Instant,
    ) {
        let before = state.cursor;
        let is_restart = std::mem::take(&mut state.was_cut_off);
        match history {
            Some(history) => self.catch_up(topic, state, history, is_restart),
            None => self.gap(topic, state, None),
        }
        let (before, after) = (before.map(|at| at.epoch), state.cursor.map(|at| at.epoch));
        if let Some(epoch) = before.filter(|_| before != after) {
            self.forget_epoch(state, epoch);
        }
        state.flow = Flow::Live;
        self.settle(topic, state, now);
        while state.flow == Flow::Live {
            let Some(received) = state.next_held() else {
                break;
            };
            self.process(topic, state, received, now);
        }
        if state.flow == Flow::Live {
            self.end_overflow(topic, state, now);
        }
    }

    /// Goes to where history says that the topic stands.
    fn catch_up(&mut self, topic: &Topic, state: &mut State, history: History, is_restart: bool) {
        let Some(position) = history.position else {
            // It has no history. If it had, that has gone.
            if state.cursor.take().is_some() || is_restart {
                self.gap(topic, state, None);
            }
            return;
        };
        let Some(cursor) = state.cursor else {
            state.cursor = Some(position);
            if is_restart {
                self.gap(topic, state, Some(position));
            }
            return;
        };
        let is_same = cursor.epoch == position.epoch;
        if is_same && position.offset < cursor.offset {
            // The engine has lost the latest publications, and gives their offsets to others.
            state.cursor = Some(position);
            return self.gap(topic, state, Some(position));
        }
        if !is_same || !history.is_complete {
            let first = history.publications.iter().find_map(|one| one.position);
            let behind = first.map_or(position, before);
            state.cursor = Some(behind);
            self.gap(topic, state, Some(behind));
        }
        for received in history.publications {
            self.advance(topic, state, received);
        }
        state.cursor = Some(position);
    }

    /// What was held back had no room.
    fn end_overflow(&mut self, topic: &Topic, state: &mut State, now: Instant) {
        if !std::mem::take(&mut state.held_overflowed) {
            return;
        }
        if state.cursor.is_some() {
            self.hold_until_read(topic, state, now);
        } else {
            state.note_gap();
            self.gap(topic, state, None);
        }
    }

    /// Delivers what arrives, unless something before it is missing.
    fn process(&mut self, topic: &Topic, state: &mut State, received: Received, now: Instant) {
        let Some(position) = received.position else {
            if !state.is_repeated(received.origin) {
                self.pass(topic, state, &received);
            }
            return;
        };
        let none_yet = Position {
            offset: 0,
            ..position
        };
        let cursor = *state.cursor.get_or_insert(none_yet);
        let previous = received.previous.unwrap_or(cursor.offset);
        if cursor.epoch == position.epoch {
            if previous > cursor.offset && state.read_for != Some(position) {
                state.read_for = Some(position);
                self.hold_until_read(topic, state, now);
                return state.hold_first(received);
            }
            if previous > cursor.offset {
                // History does not have it, and did not say so.
                self.live_gap(topic, state, previous_of(&received, position));
            }
        } else {
            self.live_gap(topic, state, previous_of(&received, position));
            self.forget_epoch(state, cursor.epoch);
        }
        self.advance(topic, state, received);
    }

    /// Delivers what comes next, and nothing twice.
    fn advance(&mut self, topic: &Topic, state: &mut State, received: Received) {
        if let (Some(position), Some(cursor)) = (received.position, state.cursor) {
            if position.epoch == cursor.epoch && position.offset <= cursor.offset {
                return self.returned(state, &received);
            }
            state.cursor = Some(position);
        }
        self.pass(topic, state, &received);
    }

    /// Delivers, unless the subscribers here have it already.
    fn pass(&mut self, topic: &Topic, state: &mut State, received: &Received) {
        let sending = self
            .own_number(received)
            .map(|number| self.outgoing.get(number));
        let exclude = sending.flatten().and_then(|sending| sending.exclude);
        let is_echo = match sending {
            None => false,
            Some(Some(sending)) => sending.delivered || sending.echoed,
            // Confirmed and returned long ago; with a position, that is told by where the topic stands.
            Some(None) => received.position.is_none(),
        };
        let publication = Arc::new(publication(received));
        if !is_echo {
            state
                .subscribers
                .deliver(&self.workers, topic, &publication, exclude);
        }
        let recent = Recent {
            publication,
            own: self.own_number(received),
            is_echo,
        };
        state.remember(recent, self.limits.inbox);
        self.returned(state, received);
    }

    /// Delivers what was held back when the connection went, and has no position to be found by.
    pub(super) fn deliver_held(&mut self, topic: &Topic, state: &mut State, received: &Received) {
        if !state.is_repeated(received.origin) {
            self.pass(topic, state, received);
        }
    }

    /// Notes that a publication of this process has come back.
    fn returned(&mut self, state: &mut State, received: &Received) {
        if let Some(number) = self.own_number(received) {
            self.outgoing
                .update(number, |sending| sending.echoed = true);
            self.forget_returned(state);
        }
    }

    /// Tells the live subscribers that something is missing. Those that wait for history read it themselves.
    fn gap(&mut self, topic: &Topic, state: &State, position: Option<Position>) {
        self.tell_gap(&state.subscribers, topic, position);
    }

    /// The same where those that wait for history cannot have all that went past them.
    fn live_gap(&mut self, topic: &Topic, state: &mut State, behind: Position) {
        state.cursor = Some(behind);
        state.note_gap();
        self.gap(topic, state, Some(behind));
    }
}

/// The place that a publication with this position follows.
fn previous_of(received: &Received, position: Position) -> Position {
    Position {
        offset: received.previous.unwrap_or(0),
        ..position
    }
}

/// The place directly before a publication.
fn before(position: Position) -> Position {
    Position {
        offset: position.offset.saturating_sub(1),
        ..position
    }
}
