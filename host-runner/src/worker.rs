//! What the connections of one thread share.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use hyper::server::conn::http1;

use crate::accepted::Peer;
use crate::admission::{Admission, Denial, Visit};
use crate::bell::Bell;
use crate::bindings;
use crate::clock::Clock;
use crate::debt::Debts;
use crate::entrance::Entrance;
use crate::files;
use crate::hosts::Hosts;
use crate::http2::Tunnels;
use crate::metrics::Metrics;
use crate::operating::Operating;
use crate::pool::Pool;

/// The most bytes that a guest is given at once (`websocket-handler.wit`, `receive`).
const READ_BUFFER: usize = 64 * 1024;

/// A thread's share of the runner. Nothing in it is shared with other threads.
#[derive(Debug)]
pub struct Worker {
    pub(crate) pool: Pool,
    pub(crate) entrance: Entrance,
    pub(crate) hosts: Hosts,
    pub(crate) http: http1::Builder,
    /// Read into by whichever connection is readable, so that an idle one has no buffer.
    pub(crate) read_buffer: RefCell<Box<[u8]>>,
    /// The most output that may wait for one peer.
    pub(crate) max_backlog: usize,
    /// How long a peer may take none of it.
    pub(crate) send_timeout: Duration,
    /// How long the guest may take to answer a request.
    pub(crate) decision_timeout: Duration,
    /// Rings when the runner is to stop, for those that speak HTTP.
    pub(crate) stopping: Bell,
    /// How many connections there may be, and how many of an address.
    pub(crate) max_connections: usize,
    pub(crate) admission: Rc<Admission>,
    /// The streams of HTTP/2 among them that are taken over.
    pub(crate) tunnels: Rc<Tunnels>,
    /// How much of a connection is read in a second; 0 is no limit.
    pub(crate) max_bytes_per_second: u32,
    /// What is unsent on all connections.
    pub(crate) debts: Rc<Debts>,
    /// How long a connection that is taken over may be silent, and how long it may last.
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) metrics: Rc<Metrics>,
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
    ) -> Self {
        Self {
            metrics: Rc::clone(pool.metrics()),
            pool,
            entrance: Entrance::default(),
            hosts: Hosts::default(),
            http: http(),
            read_buffer: RefCell::new(vec![0; READ_BUFFER].into_boxed_slice()),
            max_backlog,
            send_timeout,
            decision_timeout,
            stopping: Bell::new(),
            max_connections: files::connections(operating.max_connections),
            admission: Admission::new(operating.per_address()),
            tunnels: Rc::default(),
            max_bytes_per_second: operating.max_bytes_per_second,
            debts: Debts::new(operating.max_unsent()),
            idle_timeout: operating.idle_timeout(),
            max_lifetime: operating.max_lifetime(),
            clock: Clock::start(),
        }
    }

    /// The same worker, which serves these hosts only, and connections that come in by this entrance.
    #[must_use]
    pub fn with_entrance(mut self, entrance: Entrance, hosts: Hosts) -> Self {
        self.entrance = entrance;
        self.hosts = hosts;
        self
    }

    /// Lets a client in, for as long as the visit is kept, if its address may have one more connection. On a
    /// Unix socket it has none.
    pub(crate) fn admit(&self, peer: Peer) -> Result<Option<Visit>, Denial> {
        let admit = |ip| self.admission.admit(ip, std::time::Instant::now());
        let admitted = peer.ip.map(admit).transpose();
        if let Err(denial) = &admitted {
            self.metrics.denied(*denial);
            tracing::debug!(remote = %peer, "not let in: {denial:?}");
        }
        admitted
    }

    /// Asks all connections to end, and to end well.
    pub fn stop(&self) {
        self.stopping.ring();
        self.pool.stop();
    }

    /// What is counted, as Prometheus reads it.
    pub(crate) fn metrics_text(&self) -> String {
        self.metrics.to_text(self.debts.sum(), self.pool.len())
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
