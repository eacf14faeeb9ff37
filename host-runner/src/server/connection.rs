//! From HTTP to a raw socket.
//!
//! hyper speaks HTTP/1.1 on every new socket, except those that speak HTTP/2 (`h2`), and the guest is asked about
//! every request. If it takes over the socket, the service *fails*, on purpose: hyper then writes nothing and gives up
//! the socket. This one mechanism serves both the 101 and the raw takeover, which has no response. hyper's own
//! upgrade could not do the second, and would send the 101 in a write of its own; here it is sent together with
//! the first output.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::{self, Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::select;
use wasocket_host_core::http1::{Framing, Request, Response};

use crate::http::arrival::{Admission, Arrival, MovedConnection};
use crate::http::exchange::{Upgrade, log_denial};
use crate::http::h1::head_reader::HeadReader;
use crate::http::h1::service::Http;
use crate::http::h2;
use crate::http::owners::Owner;
use crate::http::worker::Worker;
use crate::limits::per_address::Denial;
use crate::net::peer::Peer;
use crate::net::stream::accepted::Accepted;
use crate::net::stream::closing;
use crate::net::stream::portable::Portable;
use crate::net::stream::socket::Socket;
use crate::observe::access_log::log_cut_off;
use crate::observe::metrics::Metrics;
use crate::server::ingress::{Ingress, identify, secure};

/// The task of a connection, one step after the other. Each is boxed, and gone when the next begins: HTTP needs several
/// times the memory of a WebSocket, and a task keeps its size to its end.
pub(crate) struct Steps(Pin<Box<dyn Future<Output = Next>>>);

/// The step that follows; `None` after the last one.
pub(crate) struct Next(Option<Steps>);

impl Steps {
    pub(crate) fn begin(first: impl Future<Output = Next> + 'static) -> Self {
        Self(Box::pin(first))
    }
}

impl Next {
    /// There is none.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// The last step.
    pub(super) fn last(step: impl Future<Output = ()> + 'static) -> Self {
        Self(Some(Steps(Box::pin(async move {
            step.await;
            Self(None)
        }))))
    }
}

impl Future for Steps {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        while let Some(next) = ready!(self.0.as_mut().poll(context)).0 {
            *self = next;
        }
        Poll::Ready(())
    }
}

/// Serves a socket as HTTP. Its session follows, once it is taken over, which holds the admission to its end.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    ingress: Arc<Ingress>,
    stream: Accepted,
    peer: Peer,
    admission: Admission,
) -> Next {
    let metrics = Arc::clone(&worker.metrics);
    tracing::debug!(remote = %peer, "connected");
    let mut admission = Some(admission);
    let served = take_over(worker, &ingress, stream, peer, &mut admission).await;
    finish(metrics, peer, admission, served)
}

/// Serves a connection that another worker has accepted, from its last request on.
pub(crate) async fn adopt(worker: Rc<Worker>, mut moved: Box<MovedConnection>) -> Next {
    let (metrics, peer) = (Arc::clone(&worker.metrics), moved.peer);
    metrics.moved_in.count();
    tracing::debug!(remote = %peer, "moved to the worker that owns its path");
    let mut admission = moved.admission.take();
    let served = resume(worker, moved, &mut admission).await;
    finish(metrics, peer, admission, served)
}

/// What has become of a connection.
enum Served {
    Closed,
    /// The guest has taken over the socket: this is its session.
    TakenOver(Pin<Box<dyn Future<Output = io::Result<()>>>>),
    /// Another worker has it.
    Moved,
}

/// Serves what was taken over, and counts the end. Holds the admission until then, unless another worker has it.
fn finish(
    metrics: Arc<Metrics>,
    peer: Peer,
    admission: Option<Admission>,
    served: io::Result<Served>,
) -> Next {
    match served {
        Ok(Served::TakenOver(session)) => Next::last(async move {
            let outcome = session.await;
            drop(admission);
            count_end(&metrics, peer, outcome);
        }),
        Ok(Served::Moved) => {
            metrics.moved_out.count();
            Next(None)
        }
        Ok(Served::Closed) => {
            count_end(&metrics, peer, Ok(()));
            Next(None)
        }
        Err(error) => {
            count_end(&metrics, peer, Err(error));
            Next(None)
        }
    }
}

fn count_end(metrics: &Metrics, peer: Peer, outcome: io::Result<()>) {
    match outcome {
        Ok(()) => tracing::debug!(remote = %peer, "closed"),
        Err(error) => tracing::debug!(remote = %peer, "closed: {error}"),
    }
    metrics.closed.count();
}

/// Sends the response to a refused connection, without reading a request.
pub(crate) async fn deny(stream: Accepted, denial: Denial) {
    // It does not matter whether the client reads it.
    let _ = send(stream, denial.response()).await;
}

/// Serves a socket as HTTP. `admission` is taken if the connection moves.
async fn take_over(
    worker: Rc<Worker>,
    ingress: &Ingress,
    mut stream: Accepted,
    mut peer: Peer,
    admission: &mut Option<Admission>,
) -> io::Result<Served> {
    if ingress.proxy_protocol {
        peer = Box::pin(identify(ingress, &worker, &mut stream, peer)).await?;
        // Before the TLS handshake, which costs far more than a refusal.
        match worker.admit(peer) {
            Ok(admitted) => {
                if let Some(admission) = admission {
                    admission.address = admitted;
                }
            }
            Err(denial) => {
                let is_told = !ingress.has_tls(&stream);
                log_denial(&worker, peer, &denial.refused(), is_told);
                if is_told {
                    deny(stream, denial).await;
                }
                return Ok(Served::Closed);
            }
        }
    }
    if ingress.has_tls(&stream) {
        stream = Box::pin(secure(ingress, &worker, stream)).await?;
        peer.secure = true;
    }
    if stream.has_agreed_on_http2() {
        h2::connection::serve(&worker, stream, BytesMut::new(), peer).await?;
        return Ok(Served::Closed);
    }
    let http = Http::new(&worker, peer);
    let reader = reader(&worker, stream, &http);
    let after = speak_http(&worker, http, reader, peer).await?;
    proceed(worker, after, peer, admission).await
}

