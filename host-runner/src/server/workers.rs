//! The threads that serve: each has a runtime, instances and listening sockets of its own.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use socket2::Socket;
use tokio::runtime::{Builder, LocalOptions};
use tokio::select;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::timeout;

use crate::guest::load::component::Component;
use crate::http::hosts::Hosts;
use crate::http::worker::Worker;
use crate::net::listen::Listener;
use crate::pool::Pool;
use crate::process::shared::Shared;
use crate::server::accept;
use crate::server::config::ServerConfig;
use crate::server::ingress::Ingress;

/// As the first thread of a process has: guests' calls are on it, and bounded well below.
const STACK: usize = 8 << 20;

/// What all workers are made of.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) config: Arc<ServerConfig>,
    /// What is served, until it is replaced.
    pub(crate) component: Component,
    /// What connections go through.
    pub(crate) ingress: Arc<Ingress>,
    /// The hosts that are served.
    pub(crate) hosts: Arc<Hosts>,
    /// The limits and the counters of all.
    pub(crate) shared: Arc<Shared>,
}

impl Plan {
    /// The worker of this number.
    fn worker(&self, number: usize) -> Worker {
        let Self { config, shared, .. } = self;
        let pool = Pool::new(
            self.component.clone(),
            config.guest,
            config.connections_per_instance,
            shared.metrics_of(number),
        );
        Worker::new(
            pool,
            &self.hosts,
            &self.ingress.trust,
            config.http,
            config.session,
            // A guest that is slow to be read may fill as much memory outside as inside.
            config.guest.memory,
            shared,
        )
    }
}

/// What a worker is told.
#[derive(Debug)]
enum Order {
    /// To serve this component from now on, and to say how many connections are on the one before.
    Replace(Component, oneshot::Sender<usize>),
    /// To accept nobody any more, and to end when its connections have.
    Stop,
}

/// How many connections were cut off at the end of a worker.
type Left = io::Result<usize>;

/// What tells workers what to do. Those to whom nobody can tell anything any more stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders(Vec<mpsc::UnboundedSender<Order>>);

impl Orders {
    /// Has all serve this component from now on. Returns how many connections are on the one before.
    pub async fn replace(&self, component: Component) -> usize {
        let mut answers = Vec::new();
        for orders in &self.0 {
            let (sender, answer) = oneshot::channel();
            // One that has ended is reported elsewhere.
            let _ = orders.send(Order::Replace(component.clone(), sender));
            answers.push(answer);
        }
        let mut connections = 0_usize;
        for answer in answers {
            connections = connections.saturating_add(answer.await.unwrap_or_default());
        }
        connections
    }

    /// Asks all to stop.
    pub fn stop(&self) {
        for orders in &self.0 {
            // One that has ended is reported elsewhere.
            let _ = orders.send(Order::Stop);
        }
    }
}

/// The workers that run.
#[derive(Debug)]
pub(crate) struct Workers {
    orders: Orders,
    running: JoinSet<Result<usize, WorkerError>>,
}

impl Workers {
    /// Starts one for each set of sockets. Within a tokio runtime only.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub fn start(plan: &Plan, sockets: Vec<Vec<Socket>>) -> io::Result<Self> {
        let mut workers = Self {
            orders: Orders::default(),
            running: JoinSet::new(),
        };
        for (number, sockets) in sockets.into_iter().enumerate() {
            let (sender, orders) = mpsc::unbounded_channel();
            let plan = plan.clone();
            workers.spawn(number, move || run(&plan, number, sockets, orders))?;
            workers.orders.0.push(sender);
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
            // Nobody waits any more if this fails.
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

    /// What tells them what to do.
    pub fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Waits until one ends that nobody has asked to.
    pub async fn failure(&mut self) -> WorkerError {
        let ended = self.running.join_next().await;
        let failure = ended.and_then(|ended| ended.ok()?.err());
        // None of them ends by itself in any other way.
        failure.unwrap_or(WorkerError {
            number: 0,
            error: None,
        })
    }

    /// Waits for all to end, and returns how many connections were cut off.
    ///
    /// # Errors
    ///
    /// When one has failed instead.
    pub async fn ended(&mut self) -> Result<usize, WorkerError> {
        let mut left = 0_usize;
        while let Some(ended) = self.running.join_next().await {
            left = left.saturating_add(ended.unwrap_or(Ok(0))?);
        }
        Ok(left)
    }
}

/// The life of a worker, on a thread of its own.
fn run(
    plan: &Plan,
    number: usize,
    sockets: Vec<Socket>,
    orders: mpsc::UnboundedReceiver<Order>,
) -> Left {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let left = runtime.block_on(serve(plan, number, sockets, orders));
    // What apps still look up is not waited for.
    runtime.shutdown_background();
    left
}

async fn serve(
    plan: &Plan,
    number: usize,
    sockets: Vec<Socket>,
    orders: mpsc::UnboundedReceiver<Order>,
) -> Left {
    let listeners: Vec<_> = sockets
        .into_iter()
        .map(Listener::try_from)
        .collect::<io::Result<_>>()?;
    let worker = Rc::new(plan.worker(number));
    let batches = Rc::clone(&worker);
    spawn_local(async move { batches.pool.call_batches(|| batches.now()).await });
    let mut connections = JoinSet::new();
    plan.shared.count_ready();
    select! {
        () = accept::accept(&listeners, &worker, &plan.ingress, &mut connections) => {}
        () = obey(orders, &worker) => {}
    }
    drop(listeners);
    worker.stop(plan.config.shutdown_reason);
    let time = plan.config.shutdown_timeout;
    // Those that are left are counted.
    let _ = timeout(time, accept::drain(&mut connections)).await;
    let left = connections.len();
    // So that each leaves its line.
    connections.shutdown().await;
    Ok(left)
}

/// Does what is ordered, until that is to stop, or nobody is there to order.
async fn obey(mut orders: mpsc::UnboundedReceiver<Order>, worker: &Worker) {
    while let Some(Order::Replace(component, answer)) = orders.recv().await {
        // Nobody waits any more if this fails.
        let _ = answer.send(worker.pool.replace(component));
    }
}

/// A worker has ended that should not have.
#[derive(Debug)]
pub struct WorkerError {
    number: usize,
    /// None if it has panicked: that has been said on stderr.
    error: Option<io::Error>,
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number;
        match &self.error {
            Some(error) => write!(f, "worker {number} cannot go on: {error}"),
            None => write!(f, "worker {number} has ended by a bug in the runner"),
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
            orders: Orders::default(),
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
            assert_eq!(text, "worker 3 cannot go on: no more files");
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
            assert!(ended.is_err_and(|error| error.contains("worker 1 has ended by a bug")));
            Ok(())
        })
    }
}
