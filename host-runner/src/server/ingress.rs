//! The ingress: PROXY protocol and TLS, before HTTP.

use std::future::pending;
use std::io;
use std::sync::Arc;

use tokio::select;
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

    /// Reloads the certificate when it changes; never returns.
    pub async fn follow(&self) {
        match &self.tls {
            Some(tls) => tls.follow().await,
            None => pending().await,
        }
    }

    async fn pass(&self, mut stream: Accepted, mut peer: Peer) -> io::Result<(Accepted, Peer)> {
        if self.proxy_protocol {
            peer = self.client(&mut stream, peer).await?;
        }
        match (&self.tls, stream) {
            (Some(tls), Accepted::Tcp(tcp)) => {
                let stream = Box::new(tls.accept(tcp).await?);
                peer.secure = true;
                Ok((Accepted::Tls(stream), peer))
            }
            (_, stream) => Ok((stream, peer)),
        }
    }
}

/// Takes a connection through the ingress, within the time limit of a request head.
///
/// # Errors
///
/// If the header or the TLS handshake fails.
pub(crate) async fn enter(
    ingress: &Ingress,
    worker: &Worker,
    stream: Accepted,
    peer: Peer,
) -> io::Result<(Accepted, Peer)> {
    let passing = timeout(worker.settings.head_timeout, ingress.pass(stream, peer));
    select! {
        passed = passing => passed.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long"))
        }),
        () = worker.stopping.wait() => Err(io::Error::other("the runner is stopping")),
    }
}
