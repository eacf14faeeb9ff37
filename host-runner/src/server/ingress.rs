//! What a connection goes through before it speaks HTTP.

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

/// What is asked of every connection.
#[derive(Debug, Default)]
pub struct Ingress {
    /// The header of the PROXY protocol, before all else.
    pub proxy_protocol: bool,
    /// The proxies that may send one: all, if none is named.
    pub trust: Arc<Trust>,
    /// TLS, on TCP.
    pub tls: Option<Tls>,
}

impl Ingress {
    /// Whether such a connection begins with HTTP.
    pub(crate) fn is_open_to(&self, stream: &Accepted) -> bool {
        !self.proxy_protocol && (self.tls.is_none() || matches!(stream, Accepted::Unix(_)))
    }

    /// Whom a proxy speaks for.
    async fn client(&self, stream: &mut Accepted, proxy: Peer) -> io::Result<Peer> {
        if !self.trust.is_empty() && !self.trust.includes(&proxy) {
            let text = "the peer is no proxy that is trusted (--trust)";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        let client = read_proxy_header(stream).await?.map_or(proxy, Peer::from);
        tracing::debug!(%proxy, remote = %client, "proxied");
        Ok(client)
    }

    /// Keeps up with what changes of it, for ever.
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

/// Has a connection do what is asked of it, in the time that a head has.
///
/// # Errors
///
/// When it does not.
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
        () = worker.stopping.wait() => Err(io::Error::other("the runner stops")),
    }
}
