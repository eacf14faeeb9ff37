//! NATS: core subjects carry publications to runners, JetStream keeps history, members and leases.
//!
//! A publication on a topic with history goes to a stream, which numbers it, stores it and sends it on to the subject
//! that subscribers listen to: a runner needs no consumer, and one connection carries everything. The layout is in
//! `docs/design/engines.md`.

mod connect;
mod history;
mod names;
mod presence;
mod store;
mod task;
mod tuning;
mod wire;

#[cfg(test)]
mod tests;

use async_nats::{Client, jetstream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use self::connect::Lost;
use self::names::Names;
use self::task::Task;
pub(crate) use self::tuning::Tuning;
use super::{Connector, Engine, EngineError, Incoming, Request, Ticket};
use crate::settings::Settings;

/// What may wait for the bus; then the connection's task waits.
const OUTPUT: usize = 1024;

/// A connection to NATS.
pub(crate) struct Nats {
    requests: mpsc::UnboundedSender<(Ticket, Request)>,
    output: mpsc::Receiver<Result<Incoming, EngineError>>,
    lost: Option<EngineError>,
    task: AbortHandle,
}

/// Makes connections to one NATS server.
#[derive(Clone)]
pub(crate) struct NatsConnector {
    pub(crate) settings: Settings,
    pub(crate) tuning: Tuning,
}

impl Connector for NatsConnector {
    type Engine = Nats;

    async fn connect(&self, runner: u64) -> Result<Nats, EngineError> {
        let names = Names::new(&self.settings.prefix);
        let (client, lost) = connect::connect(&self.settings, &self.tuning, &names).await?;
        let opened = self.open(client, lost.clone(), names, runner).await;
        // What the server has said of permissions, say, explains why something else failed.
        opened.map_err(|error| lost.borrow().clone().unwrap_or(error))
    }
}

impl NatsConnector {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            tuning: Tuning::default(),
        }
    }

    async fn open(
        &self,
        client: Client,
        lost: Lost,
        names: Names,
        runner: u64,
    ) -> Result<Nats, EngineError> {
        let tuning = self.tuning.clone();
        let context = jetstream::ContextBuilder::new().timeout(tuning.answer_timeout);
        let context = context.build(client.clone());
        let streams = store::open(&context, &names, &tuning.bounds).await?;
        let (begin, requests) = mpsc::unbounded_channel();
        let (told, output) = mpsc::channel(OUTPUT);
        let ours = (tuning, names, runner);
        let task = Task::new((client, lost), ours, streams, (requests, told)).await?;
        Ok(Nats {
            requests: begin,
            output,
            lost: None,
            task: tokio::spawn(task.run()).abort_handle(),
        })
    }
}

impl Engine for Nats {
    fn begin(&mut self, ticket: Ticket, request: Request) {
        // If the task has ended, `next` says why.
        let _ = self.requests.send((ticket, request));
    }

    async fn next(&mut self) -> Result<Incoming, EngineError> {
        match self.output.recv().await {
            Some(Ok(incoming)) => Ok(incoming),
            Some(Err(error)) => Err(self.lost.insert(error).clone()),
            None => Err(self.lost.clone().unwrap_or_else(ended)),
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn ended() -> EngineError {
    EngineError("the connection to the NATS server has ended".to_owned())
}
