//! What the runner serves, where, and within which limits: plain values, for whoever embeds it.

use std::path::PathBuf;
use std::time::Duration;

use crate::contract::bindings::ShutdownReason;
use crate::guest::limits::Limits;
use crate::guest::wasi::Grants;
use crate::http::hosts::AllowedHost;
use crate::http::settings::HttpSettings;
use crate::limits::settings::LimitSettings;
use crate::net::forwarded::Trust;
use crate::net::listen::Listen;
use crate::net::tls;
use crate::observe::trace::Endpoint;
use crate::session::settings::SessionSettings;

/// The configuration of a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The component's file; `None` is the embedded default app.
    pub component: Option<PathBuf>,
    /// Whether to reload the component when its file changes.
    pub watch: bool,
    /// Whether to keep compiled components in the user's cache folder.
    pub cache: bool,
    /// Whether the file may be machine code, made by `wasocket compile`.
    pub allow_precompiled: bool,
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// The hosts to serve; none is any host, or on loopback addresses alone, loopback names.
    pub hosts: Vec<AllowedHost>,
    /// The certificate and its key: with them, TCP is served with TLS.
    pub tls: Option<tls::Files>,
    /// Whether all connections begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// The proxies whose claims about clients are believed.
    pub trust: Trust,
    /// The number of threads that serve, each with instances of its own; at least 1.
    pub workers: usize,
    /// The most connections that share an instance, and its fate should it fail; at least 1.
    pub connections_per_instance: usize,
    /// What each instance may use. Its memory is also the most output that may wait for one peer.
    pub guest: Limits,
    /// What the component may reach.
    pub grants: Grants,
    /// How much clients may have.
    pub limits: LimitSettings,
    /// How requests are read and decided on.
    pub http: HttpSettings,
    /// What connections that the app has taken over are held to.
    pub session: SessionSettings,
    /// How long open connections have to end when the server stops.
    pub shutdown_timeout: Duration,
    /// What WebSockets are closed with when the server stops.
    pub shutdown_reason: ShutdownReason,
    /// Where the operator asks for metrics and health, as `ADDRESS:PORT`; `None` is nowhere.
    pub admin: Option<String>,
    /// Where traces go; `None` is nowhere.
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
            hosts: vec![],
            tls: None,
            proxy_protocol: false,
            trust: Trust::default(),
            workers: 1,
            // 32 connections that each collect a message of 1 MiB, the protocol's default limit, fit twice into
            // the default memory.
            connections_per_instance: 32,
            guest: Limits::default(),
            grants: Grants::default(),
            limits: LimitSettings::default(),
            http: HttpSettings::default(),
            session: SessionSettings::default(),
            shutdown_timeout: Duration::from_secs(5),
            shutdown_reason: ShutdownReason::GoingAway,
            admin: None,
            traces: None,
        }
    }
}
