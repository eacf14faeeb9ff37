//! One HTTP/2 stream: an exchange, and the session it may become.

use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderValue, UPGRADE};
use http::{Method, Response, StatusCode};
use tokio::select;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout;
use wasocket_host_core::answer;
use wasocket_host_core::http1::limits::{DISCARD_TIMEOUT, MAX_DISCARDED};
use wasocket_host_core::http1::{self, BadAnswer, Refusal, Refused, expects_continue, imf_fixdate};

use super::incoming::{Carrier, End, Incoming, Place};
use super::request::read;
use crate::contract::bindings::Request;
use crate::http::arrival::{Arrival, MovedStream};
use crate::http::connection_options::connection_options;
use crate::http::exchange::{Outcome, Upgrade, Version, exchange, refuse_head, response};
use crate::http::owners::Owner;
use crate::http::worker::Worker;
use crate::limits::per_address::{AddressPermit, Denial};
use crate::net::peer::Peer;
use crate::net::stream::accepted::Accepted;
use crate::net::stream::h2_stream::{Frame, MAX_FRAME, Tunnel, io_error};
use crate::net::stream::socket::Socket;
use crate::net::stream::wire::Wire;
use crate::observe::access_log::log_cut_off;
use crate::pool::Takeover;

/// Serves one stream to its end: as a request and, once taken over, as a session.
pub(super) async fn serve(worker: Rc<Worker>, incoming: Incoming) -> End {
    let Incoming {
        peer,
        wire,
        carrier,
        request,
        respond,
    } = incoming;
    let (head, body) = request.into_parts();
    let stream = Stream {
        worker,
        peer,
        wire,
        respond,
        body,
        carrier,
    };
    // Boxed so that it is freed before the session: a WebSocket does not need it.
    let outcome = match Box::pin(stream.serve(head)).await {
        Ok(Served::TakenOver(session, _permits)) => session.await,
        Ok(Served::Answered) => Ok(()),
        Ok(Served::Denied) => return End::Denied,
        Err(Failed::Abandoned) => return End::Abandoned,
        Err(Failed::Io(error)) => Err(error),
    };
    if let Err(error) = outcome {
        tracing::debug!(remote = %peer, "stream closed: {error}");
    }
    End::Over
}

/// Has another worker serve a stream, and waits for its end. If this future is dropped, the stream ends.
pub(super) async fn move_to(owner: Owner, incoming: Incoming) -> End {
    let (ended, end) = oneshot::channel();
    let moved = Box::new(MovedStream { incoming, ended });
    // A worker that has ended is reported elsewhere; the client sees a reset.
    let _ = owner.send(Arrival::Stream(moved));
    end.await.unwrap_or(End::Over)
}

/// Serves a stream of another worker's connection to its end, or to that of the connection's task.
pub(crate) async fn adopt(worker: Rc<Worker>, moved: MovedStream) {
    let MovedStream {
        incoming,
        mut ended,
    } = moved;
    let end = select! {
        biased;
        () = ended.closed() => return,
        end = serve(worker, incoming) => end,
    };
    // If this fails, the connection's task is gone.
    let _ = ended.send(end);
}

/// A stream with a request on it.
struct Stream {
    worker: Rc<Worker>,
    /// The connection's peer.
    peer: Peer,
    /// The connection's socket.
    wire: Wire,
    respond: SendResponse<Frame>,
    body: RecvStream,
    carrier: Carrier,
}

/// The outcome of a stream's exchange.
enum Served<S> {
    /// The session to run, as the guest has taken over the stream.
    TakenOver(S, Permits),
    Answered,
    /// With 429.
    Denied,
}

/// Why a stream ended early.
enum Failed {
    Abandoned,
    Io(io::Error),
}

impl From<h2::Error> for Failed {
    fn from(error: h2::Error) -> Self {
        Self::Io(io_error(error))
    }
}

/// The permits that a takeover needs: one of the connection limit, one of its address.
type Permits = (OwnedSemaphorePermit, Option<AddressPermit>);

