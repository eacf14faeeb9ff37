//! Serving what other workers have accepted and this one owns (`--instance-by`).

use std::future::pending;
use std::rc::Rc;

use tokio::select;
use tokio::task::JoinSet;

use crate::http::arrival::Arrival;
use crate::http::h2::stream;
use crate::http::owners::Arrivals;
use crate::http::worker::Worker;
use crate::server::accept::{drain, report};
use crate::server::connection::{self, Steps};

/// What has arrived at a worker, and the tasks that serve it.
#[derive(Debug)]
pub(crate) struct Adopted {
    /// `None` if nothing ever arrives.
    arrivals: Option<Arrivals>,
    connections: JoinSet<()>,
    /// Streams count as part of their connection, which is elsewhere.
    streams: JoinSet<()>,
}

impl Adopted {
    pub(crate) fn new(arrivals: Option<Arrivals>) -> Self {
        Self {
            arrivals,
            connections: JoinSet::new(),
            streams: JoinSet::new(),
        }
    }

    /// Serves what arrives; never returns.
    pub(crate) async fn serve(&mut self, worker: &Rc<Worker>) {
        let Some(arrivals) = &mut self.arrivals else {
            return pending().await;
        };
        loop {
            select! {
                Some(arrival) = arrivals.recv() => match arrival {
                    Arrival::Connection(moved) => {
                        let served = connection::adopt(Rc::clone(worker), moved);
                        self.connections.spawn_local(Steps::begin(served));
                    }
                    Arrival::Stream(moved) => {
                        let served = stream::adopt(Rc::clone(worker), *moved);
                        self.streams.spawn_local(served);
                    }
                },
                Some(ended) = self.connections.join_next() => report(ended),
                Some(ended) = self.streams.join_next() => report(ended),
                // The worker itself holds a sender, so there is more to come.
                else => return pending().await,
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
