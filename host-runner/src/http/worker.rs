//! What the connections of one thread share.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;

use crate::contract::bindings::{self, ShutdownReason};
use crate::contract::clock::Clock;
use crate::http::hosts::Hosts;
use crate::limits::per_address::{Denial, Visit};
use crate::net::peer::Peer;
use crate::observe::metrics::Metrics;
use crate::operating::Operating;
use crate::pool::Pool;
use crate::process::shared::Shared;
use crate::process::stop_event::Bell;
use crate::server::ingress::Entrance;
use crate::session::read_buffer::ReadBuffer;

/// A thread's share of the runner. What it has in common with others is read only, or in `shared`.
#[derive(Debug)]
pub struct Worker {
    pub(crate) pool: Pool,
    pub(crate) entrance: Arc<Entrance>,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) http: http1::Builder,
    pub(crate) read_buffer: ReadBuffer,
    /// The most output that may wait for one peer.
    pub(crate) max_backlog: usize,
    /// How long a peer may take none of it.
    pub(crate) send_timeout: Duration,
    /// How long a client may take for the head of a request, and until it begins.
    pub(crate) head_timeout: Duration,
    /// The most bytes of the head of a request.
    pub(crate) max_head: usize,
    /// How long the guest may take to answer a request.
    pub(crate) decision_timeout: Duration,
    /// Rings when the runner is to stop, for those that speak HTTP.
    pub(crate) stopping: Bell,
    pub(crate) shared: Arc<Shared>,
    /// How much of a connection is read in a second; 0 is no limit.
    pub(crate) max_bytes_per_second: u32,
    /// How long a connection that is taken over may be silent, and how long it may last.
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) metrics: Arc<Metrics>,
    clock: Clock,
}

impl Worker {
    /// A worker without connections.
    pub fn new(
        pool: Pool,
        max_backlog: usize,
        send_timeout: Duration,
        decision_timeout: Duration,
        operating: &Operating,
        shared: &Arc<Shared>,
    ) -> Self {
        Self {
            metrics: Arc::clone(pool.metrics()),
            pool,
            entrance: Arc::default(),
            hosts: Arc::default(),
            http: http(),
            read_buffer: ReadBuffer::default(),
            max_backlog,
            send_timeout,
            head_timeout: Duration::from_secs(operating.head_timeout),
            max_head: operating.max_head.saturating_mul(1 << 10),
            decision_timeout,
            stopping: Bell::new(),
            shared: Arc::clone(shared),
            max_bytes_per_second: operating.max_bytes_per_second,
            idle_timeout: operating.idle_timeout(),
            max_lifetime: operating.max_lifetime(),
            clock: Clock::start(),
        }
    }

    /// The same worker, which serves these hosts only, and connections that come in by this entrance.
    #[must_use]
    pub fn with_entrance(mut self, entrance: &Arc<Entrance>, hosts: &Arc<Hosts>) -> Self {
        self.entrance = Arc::clone(entrance);
        self.hosts = Arc::clone(hosts);
        self
    }

    /// Lets a client in, for as long as the visit is kept, if its address may have one more connection. On a
    /// Unix socket it has none.
    pub(crate) fn admit(&self, peer: Peer) -> Result<Option<Visit>, Denial> {
        let admit = |ip| self.shared.admission.admit(ip, std::time::Instant::now());
        let admitted = peer.ip.map(admit).transpose();
        if let Err(denial) = &admitted {
            self.metrics.denied(*denial);
            tracing::debug!(remote = %peer, "not let in: {denial:?}");
        }
        admitted
    }

    /// Whether a request of this client's may be answered now. On a Unix socket there is nobody to count.
    pub(crate) fn may_ask(&self, peer: Peer) -> bool {
        let ask = |ip| self.shared.admission.ask(ip, std::time::Instant::now());
        let Err(denial) = peer.ip.map_or(Ok(()), ask) else {
            return true;
        };
        self.metrics.denied(denial);
        false
    }

    /// Asks all connections to end, and to end well.
    pub fn stop(&self, reason: ShutdownReason) {
        self.stopping.ring();
        self.pool.stop(reason);
    }

    /// The time as guests are told it: since the start of the worker.
    pub(crate) fn now(&self) -> bindings::Instant {
        self.clock.now()
    }

    /// When `instant` is; none if it is too far away to ever come.
    pub(crate) fn at(&self, instant: bindings::Instant) -> Option<tokio::time::Instant> {
        self.clock.at(instant)
    }
}

/// The gate bounds heads and the time for them.
fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.header_read_timeout(None)
        // RFC 9112 §9.6: a client that has sent its last request may end its direction and still
        // wants the answer.
        .half_close(true);
    http
}