impl Stream {
    /// Runs the exchange.
    async fn serve(
        mut self,
        head: http::request::Parts,
    ) -> Result<Served<impl Future<Output = io::Result<()>>>, Failed> {
        let is_head = head.method == Method::HEAD;
        let request = match read(&head) {
            Ok(request) => request,
            Err(refused) => {
                let response = refuse_head(&self.worker, self.peer, &refused);
                return self.refuse(response, is_head).await;
            }
        };
        let mut room = Room {
            peer: self.peer,
            carrier: self.carrier.clone(),
            place: None,
            permits: None,
        };
        // RFC 9110 §10.1.1: a client that expects 100 has not sent its body.
        let has_body = request.protocol.is_none() && !expects_continue(&request.fields);
        let outcome = async {
            let outcome = exchange(&self.worker, self.peer, request, &mut room).await;
            if has_body {
                discard(&mut self.body).await;
            }
            outcome
        };
        let outcome = select! {
            biased;
            // Drops the exchange, so that the guest stops deciding.
            _ = poll_fn(|context| self.respond.poll_reset(context)) => return Err(Failed::Abandoned),
            outcome = outcome => outcome,
        };
        let Room { place, permits, .. } = room;
        drop(place);
        // A plain request has its answer, and no longer waits.
        let permits = permits.filter(|_| matches!(outcome, Outcome::Upgrade(_)));
        match (outcome, permits) {
            (Outcome::Upgrade(upgrade), Some(permits)) => {
                let session = self.open(upgrade).await?;
                let taken_over = session.map(|session| Served::TakenOver(session, permits));
                return Ok(taken_over.unwrap_or(Served::Answered));
            }
            (Outcome::Refuse(response), _) => return self.refuse(response, is_head).await,
            (Outcome::Respond(response), _) => self.send(response, is_head).await?,
            // RFC 9113 §7: "The endpoint requires that HTTP/1.1 be used instead of HTTP/2."
            _ => self.respond.send_reset(Reason::HTTP_1_1_REQUIRED),
        }
        Ok(Served::Answered)
    }

    /// Sends the host's own response.
    async fn refuse<S>(
        self,
        response: Response<Bytes>,
        is_head: bool,
    ) -> Result<Served<S>, Failed> {
        let is_denied = response.status() == StatusCode::TOO_MANY_REQUESTS;
        self.send(response, is_head).await?;
        Ok(if is_denied {
            Served::Denied
        } else {
            Served::Answered
        })
    }

    /// Opens the guest's connection on the stream. Returns `None` if the guest fails.
    async fn open(
        mut self,
        upgrade: Upgrade<Response<()>>,
    ) -> Result<Option<impl Future<Output = io::Result<()>>>, Failed> {
        let (head, opened) = match upgrade.open(&self.worker, Bytes::new()).await {
            Ok(opened) => opened,
            Err(refusal) => {
                self.send(response(refusal), false).await?;
                return Ok(None);
            }
        };
        let outgoing = match self.respond.send_response(head, false) {
            Ok(outgoing) => outgoing,
            Err(error) => {
                let error = io_error(error);
                opened.lose(&self.worker, &error).await;
                return Err(Failed::Io(error));
            }
        };
        tracing::debug!(remote = %self.peer, "stream taken over");
        let tunnel = Accepted::Tunnel(Box::new(Tunnel::new(self.body, outgoing, self.wire)));
        Ok(Some(opened.run(&self.worker, tunnel, Vec::new())))
    }

    async fn send(mut self, response: Response<Bytes>, is_head: bool) -> Result<(), Failed> {
        let (mut head, body) = without_connection(response).into_parts();
        let length = body.len();
        finish(&mut head, length);
        let ends = is_head || body.is_empty() || !has_body(head.status);
        let head = Response::from_parts(head, ());
        let outgoing = self.respond.send_response(head, ends)?;
        if !ends {
            let tunnel = Tunnel::new(self.body, outgoing, self.wire);
            let sent = send_body(tunnel, body, &self.worker).await;
            sent.inspect_err(|error| log_cut_off(self.peer, error))
                .map_err(Failed::Io)?;
        }
        Ok(())
    }
}

