//! The task that owns the connection: requests go to the server, and what comes from there goes to the bus.

mod acks;
mod arrivals;
mod feeds;
mod jobs;
mod requests;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::select;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use self::acks::Acks;
use self::feeds::Feeds;
use self::jobs::{Job, Jobs};
use super::connect::Lost;
use super::history::kept::Kept;
use super::names::Names;
use super::presence::leases::{self, Leases};
use super::presence::members;
use super::store::{Put, Streams, failed};
use super::tuning::Tuning;
use crate::engine::{EngineError, Incoming, MemberKey, Request, Ticket};
use crate::topic::Topic;

/// How many requests are taken at a time.
const REQUESTS: usize = 256;

/// How many publications are heard before anything else is done.
const HEARD: usize = 1024;

/// How often leases and unanswered requests are looked at.
const TICK: Duration = Duration::from_millis(250);

/// The server is given up when it leaves the same request unanswered for this number of ticks: ten seconds.
const UNANSWERED_TICKS: u32 = 40;

/// The requests of the bus.
pub(super) type Requests = mpsc::UnboundedReceiver<(Ticket, Request)>;

/// What goes to the bus.
pub(super) type Output = mpsc::Sender<Result<Incoming, EngineError>>;

pub(super) struct Task {
    client: Client,
    names: Names,
    tuning: Tuning,
    runner: u64,
    /// `None` without JetStream.
    streams: Option<Streams>,
    requests: Requests,
    output: Output,
    lost: Lost,
    /// The answers of streams, and to ourselves.
    inbox: Subscriber,
    /// Changes of which topics have history.
    kept_changes: Subscriber,
    /// Renewals of leases.
    lease_changes: Subscriber,
    acks: Acks,
    kept: Kept,
    leases: Leases,
    feeds: Feeds,
    jobs: Jobs,
    /// What this runner's members say about themselves, which is told again when they leave.
    members: HashMap<(Topic, MemberKey), Bytes>,
    /// When this runner's lease was written.
    renewed: Instant,
    unanswered: Unanswered,
}

/// The request that has been unanswered for longest.
#[derive(Default)]
struct Unanswered {
    oldest: Option<u64>,
    ticks: u32,
}

impl Task {
    /// Subscribes to what every runner follows, and reads what is there already.
    ///
    /// # Errors
    ///
    /// If the server refuses, or does not answer.
    pub(super) async fn new(
        (client, lost): (Client, Lost),
        (tuning, names, runner): (Tuning, Names, u64),
        streams: Option<Streams>,
        (requests, output): (Requests, Output),
    ) -> Result<Self, EngineError> {
        let acks = Acks::new(&client);
        let mut task = Self {
            inbox: subscribe(&client, acks.subject()).await?,
            kept_changes: subscribe(&client, names.kept_changes()).await?,
            lease_changes: subscribe(&client, names.runner_changes()).await?,
            kept: Kept::new(&tuning.bounds),
            leases: Leases::default(),
            feeds: Feeds::default(),
            jobs: Jobs::default(),
            members: HashMap::new(),
            renewed: Instant::now(),
            unanswered: Unanswered::default(),
            client,
            names,
            tuning,
            runner,
            streams,
            requests,
            output,
            lost,
            acks,
        };
        task.load().await?;
        Ok(task)
    }

    async fn load(&mut self) -> Result<(), EngineError> {
        let Some(streams) = &self.streams else {
            return Ok(());
        };
        let key = self.names.runner_key(self.runner);
        let lease = leases::format(self.tuning.lease);
        if let Put::Changed = streams.put(key, Default::default(), lease.into()).await? {
            return Err(EngineError(
                "the NATS server refuses this runner's lease".to_owned(),
            ));
        }
        self.leases.load(&members::leases(streams).await?);
        self.kept.load(streams).await
    }

    /// Works until the engine is dropped, or the connection is gone.
    pub(super) async fn run(mut self) {
        if let Err(error) = self.work().await {
            // If nobody listens any more, nobody has to know.
            let _ = self.output.send(Err(error)).await;
        }
    }

    async fn work(&mut self) -> Result<(), EngineError> {
        let mut begun = Vec::with_capacity(REQUESTS);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.hear_ready().await?;
            select! {
                count = self.requests.recv_many(&mut begun, REQUESTS) => {
                    if count == 0 {
                        return Ok(());
                    }
                    for (ticket, request) in begun.drain(..) {
                        self.begin(ticket, request).await?;
                    }
                }
                Some(answer) = self.inbox.next() => self.answer(answer).await?,
                Some((topic, message)) = self.feeds.next() => self.hear(topic, message).await?,
                Some(outcome) = self.jobs.next() => self.finish(outcome).await?,
                Some(change) = self.kept_changes.next() => self.hear_kept(&change),
                Some(change) = self.lease_changes.next() => self.hear_lease(&change),
                gone = self.lost.changed() => return Err(self.why(gone.is_err())),
                _ = tick.tick() => self.tick()?,
            }
            self.acks.confirm(&self.client).await?;
            self.start_jobs();
        }
    }

    /// Takes what has arrived on topics before anything else: one confirmation answers hundreds of publications, and a
    /// runner that listens to its own would otherwise publish faster than it hears.
    async fn hear_ready(&mut self) -> Result<(), EngineError> {
        for _ in 0..HEARD {
            let Some(Some((topic, message))) = self.feeds.next().now_or_never() else {
                break;
            };
            self.hear(topic, message).await?;
        }
        Ok(())
    }

    fn start_jobs(&mut self) {
        if let Some(streams) = &self.streams {
            self.jobs.start(&self.acks, streams, || self.leases.alive());
        }
    }

    fn why(&self, has_ended: bool) -> EngineError {
        let lost = self.lost.borrow().clone().filter(|_| !has_ended);
        lost.unwrap_or_else(|| {
            EngineError("the connection to the NATS server has ended".to_owned())
        })
    }

    fn tick(&mut self) -> Result<(), EngineError> {
        self.unanswered.look(&self.acks)?;
        for suspect in self.leases.take_ended() {
            if suspect.runner != self.runner {
                self.jobs.add(self.acks.mark(), Job::Bury(suspect));
            }
        }
        Ok(())
    }

    async fn tell(&self, incoming: Incoming) -> Result<(), EngineError> {
        let told = self.output.send(Ok(incoming)).await;
        told.map_err(|_| EngineError("the bus has dropped the connection".to_owned()))
    }
}

impl Unanswered {
    fn look(&mut self, acks: &Acks) -> Result<(), EngineError> {
        let oldest = acks.oldest();
        if oldest.is_none() || oldest != self.oldest {
            *self = Self { oldest, ticks: 0 };
            return Ok(());
        }
        self.ticks = self.ticks.saturating_add(1);
        if self.ticks < UNANSWERED_TICKS {
            return Ok(());
        }
        Err(EngineError("the NATS server does not confirm publications; is JetStream of its cluster without a leader?".to_owned()))
    }
}

async fn subscribe(client: &Client, subject: String) -> Result<Subscriber, EngineError> {
    client
        .subscribe(subject)
        .await
        .map_err(|error| failed(&error))
}
