//! One exchange: a request and its outcome, in any version of HTTP.
//!
//! ```text
//!   request ──▶ rate ──▶ host ──▶ room ──▶ guest ──┬──▶ Respond
//!                │        │        │         │      ├──▶ Upgrade ── open ──▶ a session
//!               429      421    429, 503  500, 504  └──▶ NeedsHttp11
//! ```
//!
//! An exchange is counted once and has one line in the access log: here, or when the session ends. HTTP/1.1 and HTTP/2
//! only translate.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use wasocket_host_core::answer;
use wasocket_host_core::http1::{BadAnswer, Refusal, Refused};

use crate::contract::bindings::{Effects, Request};
use crate::guest::fault::Dead;
use crate::http::ask::{Failure, ask};
use crate::http::worker::Worker;
use crate::net::peer::Peer;
use crate::net::stream::accepted::Accepted;
use crate::net::stream::closing::Lost;
use crate::observe::access_log::{ConnectionEntry, RequestEntry};
use crate::pool::{Answer, Decision, Takeover};
use crate::session::Session;

/// RFC 9110 §15.6.4.
const TOO_MUCH_UNSENT: Refusal = Refusal::new(503, "The server has too much to send already.");

/// The outcome of a request. Everything except an upgrade has been logged.
pub(crate) enum Outcome<H> {
    /// The guest's response.
    Respond(Response<Bytes>),
    /// The host's own response, after which HTTP/1.1 closes the connection.
    Refuse(Response<Bytes>),
    /// The guest takes over the socket.
    Upgrade(Upgrade<H>),
    /// The guest wants a connection of its own, which only HTTP/1.1 has.
    NeedsHttp11,
}

/// The parts of a takeover that depend on the version of HTTP.
pub(crate) trait Version {
    /// The head of the response, which is sent first.
    type Head;

    /// Reserves the resources that a takeover needs, before the guest is asked.
    fn reserve(&mut self, worker: &Worker, request: &Request) -> Result<(), Refused>;

    /// Returns the head of a takeover; `None` if this version does not support it.
    fn head(
        &self,
        request: &Request,
        takeover: &mut Takeover,
    ) -> Result<Option<Self::Head>, BadAnswer>;
}

/// Runs the exchange of a request received on this socket. If the future is dropped, the guest stops deciding.
pub(crate) async fn exchange<V: Version>(
    worker: &Worker,
    socket: Peer,
    mut request: Request,
    version: &mut V,
) -> Outcome<V::Head> {
    let client = worker.trust.client(socket, &request.fields);
    request.secure = client.secure;
    request.remote = client.remote();
    let request = Arc::new(request);
    if let Err(too_many) = worker.may_ask(client) {
        let entry = || RequestEntry::of(&request, client);
        return Outcome::Refuse(too_many_requests(
            worker,
            client,
            &too_many.refused(),
            entry,
        ));
    }
    let exchange = Exchange {
        worker,
        client,
        entry: RequestEntry::of(&request, client),
        request,
    };
    exchange.run(version).await
}

/// Refuses a head that is not a valid request. It counts towards the rate limit like others; what it says of a client
/// behind a proxy is not read.
pub(crate) fn refuse_head(worker: &Worker, socket: Peer, refused: &Refused) -> Response<Bytes> {
    let client = worker.trust.unnamed_client(socket);
    let entry = || RequestEntry::of_refused_head(client);
    match worker.may_ask(client) {
        Ok(()) => refuse(worker, client, response(refused.refusal), refused, entry),
        Err(too_many) => too_many_requests(worker, client, &too_many.refused(), entry),
    }
}

/// Counts a head that was refused in the layer below, with this answer. Returns whether it is within the rate limit of the
/// client; what is not is not logged either.
pub(crate) fn count_refused_head(worker: &Worker, socket: Peer, refused: &Refused) -> bool {
    let client = worker.trust.unnamed_client(socket);
    let is_within = worker.may_ask(client).is_ok();
    if is_within {
        let entry = || RequestEntry::of_refused_head(client);
        refuse(worker, client, response(refused.refusal), refused, entry);
    }
    is_within
}

