//! Commands to the workers.

use tokio::sync::{mpsc, oneshot};

use crate::http::worker::Worker;
use crate::pool::Release;
use crate::session::moving::departure::Way;

/// A command to a worker.
#[derive(Debug)]
pub(super) enum Command {
    /// Start an instance of this version, and say why that fails.
    BeginTrial(Release, oneshot::Sender<Result<(), String>>),
    /// Ask at most this number of connections to move to the version on trial, and return how many were asked.
    TryOn(usize, oneshot::Sender<usize>),
    /// Serve the version on trial from now on, and return the number of connections on others.
    Adopt(oneshot::Sender<usize>),
    /// Serve the version before the trial from now on, and return the number of connections on others.
    GoBack(oneshot::Sender<usize>),
    /// Do not keep the version before.
    Settle,
    /// Hand connections over to another process, or stop to.
    HandOver(Option<Way>, oneshot::Sender<()>),
    /// Accept no more connections, and end when all have closed.
    Stop,
}

/// Sends commands to the workers. Workers stop when there is no sender left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commands(pub(super) Vec<mpsc::UnboundedSender<Command>>);

impl Commands {
    /// Starts an instance of this version in each worker.
    ///
    /// # Errors
    ///
    /// Why one does not start.
    pub async fn begin_trial(&self, release: &Release) -> Result<(), String> {
        let begun = self.ask(|answer| Command::BeginTrial(release.clone(), answer));
        begun.await.into_iter().collect()
    }

    /// Asks connections to move to the version on trial, at most this number. Returns how many were asked.
    pub async fn try_on(&self, most: usize) -> usize {
        let mut asked = 0_usize;
        for commands in &self.0 {
            let (sender, answer) = oneshot::channel();
            let rest = most.saturating_sub(asked);
            let _ = commands.send(Command::TryOn(rest, sender));
            asked = asked.saturating_add(answer.await.unwrap_or_default());
        }
        asked
    }

    /// Makes all workers serve the version on trial. Returns the number of connections that are to move.
    pub async fn adopt(&self) -> usize {
        self.ask(Command::Adopt).await.into_iter().sum()
    }

    /// Makes all workers serve the version before the trial. Returns the number of connections that are to move.
    pub async fn go_back(&self) -> usize {
        self.ask(Command::GoBack).await.into_iter().sum()
    }

    /// The version before the trial is not needed any more.
    pub fn settle(&self) {
        self.send(|| Command::Settle);
    }

    /// Has all workers hand their connections over to another process, or stop to.
    pub async fn hand_over(&self, way: Option<&Way>) {
        self.ask(|answer| Command::HandOver(way.cloned(), answer))
            .await;
    }

    /// Asks all workers to stop.
    pub fn stop(&self) {
        self.send(|| Command::Stop);
    }

    fn send(&self, command: impl Fn() -> Command) {
        for commands in &self.0 {
            // A worker that has ended is reported elsewhere.
            let _ = commands.send(command());
        }
    }

    /// The answers of all workers that have not ended.
    async fn ask<T>(&self, command: impl Fn(oneshot::Sender<T>) -> Command) -> Vec<T> {
        let mut pending = Vec::new();
        for commands in &self.0 {
            let (sender, answer) = oneshot::channel();
            let _ = commands.send(command(sender));
            pending.push(answer);
        }
        let mut answers = Vec::new();
        for answer in pending {
            answers.extend(answer.await);
        }
        answers
    }
}

/// Carries out commands until told to stop, or until there is no sender left.
pub(super) async fn carry_out(mut commands: mpsc::UnboundedReceiver<Command>, worker: &Worker) {
    let pool = &worker.pool;
    while let Some(command) = commands.recv().await {
        // If an answer cannot be sent, no one waits for it any more.
        match command {
            Command::BeginTrial(release, answer) => {
                let begun = pool.begin_trial(release).await;
                let _ = answer.send(begun.map_err(|unplaced| unplaced.to_string()));
            }
            Command::TryOn(most, answer) => drop(answer.send(pool.try_on(most))),
            Command::Adopt(answer) => drop(answer.send(pool.adopt())),
            Command::GoBack(answer) => drop(answer.send(pool.go_back())),
            Command::Settle => pool.settle(),
            Command::HandOver(way, answer) => {
                worker.hand_over(way);
                let _ = answer.send(());
            }
            Command::Stop => return,
        }
    }
}
