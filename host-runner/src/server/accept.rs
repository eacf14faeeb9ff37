//! Accepts connections, and serves each in a task of its own.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::select;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::http::worker::Worker;
use crate::net::listen::Listener;
use crate::net::peer::Peer;
use crate::net::stream::accepted::Accepted;
use crate::server::connection;
use crate::server::ingress::Ingress;

/// The pause after a failure to accept that concerns the whole process, such as too many open files:
/// the connection that caused it still waits, so trying again at once would spin.
const PAUSE: Duration = Duration::from_millis(100);

/// How many who are not let in may be told so at a time. The others are not: each takes a file, for as long as
/// it takes to read the answer, which is a second at most.
const MAX_DENIED: usize = 64;

/// Accepts connections and serves each in a task of its own, for ever. When there are as many as may be, the
/// others wait with the system: they need no memory of ours there, and most are served a moment later.
pub async fn accept(
    listeners: &[Listener],
    worker: &Rc<Worker>,
    ingress: &Arc<Ingress>,
    tasks: &mut JoinSet<()>,
) {
    let mut turn = 0;
    let mut denied = JoinSet::new();
    let capacity = &worker.shared.capacity;
    loop {
        let accepted = async {
            capacity.room().await;
            poll_fn(|context| poll_accept(listeners, &mut turn, context)).await
        };
        select! {
            accepted = accepted => match accepted {
                Ok((stream, peer)) => admit(worker, ingress, stream, peer, tasks, &mut denied),
                Err(error) => recover(&error).await,
            },
            Some(ended) = tasks.join_next() => report(ended),
            Some(ended) = denied.join_next() => report(ended),
        }
    }
}

/// Asks the listeners by turns, so that a busy one does not keep the others waiting.
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

/// Serves a connection, if its address may have one more. Who comes by the PROXY protocol is counted when the
/// proxy has said who that is.
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
        Ok(visit) => {
            worker.metrics.accepted.count();
            let (worker, room) = (Rc::clone(worker), worker.shared.capacity.take());
            let ingress = Arc::clone(ingress);
            tasks.spawn_local(async move {
                let _room = room.await;
                // Made here: the task would have room for it twice if it were moved in.
                connection::serve(worker, ingress, stream, peer, visit).await;
            });
        }
        // Who expects TLS could not read it.
        Err(denial) if denied.len() < MAX_DENIED && ingress.is_open_to(&stream) => {
            denied.spawn_local(connection::deny(stream, denial));
        }
        Err(_) => {}
    }
}

/// Waits for all connections to end.
pub async fn drain(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!("a bug in the runner cost a connection: {error}");
    }
}

pub(crate) async fn recover(error: &io::Error) {
    match error.kind() {
        // The client was faster to leave than we to accept.
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted => {}
        _ => {
            tracing::warn!("cannot accept connections for now: {error}");
            sleep(PAUSE).await;
        }
    }
}