/// A request that is within its client's rate limit.
struct Exchange<'a> {
    worker: &'a Worker,
    client: Peer,
    request: Arc<Request>,
    entry: RequestEntry,
}

impl Exchange<'_> {
    async fn run<V: Version>(self, version: &mut V) -> Outcome<V::Head> {
        match self.ask(version).await {
            Ok(Decision {
                answer: Answer::Respond(response),
                refusal,
                ..
            }) => {
                let head = response.head;
                match answer::response(head.status, head.fields, response.body) {
                    Ok(response) => self.respond(response, refusal.as_deref()),
                    Err(bad) => self.fail(&bad.into()),
                }
            }
            Ok(Decision {
                answer: Answer::TakeOver(mut takeover),
                ..
            }) => {
                let status = takeover.response.as_ref().map(|head| head.status);
                match version.head(&self.request, &mut takeover) {
                    Ok(Some(head)) => Outcome::Upgrade(Upgrade {
                        head,
                        status,
                        takeover,
                        entry: self.entry,
                    }),
                    Ok(None) => {
                        self.entry.reset("HTTP_1_1_REQUIRED");
                        Outcome::NeedsHttp11
                    }
                    Err(bad) => self.fail(&bad.into()),
                }
            }
            Err(failure) => self.fail(&failure),
        }
    }

    async fn ask(&self, version: &mut impl Version) -> Result<Decision, Failure> {
        self.worker.hosts.check(&self.request)?;
        version.reserve(self.worker, &self.request)?;
        ask(self.worker, &self.request, self.client).await
    }

    fn fail<H>(self, failure: &Failure) -> Outcome<H> {
        failure.log(&self.request);
        let refused = failure.refused();
        let mut response = response(refused.refusal);
        if let Some(seconds) = failure.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        let (worker, client) = (self.worker, self.client);
        Outcome::Refuse(refuse(worker, client, response, &refused, || self.entry))
    }

    /// The guest's response, which may be a refusal. Its body counts as unsent until it is sent.
    fn respond<H>(self, response: Response<Vec<u8>>, refusal: Option<&str>) -> Outcome<H> {
        let (head, body) = response.into_parts();
        let length = body.len();
        let Ok(body) = self.worker.session.unsent.hold(body) else {
            let limit = format!("a response of {length} bytes (--max-unsent)");
            return self.fail(&TOO_MUCH_UNSENT.with(limit).into());
        };
        let response = Response::from_parts(head, body);
        let (worker, client) = (self.worker, self.client);
        Outcome::Respond(match refusal {
            Some(refusal) => refuse(worker, client, response, refusal, || self.entry),
            None => respond(worker, self.entry, response),
        })
    }
}

/// A takeover that is ready: the guest's connection has not been opened yet.
pub(crate) struct Upgrade<H> {
    head: H,
    /// The status of the response; a raw takeover has none.
    status: Option<u16>,
    takeover: Takeover,
    entry: RequestEntry,
}

impl<H> Upgrade<H> {
    /// Opens the guest's connection with the bytes received after the head. Returns the head to send.
    ///
    /// # Errors
    ///
    /// If the guest fails. Nothing has been sent yet, so the refusal can still be sent.
    pub(crate) async fn open(
        self,
        worker: &Worker,
        residual: Bytes,
    ) -> Result<(H, Opened), Refusal> {
        let received = residual.len();
        let opened = self.takeover.connection.open(worker.now(), residual);
        let Ok(effects) = opened.await else {
            respond(worker, self.entry, response(Refusal::FAILED));
            return Err(Refusal::FAILED);
        };
        let metrics = &worker.metrics;
        metrics.takeovers.count();
        metrics.bytes_received.add(received as u64);
        if let Some(status) = self.status {
            metrics.answered(status);
        }
        let mut entry = self.entry.into_connection(self.status);
        entry.received(received);
        let opened = Opened {
            takeover: self.takeover,
            effects,
            entry,
        };
        Ok((self.head, opened))
    }
}

