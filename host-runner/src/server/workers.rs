//! Workers: threads that serve, each with its own runtime, instances and listening sockets.

use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::Socket;
use tokio::runtime::{Builder, LocalOptions};
use tokio::select;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use wasocket_bus::Inbox;

use crate::contract::bindings::ShutdownReason;
use crate::http::hosts::Hosts;
use crate::http::owners::{Arrivals, Ownership};
use crate::http::worker::Worker;
use crate::net::listen::Listener;
use crate::pool::{Pool, Release};
use crate::process::shared::Shared;
use crate::server::accept;
use crate::server::adopt::Adopted;
use crate::server::commands::{Command, Commands, carry_out};
use crate::server::config::ServerConfig;
use crate::server::handover::Entry;
use crate::server::ingress::Ingress;
use crate::topics::Topics;

/// The stack of a process's first thread. Guests' calls run on it, and are limited to much less.
const STACK: usize = 8 << 20;

/// How long guests have to report on the connections that are cut off.
const REPORT_TIME: Duration = Duration::from_millis(200);

/// What all workers are made from.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) config: Arc<ServerConfig>,
    /// The component, until it is replaced.
    pub(crate) release: Release,
    /// The PROXY protocol and TLS.
    pub(crate) ingress: Arc<Ingress>,
    /// The hosts to serve.
    pub(crate) hosts: Arc<Hosts>,
    /// The limits and metrics of all workers.
    pub(crate) shared: Arc<Shared>,
}

impl Plan {
    /// The worker of this index, and what arrives for it on topics.
    fn worker(&self, number: usize, ownership: Option<Ownership>) -> (Worker, Inbox) {
        let Self { config, shared, .. } = self;
        let (port, inbox) = shared.bus.attach();
        let metrics = shared.metrics_of(number);
        let topics = Topics::new(port, &shared.topics, &shared.unsent, &metrics);
        let pool = Pool::new(
            self.release.clone(),
            config.guest,
            config.connections_per_instance,
            metrics,
            topics,
            &shared.instance_limit,
        );
        let worker = Worker::new(
            pool,
            &self.hosts,
            &self.ingress.trust,
            config.http,
            config.session,
            // For a slow reader, a guest may use as much memory outside as inside.
            config.guest.memory,
            shared,
        )
        .owning(ownership);
        let worker = Worker {
            proxies_name_clients: config.proxy_protocol,
            ..worker
        };
        (worker, inbox)
    }

    /// Why connections end when the process does. If another process serves their clients, it is worth coming back.
    fn shutdown_reason(&self) -> ShutdownReason {
        if self.shared.relieved.is_set() {
            ShutdownReason::ServiceRestart
        } else {
            self.config.shutdown_reason
        }
    }

    /// What each worker owns, and what arrives at it.
    fn owners(&self) -> Vec<(Ownership, Arrivals)> {
        let pattern = self.config.instance_by.as_ref();
        pattern.map_or_else(Vec::new, |pattern| {
            Ownership::among(self.config.workers, pattern)
        })
    }
}

/// Number of connections cut off at the end of a worker.
type Left = io::Result<usize>;

/// The running workers.
#[derive(Debug)]
pub(crate) struct Workers {
    commands: Commands,
    running: JoinSet<Result<usize, WorkerError>>,
}

impl Workers {
    /// Starts a worker for each set of sockets. `entries`: where connections of another process arrive, if there is one.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started.
    pub fn start(plan: &Plan, sockets: Vec<Vec<Socket>>, entries: Vec<Entry>) -> io::Result<Self> {
        let mut workers = Self {
            commands: Commands::default(),
            running: JoinSet::new(),
        };
        let mut owners = plan.owners().into_iter();
        let mut entries = entries.into_iter();
        for (number, sockets) in sockets.into_iter().enumerate() {
            let (sender, commands) = mpsc::unbounded_channel();
            let plan = plan.clone();
            let inlets = Inlets {
                sockets,
                commands,
                owned: owners.next(),
                entry: entries.next(),
            };
            workers.spawn(number, move || run(&plan, number, inlets))?;
            workers.commands.0.push(sender);
        }
        Ok(workers)
    }

    fn spawn(
        &mut self,
        number: usize,
        work: impl FnOnce() -> Left + Send + 'static,
    ) -> io::Result<()> {
        let (ended, end) = oneshot::channel();
        let thread = thread::Builder::new()
            .name(format!("worker-{number}"))
            .stack_size(STACK);
        thread.spawn(move || {
            // If this fails, no one waits for the result any more.
            let _ = ended.send(work());
        })?;
        self.running.spawn(async move {
            match end.await {
                Ok(left) => left.map_err(|error| WorkerError {
                    number,
                    error: Some(error),
                }),
                Err(_) => Err(WorkerError {
                    number,
                    error: None,
                }),
            }
        });
        Ok(())
    }

    /// The sender of commands.
    pub fn commands(&self) -> Commands {
        self.commands.clone()
    }

    /// Waits until a worker ends without having been asked to.
    pub async fn failure(&mut self) -> WorkerError {
        let ended = self.running.join_next().await;
        let failure = ended.and_then(|ended| ended.ok()?.err());
        // Workers do not end in any other way.
        failure.unwrap_or(WorkerError {
            number: 0,
            error: None,
        })
    }

    /// Waits for all workers to end, and returns the number of connections that were cut off.
    ///
    /// # Errors
    ///
    /// If a worker failed instead.
    pub async fn ended(&mut self) -> Result<usize, WorkerError> {
        let mut left = 0_usize;
        while let Some(ended) = self.running.join_next().await {
            left = left.saturating_add(ended.unwrap_or(Ok(0))?);
        }
        Ok(left)
    }
}

