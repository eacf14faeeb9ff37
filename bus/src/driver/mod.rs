//! Topics that an engine joins with those of other processes, without I/O: commands of the workers and what the engine
//! sends go in, requests to the engine and arrivals in mailboxes come out, and time is an argument.
//!
//! - `subscriptions`: subscribers come and leave; `missed`: what one that comes has missed.
//! - `stream`: what arrives of a topic, and what is missing from it.
//! - `publications`: what this process publishes, and its return.
//! - `presence`: members.
//! - `link`: the connection comes and goes.
//!
//! A topic is in one of three states, [`Flow`](topic::Flow): off while the engine is away, holding back what arrives
//! while it reads history, and live.

mod answers;
mod link;
mod missed;
mod outgoing;
mod presence;
mod publications;
mod requests;
mod stream;
mod subscriptions;
#[cfg(test)]
mod tests;
mod topic;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::delivery::subscribers::{Subscribers, Workers};
use crate::engine::{MemberKey, Request, Ticket};
use crate::limits::Limits;
use crate::observe::counters::Counters;
use crate::observe::status::{EngineState, Status, TopicDetails};
use crate::position::Position;
use crate::topic::Topic;
use outgoing::Outgoing;
pub(crate) use publications::NotPublished;
use requests::{Purpose, Requests};
use topic::State;

/// The topics of a process that has an engine.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) workers: Workers,
    topics: HashMap<Topic, State>,
    outgoing: Outgoing,
    requests: Requests,
    link: Link,
    renewed: Instant,
    /// When the engine was heard from.
    heard: Instant,
    /// The last member that the engine may know.
    entered: u64,
    /// Members that have left and may still be listed at the engine.
    departed: Vec<(Topic, MemberKey)>,
    subscriptions: usize,
    members: u64,
    /// This process, for the engine.
    runner: u64,
    limits: Limits,
    counters: Arc<Counters>,
}

/// The connection to the engine.
#[derive(Clone, Debug)]
enum Link {
    Connected {
        since: Instant,
    },
    Away {
        since: Instant,
        reason: String,
        /// Whether subscribers still wait for it.
        is_short: bool,
    },
}

impl Driver {
    pub(crate) fn new(limits: Limits, counters: Arc<Counters>, now: Instant) -> Self {
        Self {
            workers: Workers::default(),
            topics: HashMap::new(),
            outgoing: Outgoing::default(),
            requests: Requests::default(),
            link: Link::Away {
                since: now,
                reason: "there was no connection yet".to_owned(),
                is_short: true,
            },
            renewed: now,
            heard: now,
            entered: 0,
            departed: vec![],
            subscriptions: 0,
            members: 0,
            runner: RandomState::new().hash_one("runner"),
            limits,
            counters,
        }
    }

    /// The name of this process at the engine.
    pub(crate) fn runner(&self) -> u64 {
        self.runner
    }

    /// What is to be begun at the engine now, in this order.
    pub(crate) fn take_requests(&mut self) -> Vec<(Ticket, Request)> {
        self.requests.take()
    }

    pub(crate) fn has_requests(&self) -> bool {
        self.requests.has_some_to_begin()
    }

    pub(crate) fn topic(&self, name: &Topic) -> Option<TopicDetails> {
        let state = self.topics.get(name)?;
        Some(TopicDetails {
            topic: name.clone(),
            subscribers: state.subscribers.len(),
            members: state.subscribers.member_count(),
            position: state.cursor,
        })
    }

    /// Visits the name of every topic with subscribers.
    pub(crate) fn each_topic(&self, visit: &mut dyn FnMut(&Topic)) {
        self.topics.keys().for_each(visit);
    }

    pub(crate) fn status(&self, now: Instant) -> Status {
        let (unconfirmed, oldest) = self.outgoing.unconfirmed();
        let waiting = |since| now.saturating_duration_since(since);
        Status {
            engine: match self.link.clone() {
                Link::Connected { since } => EngineState::Connected { since },
                Link::Away { since, reason, .. } => EngineState::Away { since, reason },
            },
            unconfirmed,
            unconfirmed_bytes: self.outgoing.bytes(),
            lag: oldest.map_or(Duration::ZERO, waiting),
            topics: self.topics.len(),
            subscriptions: self.subscriptions,
            history_bytes: 0,
        }
    }

    fn is_connected(&self) -> bool {
        matches!(self.link, Link::Connected { .. })
    }

    fn begin(&mut self, request: Request, purpose: Purpose, now: Instant) -> Ticket {
        self.requests.begin(request, purpose, now)
    }

    /// Works on a topic that is known.
    fn with_topic(&mut self, name: &Topic, work: impl FnOnce(&mut Self, &mut State)) {
        let Some((name, mut state)) = self.topics.remove_entry(name) else {
            return;
        };
        work(self, &mut state);
        self.topics.insert(name, state);
    }

    fn tell_gap(&self, subscribers: &Subscribers, topic: &Topic, position: Option<Position>) {
        subscribers.tell_gap(&self.workers, topic, position);
    }
}
