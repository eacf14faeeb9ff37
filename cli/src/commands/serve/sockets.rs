//! Listeners, TLS and proxies.

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use wasocket_host::http::hosts::AllowedHost;
use wasocket_host::net::forwarded::{ForwardedField, Trust, Trusted};
use wasocket_host::net::listen::{Listen, UnixAccess};
use wasocket_host::net::tls;

/// Listeners, TLS and proxies.
#[derive(Clone, Debug, Args)]
pub struct Sockets {
    /// Where to listen: ADDRESS:PORT, where port 0 means any free port; `unix:PATH`, a Unix socket; or
    /// `systemd`, the sockets that it passes. May be repeated
    #[arg(long, value_name = "PLACE", default_value = "127.0.0.1:1234")]
    pub listen: Vec<Listen>,
    /// The group of Unix sockets, by name or number: that of a proxy, which may then connect
    #[arg(long, value_name = "GROUP", value_parser = group)]
    pub unix_group: Option<u32>,
    /// The mode of Unix sockets, in octal [default: 600, which is this user only; 660 with --unix-group]
    #[arg(long, value_name = "MODE", value_parser = mode)]
    pub unix_mode: Option<u32>,
    /// A host name to serve; `*.NAME` and `*` are patterns. May be repeated [default: any; if all addresses are
    /// loopback, loopback names]
    #[arg(long, value_name = "NAME[:PORT]")]
    pub allow_host: Vec<AllowedHost>,
    /// A certificate chain in PEM; TCP connections then use TLS. Reloaded at SIGHUP, and within a minute when
    /// the file changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Serve HTTP/2 as well as HTTP/1.1: over TLS if the client agrees, and without TLS if the client begins with
    /// it. Browsers then open WebSockets as streams of one connection (RFC 8441), which the component must support
    #[arg(long)]
    pub http2: bool,
    /// Expect a PROXY protocol header, version 1 or 2, with the client's address on every connection. Connections
    /// without one are closed; with --trust, also those that do not come from a trusted proxy
    #[arg(long)]
    pub proxy_protocol: bool,
    /// A proxy that is trusted to name the client (--forwarded); `unix` means peers on a Unix socket. May be repeated
    #[arg(long, value_name = "IP[/BITS]")]
    pub trust: Vec<Trusted>,
    /// The field in which trusted proxies name the client. The other is ignored, since a proxy may pass it on as the
    /// client sent it
    #[arg(long, value_name = "FIELD", default_value = "x-forwarded-for")]
    pub forwarded: Forwarded,
}

/// The field in which proxies name the client.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Forwarded {
    /// `X-Forwarded-For`, with `X-Forwarded-Proto`
    XForwardedFor,
    /// `Forwarded` (RFC 7239)
    Forwarded,
}

impl Sockets {
    /// Who may connect to the Unix sockets.
    pub(super) fn unix_access(&self) -> UnixAccess {
        UnixAccess {
            mode: self.unix_mode,
            group: self.unix_group,
        }
    }

    /// The proxies that may name the client, and how they do.
    pub(super) fn trust(&self) -> Trust {
        Trust {
            proxies: self.trust.clone(),
            field: match self.forwarded {
                Forwarded::XForwardedFor => ForwardedField::XForwardedFor,
                Forwarded::Forwarded => ForwardedField::Forwarded,
            },
        }
    }

    /// The files of the certificate and its key, if TLS is on.
    pub(super) fn tls(&self) -> Option<tls::Files> {
        let files = self.tls_cert.as_ref().zip(self.tls_key.as_ref());
        files.map(|(certificate, key)| tls::Files {
            certificate: certificate.clone(),
            key: key.clone(),
        })
    }
}

/// Parses `--unix-mode`.
fn mode(text: &str) -> Result<u32, &'static str> {
    let mode = u32::from_str_radix(text, 8).ok();
    mode.filter(|mode| *mode <= 0o777)
        .ok_or("expected three octal digits, such as 660")
}

/// Parses `--unix-group`: a number, or a name in group(5).
fn group(text: &str) -> Result<u32, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let groups =
        fs::read_to_string("/etc/group").map_err(|error| format!("/etc/group: {error}"))?;
    let number = |line: &str| {
        let mut columns = line.split(':');
        let is_it = columns.next() == Some(text);
        // After the password.
        is_it.then(|| columns.nth(1)?.parse().ok())?
    };
    let found = groups.lines().find_map(number);
    found.ok_or_else(|| "there is no such group in /etc/group".to_owned())
}
