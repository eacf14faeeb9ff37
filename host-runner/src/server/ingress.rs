//! The ingress: PROXY protocol and TLS, before HTTP.

use std::future::{Future, pending};
use std::io;
use std::sync::Arc;

use tokio::select;
use tokio::signal::unix::Signal;
use tokio::time::timeout;

use crate::http::worker::Worker;
use crate::net::forwarded::{Trust, read_proxy_header};
use crate::net::peer::Peer;
use crate::net::stream::accepted::Accepted;
use crate::net::tls::Tls;

/// The steps that every connection takes before HTTP.
#[derive(Debug, Default)]
pub struct Ingress {
    /// A PROXY protocol header, before everything else.
    pub proxy_protocol: bool,
    /// The proxies that may send the header; any, if empty.
    pub trust: Arc<Trust>,
    /// TLS on TCP connections.
    pub tls: Option<Tls>,
}

impl Ingress {
    /// Whether such a connection begins with HTTP.
    pub(crate) fn is_open_to(&self, stream: &Accepted) -> bool {
        !self.proxy_protocol && (self.tls.is_none() || matches!(stream, Accepted::Unix(_)))
    }

    /// The client that a proxy speaks for.
    async fn client(&self, stream: &mut Accepted, proxy: Peer) -> io::Result<Peer> {
        if !self.trust.is_empty() && !self.trust.includes(&proxy) {
            let text = "the peer is not a trusted proxy (--trust)";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        let client = read_proxy_header(stream).await?.map_or(proxy, Peer::from);
        tracing::debug!(%proxy, remote = %client, "proxied");
        Ok(client)
    }

    /// Reloads the certificate when it changes, and at each of these signals; never returns.
    pub async fn follow(&self, hangups: &mut Signal) {
        select! {
            () = self.follow_files() => {}
            () = self.follow_hangups(hangups) => {}
        }
    }

    async fn follow_files(&self) {
        match &self.tls {
            Some(tls) => tls.follow().await,
            None => pending().await,
        }
    }

    async fn follow_hangups(&self, hangups: &mut Signal) {
        while hangups.recv().await.is_some() {
            match &self.tls {
                Some(tls) => tls.reload(),
                None => tracing::info!("SIGHUP: there is no certificate to reload"),
            }
        }
        pending().await
    }

    /// Whether such a connection begins with a TLS handshake, after the PROXY header if there is one.
    pub(crate) fn has_tls(&self, stream: &Accepted) -> bool {
        self.tls.is_some() && matches!(stream, Accepted::Tcp(_))
    }

    /// Performs the TLS handshake, if there is one.
    async fn secure(&self, stream: Accepted) -> io::Result<Accepted> {
        match (&self.tls, stream) {
            (Some(tls), Accepted::Tcp(tcp)) => {
                let stream = Box::new(tls.accept(tcp).await?);
                Ok(Accepted::Tls(stream))
            }
            (_, stream) => Ok(stream),
        }
    }
}

/// Reads the PROXY protocol's header, within the time limit of a request head. Returns the client.
///
/// # Errors
///
/// If the header is invalid or late, or the proxy is not trusted.
pub(crate) async fn identify(
    ingress: &Ingress,
    worker: &Worker,
    stream: &mut Accepted,
    proxy: Peer,
) -> io::Result<Peer> {
    within(worker, ingress.client(stream, proxy)).await
}

/// Performs the TLS handshake, within the time limit of a request head.
///
/// # Errors
///
/// If the handshake fails or takes too long.
pub(crate) async fn secure(
    ingress: &Ingress,
    worker: &Worker,
    stream: Accepted,
) -> io::Result<Accepted> {
    within(worker, ingress.secure(stream)).await
}

async fn within<T>(worker: &Worker, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    select! {
        done = timeout(worker.settings.head_timeout, step) => done.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long"))
        }),
        () = worker.stopping.wait() => Err(io::Error::other("the runner is stopping")),
    }
}
