//! The configuration of a server, as plain values for embedders.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::contract::bindings::ShutdownReason;
use crate::guest::limits::Limits;
use crate::guest::wasi::Grants;
use crate::http::hosts::AllowedHost;
use crate::http::path_pattern::PathPattern;
use crate::http::settings::HttpSettings;
use crate::limits::settings::LimitSettings;
use crate::net::forwarded::Trust;
use crate::net::listen::{Listen, UnixAccess};
use crate::net::tls;
use crate::observe::trace::Endpoint;
use crate::server::admin::AdminSettings;
use crate::session::settings::SessionSettings;
use crate::topics::settings::TopicSettings;

/// The configuration of a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The component's file; `None` means the embedded default app.
    pub component: Option<PathBuf>,
    /// Whether to reload the component when its file changes.
    pub watch: bool,
    /// Whether to keep compiled components in the user's cache.
    pub cache: bool,
    /// Whether the file may be machine code from `wasocket compile`.
    pub allow_precompiled: bool,
    /// Addresses to listen on.
    pub listen: Vec<Listen>,
    /// Who may connect to the Unix sockets among them.
    pub unix: UnixAccess,
    /// The hosts to serve. If empty, any host; or only loopback names, if all addresses are loopback.
    pub hosts: Vec<AllowedHost>,
    /// The certificate and its key. If set, TCP connections use TLS.
    pub tls: Option<tls::Files>,
    /// Whether all connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Proxies whose claims about clients are trusted.
    pub trust: Trust,
    /// Number of serving threads, each with its own instances; at least 1.
    pub workers: usize,
    /// The most connections that share an instance and fail together with it; at least 1.
    pub connections_per_instance: usize,
    /// The paths whose requests and connections share an instance, for each key of theirs; `None` means none do.
    pub instance_by: Option<PathPattern>,
    /// Limits of each instance. Its memory limit is also the most unsent output of a connection.
    pub guest: Limits,
    /// What the component is granted.
    pub grants: Grants,
    /// Limits on clients.
    pub limits: LimitSettings,
    /// How requests are read and answered.
    pub http: HttpSettings,
    /// Limits on connections that the app has taken over.
    pub session: SessionSettings,
    /// What connections may do with topics.
    pub topics: Arc<TopicSettings>,
    /// The engine that carries publications between runners; `None` means that topics are those of this process.
    pub bus: Option<wasocket_bus::settings::Settings>,
    /// Bounds on what the bus holds.
    pub bus_limits: wasocket_bus::limits::Limits,
    /// The path of the Unix socket at which the process listens whose sockets and connections this one takes over, if there
    /// is one, and at which this one waits for its own successor.
    pub take_over_from: Option<PathBuf>,
    /// How long the server goes on accepting connections after a signal to stop, so that load balancers notice.
    pub shutdown_delay: Duration,
    /// How long open connections have to close when the server stops.
    pub shutdown_timeout: Duration,
    /// Why connections end when the server stops, which determines the close code of WebSockets.
    pub shutdown_reason: ShutdownReason,
    /// The admin endpoint; `None` means there is none.
    pub admin: Option<AdminSettings>,
    /// Where to send traces; `None` means nowhere.
    pub traces: Option<Endpoint>,
}

impl Default for ServerConfig {
    /// The default app on 127.0.0.1:1234, with one worker and every other default.
    fn default() -> Self {
        Self {
            component: None,
            watch: false,
            cache: true,
            allow_precompiled: false,
            listen: vec![Listen::Address("127.0.0.1:1234".to_owned())],
            unix: UnixAccess::default(),
            hosts: vec![],
            tls: None,
            proxy_protocol: false,
            trust: Trust::default(),
            workers: 1,
            // 32 connections that each collect a message of 1 MiB, the protocol's default limit, use half of the
            // default memory.
            connections_per_instance: 32,
            instance_by: None,
            guest: Limits::default(),
            grants: Grants::default(),
            limits: LimitSettings::default(),
            http: HttpSettings::default(),
            session: SessionSettings::default(),
            topics: Arc::default(),
            bus: None,
            bus_limits: wasocket_bus::limits::Limits::default(),
            take_over_from: None,
            shutdown_delay: Duration::ZERO,
            shutdown_timeout: Duration::from_secs(5),
            shutdown_reason: ShutdownReason::GoingAway,
            admin: None,
            traces: None,
        }
    }
}
