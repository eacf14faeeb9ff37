//! One stream: a request, and what answers it.

use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, UPGRADE,
};
use http::{Response, StatusCode};
use tokio::select;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use wasocket_host_core::answer;
use wasocket_host_core::http1::limits::{DISCARD_TIMEOUT, MAX_DISCARDED};
use wasocket_host_core::http1::{self, BadAnswer, Refusal, expects_continue, imf_fixdate};

use super::request::{read, refusal};
use crate::contract::bindings::{Request, ResponseHead};
use crate::http::ask::{Failure, ask};
use crate::http::hosts::MISDIRECTED;
use crate::http::worker::Worker;
use crate::limits::per_address::{Denial, TOO_MANY_REQUESTS, Visit};
use crate::net::peer::Peer;
use crate::net::stream::accepted::Accepted;
use crate::net::stream::h2_stream::{Frame, Tunnel, io_error};
use crate::net::stream::socket::Socket;
use crate::observe::access_log::{Access, Asked};
use crate::pool::{Answered, Offer};
use crate::session::Session;

/// What became of a stream.
pub(super) enum Outcome {
    /// The client has reset it before there was an answer.
    Abandoned,
    /// It has run its course.
    Over,
}

/// Serves one stream to its end: as a request, and once taken over, as the guest's.
pub(super) async fn exchange(
    worker: Rc<Worker>,
    peer: Peer,
    request: http::Request<RecvStream>,
    respond: SendResponse<Frame>,
) -> Outcome {
    let (head, body) = request.into_parts();
    let exchange = Exchange {
        worker,
        peer,
        respond,
        body,
    };
    // On the heap, and freed: a WebSocket does not need it.
    let outcome = match Box::pin(exchange.serve(head)).await {
        Ok(Some((session, _admitted))) => session.await,
        Ok(None) => Ok(()),
        Err(Ended::Abandoned) => return Outcome::Abandoned,
        Err(Ended::Failed(error)) => Err(error),
    };
    if let Err(error) = outcome {
        tracing::debug!(remote = %peer, "a stream is closed: {error}");
    }
    Outcome::Over
}

/// A stream with a request on it.
struct Exchange {
    worker: Rc<Worker>,
    /// Whom the request came from, as far as is known.
    peer: Peer,
    respond: SendResponse<Frame>,
    body: RecvStream,
}

/// The end of a stream before its time.
enum Ended {
    Abandoned,
    Failed(io::Error),
}

impl From<h2::Error> for Ended {
    fn from(error: h2::Error) -> Self {
        Self::Failed(io_error(error))
    }
}

/// What a stream needs to be taken over: a place among the connections, and among those of its address.
type Admitted = (OwnedSemaphorePermit, Option<Visit>);

/// What is to be done with a stream.
enum Answer {
    Response(Response<Vec<u8>>),
    Tunnel(Offer, Response<()>, Admitted),
    /// The guest wants a connection of its own, which there is in HTTP/1.1.
    NeedsHttp11,
}

impl Exchange {
    /// Answers the request. What is left to do is the guest's session, if it takes the stream over.
    async fn serve(
        mut self,
        head: http::request::Parts,
    ) -> Result<Option<(impl Future<Output = io::Result<()>>, Admitted)>, Ended> {
        let (request, peer) = match read(&head, &self.worker.trust, self.peer) {
            Ok(read) => read,
            Err(refusal) => {
                self.send(Asked::now(), refused(refusal), None).await?;
                return Ok(None);
            }
        };
        let asked = Asked::by(&request, peer);
        if !self.worker.may_ask(peer) {
            self.worker
                .metrics
                .answered(StatusCode::TOO_MANY_REQUESTS.as_u16());
            self.write(too_many(), request.method == "HEAD").await?;
            return Ok(None);
        }
        let request = Arc::new(request);
        let answer = select! {
            biased;
            // Dropped, the guest stops deciding.
            _ = poll_fn(|context| self.respond.poll_reset(context)) => return Err(Ended::Abandoned),
            answer = answer(&self.worker, self.peer, peer, &request, &mut self.body) => answer,
        };
        self.peer = peer;
        match answer {
            Answer::Response(response) => self.send(asked, response, Some(&request)).await?,
            Answer::NeedsHttp11 => self.reset(asked, &request),
            Answer::Tunnel(offer, head, admitted) => {
                let opened = offer.connection.open(self.worker.now(), Bytes::new());
                let Ok(opened) = opened.await else {
                    self.send(asked, refused(Refusal::FAILED), Some(&request))
                        .await?;
                    return Ok(None);
                };
                let session = self.open(asked, offer, head, &request)?;
                return Ok(Some((session.run(Vec::new(), opened), admitted)));
            }
        }
        Ok(None)
    }