/// What a stream takes of the limits on connections: each takeover counts as one, and so does each request that waits
/// for its answer, except that one of them uses the place of the connection that carries it. Otherwise a connection with
/// a hundred streams would be a hundred times as much as one of HTTP/1.1.
struct Room {
    peer: Peer,
    carrier: Carrier,
    place: Option<Place>,
    permits: Option<Permits>,
}

impl Version for Room {
    type Head = Response<()>;

    /// Admits a stream like a connection, but without waiting for room (RFC 9110 §15.6.4).
    fn reserve(&mut self, worker: &Worker, request: &Request) -> Result<(), Refused> {
        let takes_over = request.protocol.is_some();
        if !takes_over {
            self.place = self.carrier.take();
        }
        if self.place.is_some() {
            return Ok(());
        }
        let limit = &worker.shared.connection_limit;
        let permit = limit.try_acquire().ok_or_else(|| full(limit.max()))?;
        let admitted = if takes_over {
            worker.admit(self.peer)
        } else {
            worker.hold(self.peer)
        };
        self.permits = Some((permit, admitted.map_err(Denial::refused)?));
        Ok(())
    }

    /// Only an extended CONNECT (RFC 8441) can be taken over.
    fn head(
        &self,
        request: &Request,
        takeover: &mut Takeover,
    ) -> Result<Option<Response<()>>, BadAnswer> {
        let (Some(_), Some(head)) = (&request.protocol, takeover.response.take()) else {
            return Ok(None);
        };
        // RFC 8441 §5: a 2xx. All else is checked as in HTTP/1.1.
        if !(200..300).contains(&head.status) {
            return Err(BadAnswer::Status(head.status));
        }
        http1::takeover_head(None, &takeover.final_bytes, false)?;
        let head = answer::response(head.status, head.fields, Vec::new())?;
        Ok(Some(without_connection(head).map(drop)))
    }
}

fn full(max: usize) -> Refused {
    let limit = format!("{max} (--max-connections)");
    Refusal::new(503, "The server has reached its connection limit").with(limit)
}

/// Reads and discards the body, as in HTTP/1.1, so that the response does not arrive while the client is still sending.
/// `h2` tells the client not to send the rest (RFC 9113 §8.1).
async fn discard(body: &mut RecvStream) {
    let discarding = async {
        let mut discarded = 0u64;
        while let Some(Ok(data)) = body.data().await {
            discarded = discarded.saturating_add(data.len() as u64);
            let released = body.flow_control().release_capacity(data.len());
            if discarded > MAX_DISCARDED || released.is_err() {
                break;
            }
        }
    };
    // The response is sent even if the body is slow.
    let _ = timeout(DISCARD_TIMEOUT, discarding).await;
}

/// RFC 9113 §8.2.2: "An endpoint MUST NOT generate an HTTP/2 message containing connection-specific header
/// fields." The contract lets guests answer all versions in the same way.
fn without_connection<T>(mut response: Response<T>) -> Response<T> {
    let headers = response.headers_mut();
    for name in connection_options(headers) {
        headers.remove(name);
    }
    for name in [CONNECTION, UPGRADE] {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection", "te"] {
        headers.remove(name);
    }
    response
}

/// Whether a response with this status may have a body (RFC 9110 §6.4.1).
fn has_body(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Adds the host's own fields: the length, and the date (RFC 9110 §6.6.1).
fn finish(head: &mut http::response::Parts, length: usize) {
    if has_body(head.status) {
        head.headers
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let date = now.ok().and_then(|now| imf_fixdate(now.as_secs()));
    let date = date.and_then(|date| HeaderValue::try_from(date).ok());
    if let (Some(date), false) = (date, head.headers.contains_key(DATE)) {
        head.headers.insert(DATE, date);
    }
}

/// Sends a body, with the same send timeout as on an HTTP/1.1 connection. Frame by frame, so that it is held once.
async fn send_body(tunnel: Tunnel, body: Bytes, worker: &Worker) -> io::Result<()> {
    let send_timeout = worker.session.settings.send_timeout;
    let mut socket = Socket::new(tunnel, MAX_FRAME).with_send_timeout(send_timeout);
    for part in body.chunks(MAX_FRAME) {
        socket.send(part)?;
        poll_fn(|context| socket.poll_flush(context)).await?;
    }
    drop(body);
    socket.close().await
}
