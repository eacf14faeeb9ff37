//! What is known of one topic with subscribers here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::delivery::mailbox::Generation;
use crate::delivery::subscribers::{Subscriber, Subscribers, WorkerId};
use crate::engine::{History, MemberKey, Origin, Received, Ticket};
use crate::message::{Keep, Publication, Subscription};
use crate::position::Position;

/// One topic with subscribers here.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Those that are live.
    pub(super) subscribers: Subscribers,
    /// Those that are not yet, in the order in which they came.
    pub(super) pending: Vec<Pending>,
    /// The history that the subscribers want.
    pub(super) keep: Option<Keep>,
    /// Where the live subscribers stand; `None` if the topic has no history.
    pub(super) cursor: Option<Position>,
    pub(super) flow: Flow,
    /// Whether subscribers were live while the engine was away: without history, they have missed something.
    pub(super) was_cut_off: bool,
    /// The publication before which something was missing when history was read the last time.
    pub(super) read_for: Option<Position>,
    /// What has arrived while the topic holds back.
    pub(super) held: VecDeque<Received>,
    pub(super) held_bytes: usize,
    /// What was held back and had no room.
    pub(super) held_overflowed: bool,
    /// What went to the live subscribers while others were waiting for history.
    pub(super) recent: Vec<Recent>,
    pub(super) recent_bytes: usize,
    /// The numbers of the publications of this process that the engine is going to send here.
    pub(super) own: VecDeque<u64>,
    /// The members, as far as those who watch were told; `None` if there is no watcher, or there are too many members.
    pub(super) known: Option<BTreeMap<MemberKey, Bytes>>,
    latest: Latest,
}

/// What happens to what arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Flow {
    /// Nothing does: the engine is away.
    #[default]
    Off,
    /// It is held back until this request for history is answered.
    Holding(Ticket),
    /// It is delivered.
    Live,
}

/// A subscriber that waits.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) worker: WorkerId,
    pub(super) generation: Generation,
    pub(super) wanted: Subscription,
    pub(super) subscriber: Subscriber,
    pub(super) needs: Needs,
    /// The number of the last publication of this process when it came.
    pub(super) since: u64,
    /// How many of [`State::recent`] were there before it came.
    pub(super) recent_before: usize,
    /// Whether the topic has lost something in the meantime.
    pub(super) missed_a_gap: bool,
}

/// What a subscriber waits for.
#[derive(Debug)]
pub(super) enum Needs {
    /// That the topic is live.
    Flow,
    /// History as well.
    History(Ticket),
    /// It has been read; `None` if that failed.
    Nothing(Option<History>),
}

/// What went to the live subscribers, or was not delivered since they had it.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    pub(super) publication: Arc<Publication>,
    /// Its number, if this process has published it.
    pub(super) own: Option<u64>,
    /// Whether the live subscribers had it already.
    pub(super) is_echo: bool,
}

impl State {
    pub(super) fn is_empty(&self) -> bool {
        self.subscribers.is_empty() && self.pending.is_empty()
    }

    /// Holds back what has arrived, if there is room.
    pub(super) fn hold(&mut self, received: Received, limit: usize) {
        let cost = cost(received.message.bytes.len());
        if self.held_overflowed || self.held_bytes.saturating_add(cost) > limit {
            self.held_overflowed = true;
            return;
        }
        self.held_bytes += cost;
        self.held.push_back(received);
    }

    /// Holds back what came before all that is held back.
    pub(super) fn hold_first(&mut self, received: Received) {
        self.held_bytes = self
            .held_bytes
            .saturating_add(cost(received.message.bytes.len()));
        self.held.push_front(received);
    }

    pub(super) fn next_held(&mut self) -> Option<Received> {
        let received = self.held.pop_front()?;
        self.held_bytes = self
            .held_bytes
            .saturating_sub(cost(received.message.bytes.len()));
        Some(received)
    }

    /// Remembers for those who wait for history what went past them. What has no room they have missed.
    pub(super) fn remember(&mut self, recent: Recent, limit: usize) {
        if !self.pending.iter().any(Pending::needs_history) {
            self.recent.clear();
            self.recent_bytes = 0;
            return;
        }
        let cost = cost(recent.publication.message.bytes.len());
        if self.recent_bytes.saturating_add(cost) > limit {
            self.note_gap();
            return;
        }
        self.recent_bytes += cost;
        self.recent.push(recent);
    }

    /// Those who wait for history have missed something.
    pub(super) fn note_gap(&mut self) {
        for pending in &mut self.pending {
            pending.missed_a_gap = true;
        }
    }

    /// Whether a publication without a position has been here before. Each runner's come in the order of their numbers,
    /// and again in that order when it repeats some of them.
    pub(super) fn is_repeated(&mut self, origin: Option<Origin>) -> bool {
        origin.is_some_and(|origin| self.latest.is_repeated(origin))
    }
}

impl Pending {
    pub(super) fn needs_history(&self) -> bool {
        !matches!(self.needs, Needs::Flow)
    }
}

/// The latest number of each runner, for the runners that published last.
#[derive(Debug, Default)]
struct Latest(Vec<Origin>);

/// The most runners that are remembered for each topic.
const MAX_RUNNERS: usize = 64;

impl Latest {
    fn is_repeated(&mut self, origin: Origin) -> bool {
        match self.0.iter().position(|one| one.runner == origin.runner) {
            Some(at) if self.0[at].number >= origin.number => return true,
            Some(at) => drop(self.0.remove(at)),
            None if self.0.len() >= MAX_RUNNERS => drop(self.0.remove(0)),
            None => {}
        }
        self.0.push(origin);
        false
    }
}

/// What a message counts for while it is held back.
fn cost(bytes: usize) -> usize {
    bytes.saturating_add(256)
}
