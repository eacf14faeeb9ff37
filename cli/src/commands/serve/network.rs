//! The options of `wasocket serve` that guard the runner against the network, and show how it is.

use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use wasocket_host::bindings::Ceiling;
use wasocket_host::limits::per_address::{PerAddress, Rule};
use wasocket_host::limits::settings::LimitSettings;
use wasocket_host::observe::trace::Endpoint;
use wasocket_host::session::settings::SessionSettings;

use crate::parse::{address, at_least_one};

/// What the network may ask of the runner, and where the operator does.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits on the network (0 is none; docs/operating-limits.md)")]
pub struct Network {
    /// The most connections at once; further ones wait with the system. Less where the system allows fewer
    /// open files
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = at_least_one())]
    pub max_connections: usize,
    /// The most connections at once from one address, or IPv6 /64; others get 429 [default: a tenth of
    /// --max-connections for public addresses; for others none, since a proxy is on one]
    #[arg(long, value_name = "N")]
    pub max_connections_per_address: Option<u32>,
    /// The most new connections in a second from one address, or IPv6 /64; others get 429 [default: 100 for
    /// public addresses]
    #[arg(long, value_name = "N")]
    pub max_handshakes_per_address: Option<u32>,
    /// The most requests in a second from one address, or IPv6 /64, on whatever connections; others get 429
    /// [default: 1000 for public addresses]
    #[arg(long, value_name = "N")]
    pub max_requests_per_address: Option<u32>,
    /// The longest message, in KiB and decompressed, that a WebSocket may receive: Close 1009. The app may allow
    /// less
    #[arg(long, value_name = "KIB", default_value_t = 0)]
    pub max_message_size: u64,
    /// The most messages in a second that a WebSocket may receive, pings among them: Close 1008. The app may
    /// allow less
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_messages_per_second: u32,
    /// The most bytes in a second that are read from a connection that the app has taken over; those beyond
    /// wait with the client
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub max_bytes_per_second: u32,
    /// The most output, in MiB, that may wait for all clients together. Beyond it those who owe more than
    /// their share are let go
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = at_least_one())]
    pub max_unsent: usize,
    /// The time a client has to say what it wants: for the head of a request, for a handshake of TLS; also how
    /// long a connection may ask for nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = RangedU64ValueParser::<u64>::new().range(1..=3600))]
    pub head_timeout: u64,
    /// The longest head of a request, in KiB, from 1 to 1024: 431 beyond
    #[arg(long, value_name = "KIB", default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    pub max_head: usize,
    /// The time nothing may be sent and received on a connection that the app has taken over. WebSockets
    /// have their pings before
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub idle_timeout: u64,
    /// The time a connection that the app has taken over may last; a WebSocket is closed with 1012 then
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub max_lifetime: u64,
    /// Where the operator asks: /metrics for Prometheus, /healthz, /readyz [default: nowhere]
    #[arg(
        long,
        value_name = "ADDRESS",
        help_heading = "Operation",
        value_parser = address
    )]
    pub admin: Option<String>,
    /// Where a span of each request and each connection is sent, as OTLP over HTTP in JSON: a URL such as
    /// http://localhost:4318, or https:// for TLS [default: nowhere, or what OTEL_EXPORTER_OTLP_ENDPOINT says]
    #[arg(long, value_name = "URL", help_heading = "Operation")]
    pub otlp_endpoint: Option<Endpoint>,
}

impl Network {
    /// How much clients may have. Where nothing is said of addresses, the library's defaults hold.
    pub(super) fn limits(&self) -> LimitSettings {
        let default = LimitSettings::per_address(self.max_connections);
        let rule = |given: Option<u32>, default| given.map_or(default, Rule::everywhere);
        LimitSettings {
            max_connections: self.max_connections,
            per_address: PerAddress {
                connections: rule(self.max_connections_per_address, default.connections),
                handshakes: rule(self.max_handshakes_per_address, default.handshakes),
                requests: rule(self.max_requests_per_address, default.requests),
            },
            max_unsent: self.max_unsent.saturating_mul(1 << 20),
        }
    }

    /// What connections that the app has taken over are held to.
    pub(super) fn session(&self, send_timeout: Duration) -> SessionSettings {
        SessionSettings {
            send_timeout,
            idle_timeout: limit(self.idle_timeout),
            max_lifetime: limit(self.max_lifetime),
            max_bytes_per_second: self.max_bytes_per_second,
        }
    }

    /// Where traces go, if anywhere.
    ///
    /// # Errors
    ///
    /// When the environment names what is no place for them.
    pub(super) fn traces(&self) -> Result<Option<Endpoint>, String> {
        let endpoint = match &self.otlp_endpoint {
            Some(endpoint) => Some(endpoint.clone()),
            None => Endpoint::of_environment()?,
        };
        endpoint
            .map(Endpoint::with_fields_of_environment)
            .transpose()
    }

    /// What WebSockets may receive, if that is limited at all.
    pub(super) fn ceiling(&self) -> Option<Ceiling> {
        let ceiling = Ceiling {
            max_message_size: (self.max_message_size > 0)
                .then(|| self.max_message_size.saturating_mul(1 << 10)),
            max_messages_per_second: (self.max_messages_per_second > 0)
                .then_some(self.max_messages_per_second),
        };
        let is_any =
            ceiling.max_message_size.is_some() || ceiling.max_messages_per_second.is_some();
        is_any.then_some(ceiling)
    }
}

/// A limit in seconds; 0 is none.
fn limit(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds))
}