    /// Makes a session of the stream. If it is lost by now, the guest is told.
    fn open(
        mut self,
        asked: Asked,
        offer: Offer,
        head: Response<()>,
        request: &Request,
    ) -> Result<Rc<Session>, h2::Error> {
        let status = head.status().as_u16();
        let sent = self.respond.send_response(head, false);
        let outgoing = sent.inspect_err(|_| drop(offer.connection.lost(self.worker.now())))?;
        self.worker.metrics.takeovers.count();
        self.worker.metrics.answered(status);
        tracing::debug!(remote = %self.peer, "a stream is taken over");
        let access = Access::new(self.peer, &request.target, request.version)
            .with_span(asked.into_span(), true);
        let tunnel = Accepted::Tunnel(Box::new(Tunnel::new(self.body, outgoing)));
        Ok(Session::new(
            &self.worker.session,
            tunnel,
            offer.connection,
            offer.farewell,
            access,
        ))
    }

    /// Sends a response, and logs it.
    async fn send(
        self,
        asked: Asked,
        response: Response<Vec<u8>>,
        request: Option<&Request>,
    ) -> Result<(), Ended> {
        let status = response.status().as_u16();
        self.worker.metrics.answered(status);
        asked.log(self.peer, request, status, response.body().len() as u64);
        let is_head = request.is_some_and(|request| request.method == "HEAD");
        self.write(response, is_head).await
    }

    async fn write(mut self, response: Response<Vec<u8>>, is_head: bool) -> Result<(), Ended> {
        let (mut head, body) = response.into_parts();
        let length = body.len();
        finish(&mut head, length);
        let ends = is_head || body.is_empty() || !has_body(head.status);
        let head = Response::from_parts(head, ());
        let outgoing = self.respond.send_response(head, ends)?;
        if !ends {
            let tunnel = Tunnel::new(self.body, outgoing);
            send_body(tunnel, &body, &self.worker)
                .await
                .map_err(Ended::Failed)?;
        }
        Ok(())
    }

    /// RFC 9113 §7: "The endpoint requires that HTTP/1.1 be used instead of HTTP/2."
    fn reset(mut self, asked: Asked, request: &Request) {
        asked.log_reset(self.peer, request, "HTTP_1_1_REQUIRED");
        self.respond.send_reset(Reason::HTTP_1_1_REQUIRED);
    }
}

/// Comes to an answer. `socket` is who has made the connection, and `peer` whom the request came from.
async fn answer(
    worker: &Rc<Worker>,
    socket: Peer,
    peer: Peer,
    request: &Arc<Request>,
    body: &mut RecvStream,
) -> Answer {
    if !worker.hosts.serve(request) {
        tracing::debug!(remote = %peer, "a host that is not served (--allow-host)");
        return Answer::Response(refused(MISDIRECTED));
    }
    let admitted = match request
        .protocol
        .is_some()
        .then(|| admit(worker, socket))
        .transpose()
    {
        Ok(admitted) => admitted,
        Err(refusal) => return Answer::Response(refused(refusal)),
    };
    let asked = ask(worker, request, peer).await;
    let checked = asked.and_then(|answer| check(answer, admitted));
    if request.protocol.is_none() {
        discard(body, request).await;
    }
    checked.unwrap_or_else(|cause| {
        cause.log(request);
        Answer::Response(failed(&cause))
    })
}

