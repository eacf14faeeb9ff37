//! Network limits and operator endpoints.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use wasocket_host::bindings::MessageLimits;
use wasocket_host::limits::per_address::{AddressLimit, PerAddressLimits};
use wasocket_host::limits::settings::LimitSettings;
use wasocket_host::net::listen::Listen;
use wasocket_host::observe::trace::Endpoint;
use wasocket_host::server::admin::AdminSettings;
use wasocket_host::session::settings::{SessionSettings, SwapSettings};

use crate::parse::{address_or_path, at_least_one, token_file};

/// Network limits and operator endpoints.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits on the network (0 means no limit; docs/operating-limits.md)")]
pub struct Network {
    /// Limit on open connections; more wait in the system's queue. Lowered if the system allows fewer open files
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = at_least_one())]
    pub max_connections: usize,
    /// Limit on open connections from one address or IPv6 /64; others get 429 [default: a tenth of
    /// --max-connections for public addresses; none for others, which proxies usually have]
    #[arg(long, value_name = "N")]
    pub max_connections_per_address: Option<u32>,
    /// Limit on new connections per second from one address or IPv6 /64; others get 429 [default: 100 for
    /// public addresses]
    #[arg(long, value_name = "N")]
    pub max_handshakes_per_address: Option<u32>,
    /// Limit on requests per second from one address or IPv6 /64, over all its connections; others get 429
    /// [default: 1000 for public addresses]
    #[arg(long, value_name = "N")]
    pub max_requests_per_address: Option<u32>,
    /// Limit on the size of a received WebSocket message, in KiB after decompression; longer ones cause Close
    /// 1009. The app may set a lower one
    #[arg(long, value_name = "KIB", default_value_t = 0)]
    pub max_message_size: u64,
    /// Limit on received WebSocket messages per second, including pings; more cause Close 1008. The app may set
    /// a lower one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_messages_per_second: u32,
    /// Limit on bytes per second read from a connection that the app has taken over; more wait at the client
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub max_bytes_per_second: u32,
    /// Limit on unsent output of all clients together, in MiB. Beyond it, connections that hold more than an
    /// equal share are dropped
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = at_least_one())]
    pub max_unsent: usize,
    /// Time limit for a request's head and for a TLS handshake
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = RangedU64ValueParser::<u64>::new().range(1..=3600))]
    pub head_timeout: u64,
    /// How long a connection may be idle between requests. A proxy in front should close its own idle connections
    /// earlier (nginx: after 60 seconds)
    #[arg(long, value_name = "SECONDS", default_value_t = 75, value_parser = RangedU64ValueParser::<u64>::new().range(1..=86400))]
    pub keep_alive_timeout: u64,
    /// Limit on the size of a request's head, in KiB, from 1 to 1024; longer ones get 431
    #[arg(long, value_name = "KIB", default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    pub max_head: usize,
    /// Time without traffic after which a connection that the app has taken over is closed. WebSockets are
    /// pinged before that
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub idle_timeout: u64,
    /// Time after which an idle connection of an app of the event form goes to sleep: it needs no instance until something
    /// happens [default: 60; none with --instance-by, as an instance may hold a room in its memory]
    #[arg(long, value_name = "SECONDS")]
    pub hibernate_after: Option<u64>,
    /// Time limit of a connection that the app has taken over; a WebSocket is then closed with 1012
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub max_lifetime: u64,
    /// Address, or unix:PATH, to serve /metrics (Prometheus), /healthz, /readyz and /topics on [default: none]
    #[arg(
        long,
        value_name = "ADDRESS",
        help_heading = "Operation",
        value_parser = address_or_path
    )]
    pub admin: Option<Listen>,
    /// File with the token that requests about topics on the admin address must carry, at least 16 characters. Needed
    /// for them where the address is neither loopback nor a Unix socket
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Operation",
        requires = "admin"
    )]
    pub admin_token_file: Option<PathBuf>,
    /// URL to send traces to, a span per request and per connection, as OTLP over HTTP in JSON: such as
    /// http://localhost:4318, or https:// for TLS [default: OTEL_EXPORTER_OTLP_ENDPOINT, or none]
    #[arg(long, value_name = "URL", help_heading = "Operation")]
    pub otlp_endpoint: Option<Endpoint>,
}

impl Network {
    /// The admin endpoint.
    ///
    /// # Errors
    ///
    /// A text for the user, if there is no token in its file.
    pub(super) fn admin(&self) -> Result<Option<AdminSettings>, String> {
        let Some(listen) = self.admin.clone() else {
            return Ok(None);
        };
        let token = self.admin_token_file.as_deref().map(token_file);
        let token = token.transpose()?.map(|(_, token)| token);
        Ok(Some(AdminSettings { listen, token }))
    }

    /// The limits on clients. Limits per address that are not set have the library's defaults.
    pub(super) fn limits(&self) -> LimitSettings {
        let default = LimitSettings::per_address(self.max_connections);
        let limit = |given: Option<u32>, default| given.map_or(default, AddressLimit::everywhere);
        LimitSettings {
            max_connections: self.max_connections,
            per_address: PerAddressLimits {
                connections: limit(self.max_connections_per_address, default.connections),
                handshakes: limit(self.max_handshakes_per_address, default.handshakes),
                requests: limit(self.max_requests_per_address, default.requests),
            },
            max_unsent: self.max_unsent.saturating_mul(1 << 20),
        }
    }

    /// The limits on connections that the app has taken over.
    pub(super) fn session(
        &self,
        send_timeout: Duration,
        swap: SwapSettings,
        is_by_key: bool,
    ) -> SessionSettings {
        let default = SessionSettings::default();
        let hibernate_after = match self.hibernate_after {
            Some(seconds) => limit(seconds),
            None => default.hibernate_after.filter(|_| !is_by_key),
        };
        SessionSettings {
            send_timeout,
            idle_timeout: limit(self.idle_timeout),
            max_lifetime: limit(self.max_lifetime),
            hibernate_after,
            max_bytes_per_second: self.max_bytes_per_second,
            swap,
        }
    }

    /// The endpoint for traces, if any.
    ///
    /// # Errors
    ///
    /// If the environment has an invalid one.
    pub(super) fn traces(&self) -> Result<Option<Endpoint>, String> {
        let endpoint = match &self.otlp_endpoint {
            Some(endpoint) => Some(endpoint.clone()),
            None => Endpoint::of_environment()?,
        };
        endpoint
            .map(Endpoint::with_fields_of_environment)
            .transpose()
    }

    /// The limits on what WebSockets receive, if there are any.
    pub(super) fn message_limits(&self) -> Option<MessageLimits> {
        let limits = MessageLimits {
            max_message_size: (self.max_message_size > 0)
                .then(|| self.max_message_size.saturating_mul(1 << 10)),
            max_messages_per_second: (self.max_messages_per_second > 0)
                .then_some(self.max_messages_per_second),
        };
        let is_any = limits.max_message_size.is_some() || limits.max_messages_per_second.is_some();
        is_any.then_some(limits)
    }
}

/// A limit in seconds; 0 means no limit.
fn limit(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds))
}
