//! Requests that take several questions to the server. They run next to everything else.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::acks::Acks;
use crate::engine::nats::history::kept;
use crate::engine::nats::history::read::{Query, read};
use crate::engine::nats::presence::leases::Suspect;
use crate::engine::nats::presence::members::{self, StoredLease};
use crate::engine::nats::store::Streams;
use crate::engine::{EngineError, Response, Ticket};
use crate::message::Keep;
use crate::topic::Topic;

/// How long a job may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most jobs at a time.
const AT_ONCE: usize = 64;

/// A request that takes several questions.
pub(super) enum Job {
    History(Ticket, Query),
    Members(Ticket, Topic, usize),
    /// Without a ticket if nothing but time asks for it.
    Keep(Option<Ticket>, Topic, Keep),
    Bury(Suspect),
}

/// What became of a job.
pub(super) enum Outcome {
    Answer(Ticket, Result<Response, EngineError>),
    /// With runners whose lease is unknown.
    Members(Ticket, Result<Response, EngineError>, HashSet<u64>),
    Keep(Option<Ticket>, Topic, Result<(), EngineError>),
    Buried(u64, Result<Option<StoredLease>, EngineError>),
}

/// The jobs, waiting and running.
#[derive(Default)]
pub(super) struct Jobs {
    /// Each with the mark that the acknowledgements have to reach first: a reading sees what was asked for before.
    waiting: VecDeque<(u64, Job)>,
    running: JoinSet<Outcome>,
}

impl Jobs {
    pub(super) fn add(&mut self, mark: u64, job: Job) {
        self.waiting.push_back((mark, job));
    }

    /// Starts what may run.
    pub(super) fn start(
        &mut self,
        acks: &Acks,
        streams: &Streams,
        alive: impl Fn() -> HashSet<u64>,
    ) {
        while self.running.len() < AT_ONCE {
            let may_run = |(mark, _): &mut (u64, Job)| acks.has_reached(*mark);
            let Some((_, job)) = self.waiting.pop_front_if(may_run) else {
                return;
            };
            self.running.spawn(run(job, streams.clone(), alive()));
        }
    }

    /// The next that is done; `None` if none is running. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Option<Outcome> {
        loop {
            if let Ok(outcome) = self.running.join_next().await? {
                return Some(outcome);
            }
        }
    }
}

async fn run(job: Job, streams: Streams, alive: HashSet<u64>) -> Outcome {
    match job {
        Job::History(ticket, query) => {
            let history = in_time(read(streams, query)).await;
            Outcome::Answer(ticket, history.map(Response::History))
        }
        Job::Members(ticket, topic, most) => {
            let listing = in_time(members::list(&streams, &topic, most, &alive)).await;
            match listing {
                Ok(listing) => Outcome::Members(
                    ticket,
                    Ok(Response::Members(listing.members)),
                    listing.unknown,
                ),
                Err(error) => Outcome::Members(ticket, Err(error), HashSet::new()),
            }
        }
        Job::Keep(ticket, topic, keep) => {
            let written = in_time(kept::write(&streams, &topic, keep)).await;
            Outcome::Keep(ticket, topic, written)
        }
        Job::Bury(suspect) => Outcome::Buried(
            suspect.runner,
            in_time(members::bury(&streams, suspect)).await,
        ),
    }
}

async fn in_time<T>(job: impl Future<Output = Result<T, EngineError>>) -> Result<T, EngineError> {
    let late = || EngineError("the NATS server takes too long to answer".to_owned());
    timeout(PATIENCE, job).await.unwrap_or_else(|_| Err(late()))
}
