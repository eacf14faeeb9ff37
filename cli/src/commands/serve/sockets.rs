//! The options of `serve` that are about sockets.

use std::path::PathBuf;

use clap::Args;
use wasocket_host::http::hosts::AllowedHost;
use wasocket_host::net::forwarded::Trusted;
use wasocket_host::net::listen::Listen;
use wasocket_host::net::tls;

/// Where connections come from, and for whom.
#[derive(Clone, Debug, Args)]
pub struct Sockets {
    /// Where to listen: ADDRESS:PORT, where port 0 is any free port; `unix:PATH`, a socket for this user
    /// alone; or `systemd`, the sockets that it passes. May be repeated
    #[arg(long, value_name = "PLACE", default_value = "127.0.0.1:1234")]
    pub listen: Vec<Listen>,
    /// A host to serve, as requests name it; `*.NAME` and `*` stand for more. May be repeated [default: any;
    /// on loopback addresses alone, loopback names]
    #[arg(long, value_name = "NAME[:PORT]")]
    pub allow_host: Vec<AllowedHost>,
    /// A certificate in PEM, with those that lead to a root: TCP is served with TLS. Loaded again at SIGHUP,
    /// and within a minute when the file changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// HTTP/2 beside HTTP/1.1: where TLS agrees on it, and without TLS for clients that begin with it. Browsers
    /// then open WebSockets as streams of one connection (RFC 8441), which the component has to know
    #[arg(long)]
    pub http2: bool,
    /// All connections begin with a header of the PROXY protocol, version 1 or 2, which has the address of
    /// the client. What does not is closed; and with --trust, what does not come from there
    #[arg(long)]
    pub proxy_protocol: bool,
    /// Proxies whose `Forwarded`, or `X-Forwarded-For` and `-Proto`, says who the client is; `unix` stands for
    /// who connects to a Unix socket. May be repeated
    #[arg(long, value_name = "IP[/BITS]")]
    pub trust: Vec<Trusted>,
}

impl Sockets {
    /// Where certificate and key are, if TLS is to be spoken.
    pub(super) fn tls(&self) -> Option<tls::Files> {
        let files = self.tls_cert.as_ref().zip(self.tls_key.as_ref());
        files.map(|(certificate, key)| tls::Files {
            certificate: certificate.clone(),
            key: key.clone(),
        })
    }
}
