//! State shared by the requests of one thread.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use hyper::server::conn::http1;
use tokio::select;

use crate::contract::bindings::{Instant, ShutdownReason};
use crate::contract::clock::Clock;
use crate::http::hosts::Hosts;
use crate::http::owners::{Owner, Ownership};
use crate::http::settings::HttpSettings;
use crate::limits::per_address::{AddressPermit, Denial, TooManyRequests};
use crate::net::forwarded::Trust;
use crate::net::peer::Peer;
use crate::observe::metrics::Metrics;
use crate::pool::Pool;
use crate::process::shared::Shared;
use crate::process::stop_event::StopEvent;
use crate::session::moving::departure::{Exit, Way};
use crate::session::read_buffer::ReadBuffer;
use crate::session::settings::{SessionContext, SessionSettings};
use crate::session::sleep::in_common::InCommon;

/// A thread's share of the runner. State in common with other threads is read only, or in `shared`.
#[derive(Debug)]
pub struct Worker {
    pub(crate) pool: Rc<Pool>,
    pub(crate) hosts: Arc<Hosts>,
    /// The proxies whose claims about clients are believed.
    pub(crate) trust: Arc<Trust>,
    pub(crate) settings: HttpSettings,
    pub(crate) http1: http1::Builder,
    pub(crate) session: Rc<SessionContext>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) metrics: Arc<Metrics>,
    /// Set when the runner is to stop, for connections that still speak HTTP.
    pub(crate) stopping: StopEvent,
    /// Set while another process takes over, for connections that speak HTTP and have nothing to answer.
    pub(crate) leaving: StopEvent,
    /// Whether clients are named by the PROXY protocol.
    pub(crate) proxies_name_clients: bool,
    /// Which requests belong to which worker; `None` if all are served where they arrive.
    pub(crate) ownership: Option<Ownership>,
}

impl Worker {
    /// A worker without connections. `max_backlog` is the most unsent output of a connection, in bytes.
    pub(crate) fn new(
        pool: Pool,
        hosts: &Arc<Hosts>,
        trust: &Arc<Trust>,
        settings: HttpSettings,
        session: SessionSettings,
        max_backlog: usize,
        shared: &Arc<Shared>,
    ) -> Self {
        let metrics = Arc::clone(pool.metrics());
        let pool = Rc::new(pool);
        // So that the last activity of a connection that comes from another process is not before its beginning.
        let clock = Clock::started_before(session.idle_timeout.unwrap_or_default());
        let session = SessionContext {
            settings: session,
            pool: Rc::clone(&pool),
            max_backlog,
            read_buffer: Rc::new(ReadBuffer::default()),
            unsent: Arc::clone(&shared.unsent),
            topics: Arc::clone(&shared.topics),
            turns: Rc::default(),
            metrics: Arc::clone(&metrics),
            clock,
            exit: Exit::default(),
            sleep: InCommon::default(),
        };
        Self {
            pool,
            hosts: Arc::clone(hosts),
            trust: Arc::clone(trust),
            settings,
            http1: http1_builder(),
            session: Rc::new(session),
            shared: Arc::clone(shared),
            metrics,
            stopping: StopEvent::new(),
            leaving: StopEvent::new(),
            proxies_name_clients: false,
            ownership: None,
        }
    }

    /// Has the worker serve only the requests that it owns, of those that have an owner.
    pub(crate) fn owning(self, ownership: Option<Ownership>) -> Self {
        Self { ownership, ..self }
    }

    /// The owner of a request with this target, if it is another worker.
    pub(crate) fn elsewhere(&self, target: &str) -> Option<Owner> {
        self.ownership.as_ref()?.elsewhere(target)
    }

    /// Admits a client if its address may have one more connection; the permit counts for as long as it is held. Clients
    /// on Unix sockets have no address.
    pub(crate) fn admit(&self, peer: Peer) -> Result<Option<AddressPermit>, Denial> {
        let admit = |ip| self.shared.per_address.admit(ip, std::time::Instant::now());
        let admitted = peer.limited_ip().map(admit).transpose();
        if let Err(denial) = &admitted {
            self.metrics.denied(*denial);
        }
        admitted
    }

    /// Admits a request that waits for its answer alongside others of its connection.
    pub(crate) fn hold(&self, peer: Peer) -> Result<Option<AddressPermit>, Denial> {
        let now = std::time::Instant::now();
        let hold = |ip| self.shared.per_address.hold(ip, now);
        let held = peer.limited_ip().map(hold).transpose();
        held.inspect_err(|denial| self.metrics.denied(*denial))
    }

    /// Checks a request against the rate limit of its client's address. Requests on Unix sockets are not counted.
    pub(crate) fn may_ask(&self, peer: Peer) -> Result<(), TooManyRequests> {
        let Some(ip) = peer.limited_ip() else {
            return Ok(());
        };
        let asked = self
            .shared
            .per_address
            .allow_request(ip, std::time::Instant::now());
        asked.inspect_err(|_| self.metrics.denied_requests.count())
    }

    /// Whether a refusal of this client is logged: not if there are too many of them. If so, returns the number of those
    /// before it that were not.
    pub(crate) fn may_log_refusal(&self, client: Peer) -> Option<u64> {
        let now = std::time::Instant::now();
        self.shared.refusal_log.admit(client.limited_ip(), now)
    }

    /// Asks all connections to close cleanly.
    pub(crate) fn stop(&self, reason: ShutdownReason) {
        self.stopping.set();
        self.pool.stop(reason);
    }

    /// Hands all connections over to another process, as far as they can be, or lets them go on here.
    pub(crate) fn hand_over(&self, way: Option<Way>) {
        match &way {
            Some(way) => {
                self.leaving.set();
                self.pool.leave_for(Arc::clone(&way.room));
            }
            None => {
                self.leaving.clear();
                self.pool.stay();
            }
        }
        self.session.exit.set(way);
    }

    /// Waits until connections that speak HTTP are to end.
    pub(crate) fn ending(&self) -> impl Future<Output = ()> + use<> {
        let (stopping, leaving) = (self.stopping.wait(), self.leaving.wait());
        async move {
            select! {
                () = stopping => {}
                () = leaving => {}
            }
        }
    }

    /// The current time as guests see it: since the start of the worker.
    pub(crate) fn now(&self) -> Instant {
        self.session.clock.now()
    }

    /// Converts `instant`; `None` if it is too far away to ever come.
    pub(crate) fn at(&self, instant: Instant) -> Option<tokio::time::Instant> {
        self.session.clock.at(instant)
    }
}

/// The builder of HTTP/1 connections. The head reader limits heads in size and time.
pub(crate) fn http1_builder() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.header_read_timeout(None)
        // RFC 9112 §9.6: a client that has sent its last request may end its direction and still
        // wants the answer.
        .half_close(true);
    http
}