/// A connection that the guest has opened, before it has the socket.
pub(crate) struct Opened {
    takeover: Takeover,
    effects: Effects,
    entry: ConnectionEntry,
}

impl Opened {
    /// Runs the session on this socket. `head` is sent first, in one write with the guest's initial output.
    pub(crate) fn run(
        self,
        worker: &Worker,
        stream: Accepted,
        head: Vec<u8>,
    ) -> impl Future<Output = io::Result<()>> + use<> {
        let Takeover {
            connection,
            final_bytes,
            ..
        } = self.takeover;
        let session = Session::new(&worker.session, stream, connection, final_bytes, self.entry);
        session.run(head, self.effects)
    }

    /// Tells the guest that the socket was lost before its head was sent.
    pub(crate) async fn lose(mut self, worker: &Worker, error: &io::Error) {
        let connection = &self.takeover.connection;
        let report = match connection.lost(worker.now()).await {
            Ok(()) => connection.report().await,
            Err(Dead) => Err(Dead),
        };
        self.entry.conclude(report.ok());
        self.entry.log(Some(&Lost::nothing(error)));
    }
}

/// Counts a response, and logs its request.
fn respond(worker: &Worker, entry: RequestEntry, response: Response<Bytes>) -> Response<Bytes> {
    let status = response.status().as_u16();
    worker.metrics.answered(status);
    entry.answered(status, response.body().len());
    response
}

/// Counts a response that refuses a request, and logs the reason, unless there are too many refusals of this client.
fn refuse(
    worker: &Worker,
    client: Peer,
    response: Response<Bytes>,
    reason: impl fmt::Display,
    entry: impl FnOnce() -> RequestEntry,
) -> Response<Bytes> {
    let status = response.status().as_u16();
    worker.metrics.answered(status);
    // A failure of the app is rarer, and matters more.
    let suppressed = match status {
        500 | 504 => Some(0),
        _ => worker.may_log_refusal(client),
    };
    if let Some(suppressed) = suppressed {
        let reason = reason.to_string();
        entry().refused(status, response.body().len(), &reason, suppressed);
    }
    response
}

/// Builds the host's own response.
pub(crate) fn response(refusal: Refusal) -> Response<Bytes> {
    let mut response = Response::new(format!("{}\n", refusal.reason).into());
    *response.status_mut() =
        StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    let text = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

/// Logs that a connection was not admitted, unless there are too many refusals of this client. `is_told`: whether it
/// gets the response.
pub(crate) fn log_denial(worker: &Worker, client: Peer, refused: &Refused, is_told: bool) {
    if let Some(suppressed) = worker.may_log_refusal(client) {
        let entry = RequestEntry::of_refused_head(client);
        let reason = refused.to_string();
        if is_told {
            let body = refused.refusal.reason.len();
            entry.refused(refused.refusal.status, body, &reason, suppressed);
        } else {
            entry.closed(&reason, suppressed);
        }
    }
}

/// Logs why a connection is closed in the middle, unless there are too many refusals of this client.
pub(crate) fn log_closed(worker: &Worker, client: Peer, error: &io::Error) {
    if let Some(suppressed) = worker.may_log_refusal(client) {
        RequestEntry::of_refused_head(client).closed(&error.to_string(), suppressed);
    }
}

/// RFC 6585 §4.
fn too_many_requests(
    worker: &Worker,
    client: Peer,
    refused: &Refused,
    entry: impl FnOnce() -> RequestEntry,
) -> Response<Bytes> {
    let mut response = response(refused.refusal);
    let second = HeaderValue::from_static("1");
    response.headers_mut().insert(RETRY_AFTER, second);
    refuse(worker, client, response, refused, entry)
}
