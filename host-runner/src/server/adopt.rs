//! Serving what others have accepted: other workers, where this one owns it (`--instance-by`), and another process.

use std::future::pending;
use std::rc::Rc;

use tokio::select;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::http::arrival::Arrival;
use crate::http::h2::stream;
use crate::http::owners::Arrivals;
use crate::http::worker::Worker;
use crate::server::accept::{drain, report};
use crate::server::connection::{self, Steps};
use crate::server::handover::{self, Lane};

/// Waits for what arrives next, if anything ever does.
async fn next<T>(arrivals: Option<&mut UnboundedReceiver<T>>) -> Option<T> {
    match arrivals {
        Some(arrivals) => arrivals.recv().await,
        None => pending().await,
    }
}

/// What has arrived at a worker, and the tasks that serve it.
#[derive(Debug)]
pub(crate) struct Adopted {
    /// `None` if nothing ever arrives.
    arrivals: Option<Arrivals>,
    /// Where connections of another process arrive; `None` if none do any more.
    lane: Option<Lane>,
    connections: JoinSet<()>,
    /// Streams count as part of their connection, which is elsewhere.
    streams: JoinSet<()>,
}

impl Adopted {
    pub(crate) fn new(arrivals: Option<Arrivals>, lane: Option<Lane>) -> Self {
        Self {
            arrivals,
            lane,
            connections: JoinSet::new(),
            streams: JoinSet::new(),
        }
    }

    /// Serves what arrives; never returns.
    pub(crate) async fn serve(&mut self, worker: &Rc<Worker>) {
        let Self {
            arrivals,
            lane,
            connections,
            streams,
        } = self;
        loop {
            select! {
                Some(arrival) = next(arrivals.as_mut()) => match arrival {
                    Arrival::Connection(moved) => {
                        let served = connection::adopt(Rc::clone(worker), moved);
                        connections.spawn_local(Steps::begin(served));
                    }
                    Arrival::Stream(moved) => {
                        let served = stream::adopt(Rc::clone(worker), *moved);
                        streams.spawn_local(served);
                    }
                    Arrival::HandedOver(incoming) => {
                        let served = handover::serve(Rc::clone(worker), incoming, None);
                        connections.spawn_local(Steps::begin(served));
                    }
                },
                incoming = next(lane.as_mut().map(|lane| &mut lane.incoming)) => match incoming {
                    Some(incoming) => {
                        let reception = lane.as_ref().map(|lane| Rc::clone(&lane.reception));
                        let served = handover::serve(Rc::clone(worker), incoming, reception);
                        connections.spawn_local(Steps::begin(served));
                    }
                    None => *lane = None,
                },
                Some(ended) = connections.join_next() => report(ended),
                Some(ended) = streams.join_next() => report(ended),
            }
        }
    }

    /// Waits for everything that has arrived to end.
    pub(crate) async fn drain(&mut self) {
        drain(&mut self.connections).await;
        drain(&mut self.streams).await;
    }

    /// Lets nothing arrive any more. Returns the number of connections that have not ended.
    pub(crate) fn close(&mut self) -> usize {
        let mut left = self.connections.len();
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.close();
            while let Ok(arrival) = arrivals.try_recv() {
                left = left.saturating_add(matches!(arrival, Arrival::Connection(_)).into());
            }
        }
        left
    }

    /// Cuts off everything that has not ended.
    pub(crate) async fn shutdown(&mut self) {
        self.connections.shutdown().await;
        self.streams.shutdown().await;
    }
}
