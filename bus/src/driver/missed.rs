//! What a subscriber that comes has missed.

use std::sync::Arc;

use super::Driver;
use super::topic::{Needs, Pending, Recent, State};
use crate::engine::{History, Received};
use crate::message::{Publication, Start};
use crate::position::Position;

/// What one has missed, each with its number if this process has published it.
type Missed = Vec<(Option<u64>, Arc<Publication>)>;

impl Driver {
    /// What a subscriber has missed, up to where the live ones stand, and whether that is all.
    ///
    /// What follows comes to all of them alike. The parts: history, up to there; what went to the live ones since
    /// history was read; and publications of this process that the live ones had while the engine was away, since the
    /// return of these is not delivered here.
    pub(super) fn missed(&self, state: &State, pending: &Pending) -> (bool, Vec<Arc<Publication>>) {
        let mut missed = vec![];
        let mut recovered = !pending.missed_a_gap;
        match &pending.needs {
            Needs::Nothing(Some(history)) => {
                recovered &= history.is_complete;
                recovered &= self.add_history(state, history, &mut missed);
                if !recovered && matches!(pending.wanted.start, Start::After(_)) {
                    // Nothing of it is known to be new to the subscriber, or to be all.
                    missed.clear();
                }
                self.add_recent(state, pending, history.position, &mut missed);
            }
            Needs::Nothing(None) => {
                recovered = false;
                self.add_recent(state, pending, state.cursor, &mut missed);
            }
            Needs::Flow | Needs::History(_) => {}
        }
        self.add_outgoing(state, pending, &mut missed);
        let missed = missed.into_iter().map(|(_, publication)| publication);
        (recovered, missed.collect())
    }

    /// Adds history as far as the live subscribers have seen it; the rest comes to all of them. Returns whether it is of
    /// the epoch that they are in.
    fn add_history(&self, state: &State, history: &History, missed: &mut Missed) -> bool {
        let (Some(cursor), Some(position)) = (state.cursor, history.position) else {
            // Without a cursor, history began after the live ones came, so all of it comes to them.
            return state.cursor.is_none();
        };
        if cursor.epoch != position.epoch {
            return false;
        }
        for received in &history.publications {
            let is_seen = |at: Position| at.epoch == cursor.epoch && at.offset <= cursor.offset;
            if received.position.is_some_and(is_seen) {
                missed.push((self.own_number(received), Arc::new(publication(received))));
            }
        }
        true
    }

    fn add_recent(
        &self,
        state: &State,
        pending: &Pending,
        read: Option<Position>,
        missed: &mut Missed,
    ) {
        for (index, recent) in state.recent.iter().enumerate() {
            let is_new = match (recent.publication.position, read) {
                (Some(at), Some(read)) => at.epoch == read.epoch && at.offset > read.offset,
                _ => index >= pending.recent_before && recent.is_after(pending),
            };
            if is_new {
                missed.push((recent.own, Arc::clone(&recent.publication)));
            }
        }
    }

    fn add_outgoing(&self, state: &State, pending: &Pending, missed: &mut Missed) {
        let wants_earlier = pending.wanted.start != Start::Now && state.cursor.is_some();
        for number in state.own.iter().copied() {
            let Some(sending) = self.outgoing.get(number) else {
                continue;
            };
            let may_have_position = sending.confirmed != Some(None);
            let is_wanted = number > pending.since || (wants_earlier && may_have_position);
            let is_here_already = sending.delivered && !sending.echoed;
            let is_passed = sending.is_passed_by(state.cursor);
            if is_wanted && is_here_already && !is_passed {
                insert(missed, number, sending.publication());
            }
        }
    }

    /// Whether there are publications of which it is not known if history has them.
    pub(super) fn has_uncertain(&self, state: &State) -> bool {
        let mut own = state
            .own
            .iter()
            .filter_map(|number| self.outgoing.get(*number));
        own.any(|sending| sending.delivered && sending.confirmed.is_none())
    }

    /// Its number, if it is a publication of this process.
    pub(super) fn own_number(&self, received: &Received) -> Option<u64> {
        let origin = received.origin?;
        (origin.runner == self.runner).then_some(origin.number)
    }
}

impl Recent {
    /// Whether it was published after a subscriber came.
    fn is_after(&self, pending: &Pending) -> bool {
        !self.is_echo || self.own.is_some_and(|number| number > pending.since)
    }
}

/// Inserts a publication of this process in the order of its numbers, unless it is there.
fn insert(missed: &mut Missed, number: u64, publication: Publication) {
    let own = || missed.iter().map(|(own, _)| own.unwrap_or(0));
    if own().any(|own| own == number) {
        return;
    }
    let at = own().position(|own| own > number);
    let at = at.unwrap_or(missed.len());
    missed.insert(at, (Some(number), Arc::new(publication)));
}

/// What subscribers get of it.
pub(super) fn publication(received: &Received) -> Publication {
    Publication {
        message: received.message.clone(),
        position: received.position,
        exclude: None,
    }
}