/// Serves a connection that was moved here.
async fn resume(
    worker: Rc<Worker>,
    moved: Box<MovedConnection>,
    admission: &mut Option<Admission>,
) -> io::Result<Served> {
    let MovedConnection {
        stream,
        request,
        framing,
        residual,
        peer,
        ..
    } = *moved;
    let http = Http::new(&worker, peer);
    let mut reader = reader(&worker, stream.into_stream()?, &http);
    reader.resume(request, framing, residual);
    let after = speak_http(&worker, http, reader, peer).await?;
    proceed(worker, after, peer, admission).await
}

/// Does what is left to do on a socket after HTTP/1.1.
async fn proceed(
    worker: Rc<Worker>,
    after: AfterHttp,
    peer: Peer,
    admission: &mut Option<Admission>,
) -> io::Result<Served> {
    let (stream, residual, upgrade) = match after {
        AfterHttp::Upgrade(stream, residual, upgrade) => (stream, residual, *upgrade),
        AfterHttp::Http2(stream, begun) => {
            h2::connection::serve(&worker, stream, begun, peer).await?;
            return Ok(Served::Closed);
        }
        AfterHttp::Close(stream) => {
            let closed = closing::close(stream, worker.session.settings.send_timeout).await;
            closed.inspect_err(|error| log_cut_off(peer, error))?;
            return Ok(Served::Closed);
        }
        AfterHttp::Move(owner, stream, residual, request) => {
            let (request, framing) = *request;
            let moved = MovedConnection {
                stream: Portable::new(stream)?,
                request,
                framing,
                residual,
                peer,
                admission: admission.take(),
            };
            let sent = owner.send(Arrival::Connection(Box::new(moved)));
            return sent
                .map(|()| Served::Moved)
                .map_err(|_| io::Error::other("the worker that owns the path has ended"));
        }
    };
    tracing::debug!(remote = %peer, residual = residual.len(), "taken over");
    match upgrade.open(&worker, residual.freeze()).await {
        Ok((head, opened)) => Ok(Served::TakenOver(Box::pin(
            opened.run(&worker, stream, head),
        ))),
        Err(refusal) => {
            send(stream, &Response::from(refusal).to_bytes(None, false)).await?;
            Ok(Served::Closed)
        }
    }
}

/// Sends a response without hyper, and closes the socket.
async fn send(stream: Accepted, response: &[u8]) -> io::Result<()> {
    let mut socket = Socket::new(stream, response.len());
    socket.send(response)?;
    socket.close().await
}

/// What is left to do on a socket after HTTP/1.1.
enum AfterHttp {
    /// Close it.
    Close(Accepted),
    /// Give it to the guest, with the bytes received after the head.
    Upgrade(Accepted, BytesMut, Box<Upgrade<Vec<u8>>>),
    /// Speak HTTP/2, beginning with the bytes already received.
    Http2(Accepted, BytesMut),
    /// Have its owner continue with this request, and the bytes received after its head.
    Move(Owner, Accepted, BytesMut, Box<(Request, Framing)>),
}

/// The reader of the request heads on a socket, for a service.
fn reader(worker: &Worker, stream: Accepted, http: &Http) -> HeadReader {
    let session = &worker.session;
    HeadReader::new(
        worker.settings,
        session.settings.send_timeout,
        &session.read_buffer,
        stream,
        http.arrived(),
    )
    .owning(worker.ownership.clone())
}

/// Lets hyper serve requests until the socket is to be closed, is taken over, or moves.
///
/// # Errors
///
/// If the socket fails in a response.
async fn speak_http(
    worker: &Worker,
    http: Http,
    reader: HeadReader,
    peer: Peer,
) -> io::Result<AfterHttp> {
    let arrived = http.arrived();
    let mut connection = worker.http1.serve_connection(reader, http);
    let mut stop = pin!(worker.ending());
    let mut stopped = false;
    let outcome = loop {
        select! {
            biased;
            outcome = &mut connection => break outcome,
            () = &mut stop, if !stopped => {
                stopped = true;
                pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let mut parts = connection.into_parts();
    let upgrade = parts.service.into_upgrade();
    if let (Err(error), None) = (outcome, &upgrade) {
        // hyper's error says what it was doing, its source what went wrong.
        let cause = error.source().map(|cause| format!(": {cause}"));
        let cause = cause.unwrap_or_default();
        tracing::debug!(remote = %peer, "HTTP: {error}{cause}");
        if parts.io.has_unsent() {
            let error = io::Error::other(format!("{error}{cause}"));
            log_cut_off(peer, &error);
            return Err(error);
        }
    }
    let owner = parts.io.take_owner();
    let is_http2 = parts.io.is_http2();
    let (stream, residual) = parts.io.into_parts();
    if let (Some(owner), Some(Ok(request))) = (owner, arrived.take()) {
        return Ok(AfterHttp::Move(owner, stream, residual, Box::new(request)));
    }
    Ok(match upgrade {
        Some(upgrade) => AfterHttp::Upgrade(stream, residual, Box::new(upgrade)),
        None if is_http2 => AfterHttp::Http2(stream, residual),
        None => AfterHttp::Close(stream),
    })
}