/// Where a worker gets its work from.
#[derive(Debug)]
struct Inlets {
    sockets: Vec<Socket>,
    commands: mpsc::UnboundedReceiver<Command>,
    /// The requests that it owns, and what other workers have accepted of them.
    owned: Option<(Ownership, Arrivals)>,
    /// Where connections of another process arrive.
    entry: Option<Entry>,
}

/// Runs a worker, on its own thread.
fn run(plan: &Plan, number: usize, inlets: Inlets) -> Left {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let left = runtime.block_on(serve(plan, number, inlets));
    // Does not wait for names that apps are still looking up.
    runtime.shutdown_background();
    left
}

async fn serve(plan: &Plan, number: usize, inlets: Inlets) -> Left {
    let listeners: Vec<_> = inlets
        .sockets
        .into_iter()
        .map(Listener::try_from)
        .collect::<io::Result<_>>()?;
    let (ownership, arrivals) = inlets.owned.unzip();
    let (worker, inbox) = plan.worker(number, ownership);
    let worker = Rc::new(worker);
    let mut upkeep = upkeep(&worker, inbox, number);
    let mut connections = JoinSet::new();
    let lane = inlets.entry.map(Entry::open);
    if let Some(lane) = &lane {
        let (reception, worker) = (Rc::clone(&lane.reception), Rc::clone(&worker));
        upkeep.spawn_local(async move { reception.keep_places(&worker).await });
    }
    let mut adopted = Adopted::new(arrivals, lane);
    // Others are not to end while a connection of theirs may be accepted here.
    let accepting = plan.shared.open_connections.count();
    plan.shared.count_ready();
    select! {
        () = accept::accept(&listeners, &worker, &plan.ingress, &mut connections) => {}
        () = adopted.serve(&worker) => {}
        () = carry_out(inlets.commands, &worker) => {}
        // They end by a panic only, and without them the worker is none.
        Some(Err(bug)) = upkeep.join_next() => {
            if let Ok(panic) = bug.try_into_panic() {
                resume_unwind(panic);
            }
        }
    }
    drop(listeners);
    drop(accepting);
    worker.stop(plan.shutdown_reason());
    let time = plan.config.shutdown_timeout;
    // Those left are counted.
    let _ = timeout(time, drain(&worker, &mut connections, &mut adopted)).await;
    let left = connections.len().saturating_add(adopted.close());
    // So that each leaves its line in the access log, with its guest's report if it gives one.
    worker.pool.cut();
    let reported = async {
        accept::drain(&mut connections).await;
        adopted.drain().await;
    };
    let _ = timeout(REPORT_TIME, reported).await;
    connections.shutdown().await;
    adopted.shutdown().await;
    Ok(left)
}

/// The tasks of a worker that never end.
fn upkeep(worker: &Rc<Worker>, inbox: Inbox, number: usize) -> JoinSet<()> {
    let mut upkeep = JoinSet::new();
    let batches = Rc::clone(worker);
    upkeep.spawn_local(async move { batches.pool.call_batches(|| batches.now()).await });
    let deliveries = Rc::clone(worker);
    upkeep.spawn_local(async move {
        let clock = deliveries.session.clock;
        deliveries.pool.deliver_arrivals(inbox, clock).await;
    });
    let moves = Rc::clone(worker);
    let grace = worker.session.settings.swap.grace;
    upkeep.spawn_local(async move { moves.pool.move_connections(grace).await });
    let turns = Rc::clone(&worker.session.turns);
    upkeep.spawn_local(async move { turns.run().await });
    let shared = Arc::clone(&worker.shared);
    upkeep.spawn_local(async move { shared.heartbeats.beat(number).await });
    upkeep
}

/// Waits for all connections to end, including those of other workers, which may have to be served here.
async fn drain(worker: &Rc<Worker>, connections: &mut JoinSet<()>, adopted: &mut Adopted) {
    let all = async {
        accept::drain(connections).await;
        if worker.ownership.is_some() {
            worker.shared.open_connections.all_closed().await;
        }
    };
    select! {
        () = adopted.serve(worker) => {}
        () = all => {}
    }
    adopted.drain().await;
}

/// A worker ended without having been asked to.
#[derive(Debug)]
pub struct WorkerError {
    number: usize,
    /// `None` if it panicked, which has been reported on stderr.
    error: Option<io::Error>,
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number;
        match &self.error {
            Some(error) => write!(f, "worker {number} failed: {error}"),
            None => write!(f, "worker {number} panicked: a bug in the runner"),
        }
    }
}

impl std::error::Error for WorkerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let error = self.error.as_ref()?;
        Some(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers() -> Workers {
        Workers {
            commands: Commands::default(),
            running: JoinSet::new(),
        }
    }

    #[test]
    fn a_worker_that_fails_is_named() -> io::Result<()> {
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default())?;
        runtime.block_on(async {
            let mut all = workers();
            all.spawn(3, || Err(io::Error::other("no more files")))?;
            let text = all.failure().await.to_string();
            assert_eq!(text, "worker 3 failed: no more files");
            Ok(())
        })
    }

    #[test]
    fn a_worker_that_panics_is_named() -> io::Result<()> {
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default())?;
        runtime.block_on(async {
            let mut all = workers();
            all.spawn(0, || Ok(2))?;
            all.spawn(1, || std::panic::panic_any("for the test"))?;
            let ended = all.ended().await.map_err(|error| error.to_string());
            assert!(ended.is_err_and(|error| error.contains("worker 1 panicked")));
            Ok(())
        })
    }
}
