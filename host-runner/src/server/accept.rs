//! The accept loop, which serves each connection in a task of its own.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::select;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::http::arrival::Admission;
use crate::http::exchange::log_denial;
use crate::http::worker::Worker;
use crate::net::listen::Listener;
use crate::net::peer::Peer;
use crate::net::stream::accepted::Accepted;
use crate::server::connection::{self, Steps};
use crate::server::ingress::Ingress;

/// The pause after a failure to accept that concerns the whole process, such as too many open files. The connection that
/// caused it is still waiting, so retrying at once would spin.
const PAUSE: Duration = Duration::from_millis(100);

/// The most refused connections that are sent a response at the same time. Others are closed without one: each needs a
/// file for as long as the client takes to read the response, a second at most.
const MAX_DENIED: usize = 64;

/// Accepts connections and serves each in a task of its own; never returns. At the connection limit, new connections wait
/// in the system's queue: there they need none of our memory, and most are served a moment later.
pub async fn accept(
    listeners: &[Listener],
    worker: &Rc<Worker>,
    ingress: &Arc<Ingress>,
    tasks: &mut JoinSet<()>,
) {
    let mut turn = 0;
    let mut denied = JoinSet::new();
    let limit = &worker.shared.connection_limit;
    loop {
        let relieved = &worker.shared.relieved;
        let accepted = async {
            relieved.wait_until_cleared().await;
            limit.available().await;
            poll_fn(|context| poll_accept(listeners, &mut turn, context)).await
        };
        select! {
            accepted = accepted => match accepted {
                Ok((stream, peer)) => admit(worker, ingress, stream, peer, tasks, &mut denied),
                Err(error) => recover(&error).await,
            },
            // What waits in the system's queue is for another process.
            () = relieved.wait(), if !relieved.is_set() => {}
            Some(ended) = tasks.join_next() => report(ended),
            Some(ended) = denied.join_next() => report(ended),
        }
    }
}

/// Polls the listeners in turn, so that a busy one does not starve the others.
fn poll_accept(
    listeners: &[Listener],
    turn: &mut usize,
    context: &mut Context<'_>,
) -> Poll<io::Result<(Accepted, Peer)>> {
    let first = *turn;
    let in_turn = listeners.iter().enumerate().cycle().skip(first);
    for (index, listener) in in_turn.take(listeners.len()) {
        if let Poll::Ready(accepted) = listener.poll_accept(context) {
            *turn = index.saturating_add(1) % listeners.len().max(1);
            return Poll::Ready(accepted);
        }
    }
    Poll::Pending
}

/// Serves a connection, if its address may have one more. With the PROXY protocol, the address is known and counted only
/// once the proxy has sent it.
fn admit(
    worker: &Rc<Worker>,
    ingress: &Arc<Ingress>,
    stream: Accepted,
    peer: Peer,
    tasks: &mut JoinSet<()>,
    denied: &mut JoinSet<()>,
) {
    let admitted = if ingress.proxy_protocol {
        Ok(None)
    } else {
        worker.admit(peer)
    };
    match admitted {
        Ok(address) => {
            worker.metrics.accepted.count();
            let shared = &worker.shared;
            let (place, open) = (
                shared.connection_limit.acquire(),
                shared.open_connections.count(),
            );
            let (worker, ingress) = (Rc::clone(worker), Arc::clone(ingress));
            tasks.spawn_local(Steps::begin(async move {
                let place = place.await;
                let admission = Admission {
                    address,
                    place,
                    open,
                };
                connection::serve(worker, ingress, stream, peer, admission).await
            }));
        }
        // A client that expects TLS could not read the response.
        Err(denial) if denied.len() < MAX_DENIED && ingress.is_open_to(&stream) => {
            log_denial(worker, peer, &denial.refused(), true);
            denied.spawn_local(connection::deny(stream, denial));
        }
        Err(denial) => log_denial(worker, peer, &denial.refused(), false),
    }
}

/// Waits for all connections to end.
pub async fn drain(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        report(ended);
    }
}

pub(crate) fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!("connection lost to a bug in the runner: {error}");
    }
}

pub(crate) async fn recover(error: &io::Error) {
    match error.kind() {
        // The client left before we accepted it.
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted => {}
        _ => {
            tracing::warn!("cannot accept connections, retrying: {error}");
            sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    /// A bug costs the connection in whose task it is: the others, and the worker, go on.
    #[test]
    fn a_panic_ends_only_its_own_task() -> io::Result<()> {
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default())?;
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            let mut served = 0;
            tasks.spawn_local(async { std::panic::panic_any("for the test") });
            tasks.spawn_local(async {});
            while let Some(ended) = tasks.join_next().await {
                served += u32::from(ended.is_ok());
                report(ended);
            }
            assert_eq!(served, 1);
            Ok(())
        })
    }
}