const FULL: Refusal = refusal(503, "The server has as many connections as it can have");

/// Lets a stream in, as a connection would be.
fn admit(worker: &Rc<Worker>, socket: Peer) -> Result<Admitted, Refusal> {
    // Where sockets would wait. RFC 9110 §15.6.4.
    let room = worker.shared.capacity.try_take().ok_or(FULL)?;
    let visit = worker.admit(socket).map_err(Denial::refusal)?;
    Ok((room, visit))
}

/// Checks a guest's answer. A takeover that is not made drops the guest's connection.
fn check(answer: Answered, admitted: Option<Admitted>) -> Result<Answer, Failure> {
    let mut offer = match answer {
        Answered::Response(response) => {
            let ResponseHead { status, fields } = response.head;
            let response = answer::response(status, fields, response.body)?;
            return Ok(Answer::Response(without_connection(response)));
        }
        Answered::Takeover(offer) => offer,
    };
    let (Some(admitted), Some(head)) = (admitted, offer.response.take()) else {
        return Ok(Answer::NeedsHttp11);
    };
    // RFC 8441 §5: a 2xx. What else there is to a takeover is checked as in HTTP/1.1.
    if !(200..300).contains(&head.status) {
        return Err(BadAnswer::Status(head.status).into());
    }
    http1::takeover_head(None, &offer.farewell, false)?;
    let head = answer::response(head.status, head.fields, Vec::new())?;
    Ok(Answer::Tunnel(
        offer,
        without_connection(head).map(drop),
        admitted,
    ))
}

/// Reads what there is of a body, as in HTTP/1.1, so that the answer does not meet a client that still sends.
/// What is left of it then `h2` tells the client not to send (RFC 9113 §8.1).
async fn discard(body: &mut RecvStream, request: &Request) {
    // RFC 9110 §10.1.1: such a client has not sent it.
    if expects_continue(&request.fields) {
        return;
    }
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
    // The time is the client's loss.
    let _ = timeout(DISCARD_TIMEOUT, discarding).await;
}

fn failed(cause: &Failure) -> Response<Vec<u8>> {
    let mut response = refused(cause.refusal());
    if let Some(seconds) = cause.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// As in HTTP/1.1: counted, and not logged.
fn too_many() -> Response<Vec<u8>> {
    let mut response = refused(TOO_MANY_REQUESTS);
    let second = HeaderValue::from_static("1");
    response.headers_mut().insert(RETRY_AFTER, second);
    response
}

/// The answer to a request that no guest sees, or that the guest failed on.
fn refused(refusal: Refusal) -> Response<Vec<u8>> {
    let mut response = Response::new(format!("{}\n", refusal.reason).into_bytes());
    *response.status_mut() =
        StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    let text = HeaderValue::from_static("text/plain");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, text);
    response
}

/// RFC 9113 §8.2.2: "An endpoint MUST NOT generate an HTTP/2 message containing connection-specific header
/// fields." The contract lets guests answer all versions alike.
fn without_connection<T>(mut response: Response<T>) -> Response<T> {
    let headers = response.headers_mut();
    for name in named(headers) {
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

/// What `Connection` lists (RFC 9110 §7.6.1).
fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(CONNECTION).iter();
    let names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    names
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}

/// Whether a response of this status may have a body (RFC 9110 §6.4.1).
fn has_body(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Adds what a host adds: the length, and the date (RFC 9110 §6.6.1).
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

/// As fast as the client takes it, but not slower than a connection of HTTP/1.1 has to.
async fn send_body(tunnel: Tunnel, body: &[u8], worker: &Worker) -> io::Result<()> {
    let mut socket =
        Socket::new(tunnel, body.len()).with_send_timeout(worker.session.settings.send_timeout);
    socket.send(body)?;
    poll_fn(|context| socket.poll_flush(context)).await?;
    socket.close().await
}
