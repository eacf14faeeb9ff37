//! hyper's service: asks the guest.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::service::Service;
use tokio::time::timeout;

use wasocket_host_core::answer;
use wasocket_host_core::http1::limits::DISCARD_TIMEOUT;
use wasocket_host_core::http1::{self, Framing, Refusal, Version};

use crate::contract::bindings::{HttpVersion, Request};
use crate::http::ask::{Failure, ask};
use crate::http::h1::head_reader::Arrived;
use crate::http::hosts::MISDIRECTED;
use crate::http::taken::Taken;
use crate::http::worker::Worker;
use crate::limits::per_address::TOO_MANY_REQUESTS;
use crate::net::peer::Peer;
use crate::observe::access_log::Asked;
use crate::pool::{Answered, Offer};

/// The service of one socket.
pub(crate) struct Http {
    worker: Rc<Worker>,
    peer: Peer,
    arrived: Rc<Arrived>,
    taken: Rc<Cell<Option<Taken>>>,
}

type HttpResponse = Response<Full<Bytes>>;
type Answering = Pin<Box<dyn Future<Output = Result<HttpResponse, TakenOver>>>>;

impl Service<http::Request<Incoming>> for Http {
    type Response = HttpResponse;
    type Error = TakenOver;
    type Future = Answering;

    /// Answers the request that has arrived. hyper's own is a stand-in, but for the body.
    fn call(&self, stand_in: http::Request<Incoming>) -> Answering {
        let body = stand_in.into_body();
        match self.arrived.take() {
            Some(Ok((request, framing))) => self.admit(request, framing, body),
            Some(Err(refusal)) => self.turn_away(refusal, self.peer, None),
            // The gate puts a request there for every head it passes.
            None => Box::pin(ready(Ok(refuse(Refusal::FAILED)))),
        }
    }
}

/// The error with which the service makes hyper let go of the socket.
#[derive(Debug)]
pub(crate) struct TakenOver;

impl fmt::Display for TakenOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the socket is taken over")
    }
}

impl std::error::Error for TakenOver {}

/// A guest's answer to a request, checked.
enum Answer {
    /// The connection ends with it, if it says so.
    Response {
        response: HttpResponse,
        closes: bool,
    },
    Taken(Taken),
}

impl Http {
    pub(crate) fn new(worker: &Rc<Worker>, peer: Peer) -> Self {
        Self {
            worker: Rc::clone(worker),
            peer,
            arrived: Rc::default(),
            taken: Rc::default(),
        }
    }

    /// Where the gate puts requests.
    pub(crate) fn arrived(&self) -> Rc<Arrived> {
        Rc::clone(&self.arrived)
    }

    /// The takeover for which the service has failed.
    pub(crate) fn into_taken(self) -> Option<Taken> {
        self.taken.take()
    }

    /// Serves a request that is for a host that is served.
    fn admit(&self, request: http1::Request, framing: Framing, body: Incoming) -> Answering {
        let trust = &self.worker.trust;
        let peer = trust
            .client(self.peer, &request.fields)
            .unwrap_or(self.peer);
        let request = with_peer(request, peer);
        if !self.worker.may_ask(peer) {
            let response = too_many();
            self.worker.metrics.answered(response.status().as_u16());
            return Box::pin(ready(Ok(response)));
        }
        if self.worker.hosts.serve(&request) {
            return Box::pin(self.serve(request, peer, framing, body));
        }
        tracing::debug!(remote = %peer, "a host that is not served (--allow-host)");
        self.turn_away(MISDIRECTED, peer, Some(&request))
    }

    /// Refuses what the guest is not asked about.
    fn turn_away(&self, refusal: Refusal, peer: Peer, asked: Option<&Request>) -> Answering {
        let response = refuse(refusal);
        log_answer(&self.worker, Asked::now(), peer, asked, &response);
        Box::pin(ready(Ok(response)))
    }

    fn serve(
        &self,
        request: Request,
        peer: Peer,
        framing: Framing,
        body: Incoming,
    ) -> impl Future<Output = Result<HttpResponse, TakenOver>> + use<> {
        let asked = Asked::by(&request, peer);
        let request = Arc::new(request);
        let (worker, taken) = (Rc::clone(&self.worker), Rc::clone(&self.taken));
        async move {
            let response = match answer(&worker, &request, peer, framing).await {
                Ok(Answer::Response { response, closes }) => {
                    // One that ends the connection anyway goes out at once.
                    let is_as_it_is = closes || keeps(framing, body).await;
                    if is_as_it_is {
                        response
                    } else {
                        closing(response)
                    }
                }
                Ok(Answer::Taken(takeover)) => {
                    let span = asked.into_span();
                    taken.set(Some(Taken { span, ..takeover }));
                    return Err(TakenOver);
                }
                Err(cause) => {
                    cause.log(&request);
                    failed(&cause)
                }
            };
            log_answer(&worker, asked, peer, Some(&request), &response);
            Ok(response)
        }
    }
}

/// Counts an answer of HTTP's, and logs it.
fn log_answer(
    worker: &Worker,
    since: Asked,
    peer: Peer,
    asked: Option<&Request>,
    response: &HttpResponse,
) {
    let status = response.status().as_u16();
    worker.metrics.answered(status);
    let length = response.body().size_hint().exact().unwrap_or_default();
    since.log(peer, asked, status, length);
}

fn with_peer(request: http1::Request, peer: Peer) -> Request {
    Request {
        method: request.method,
        target: request.target,
        version: match request.version {
            Version::Http10 => HttpVersion::Http10,
            Version::Http11 => HttpVersion::Http11,
        },
        authority: None,
        protocol: None,
        fields: request.fields,
        secure: peer.secure,
        remote: peer.remote(),
    }
}

async fn answer(
    worker: &Worker,
    request: &Arc<Request>,
    peer: Peer,
    framing: Framing,
) -> Result<Answer, Failure> {
    match ask(worker, request, peer).await? {
        Answered::Response(response) => {
            let closes = http1::closes(&response.head.fields);
            let head = response.head;
            let response = answer::response(head.status, head.fields, response.body)?;
            let response = response.map(Full::from);
            Ok(Answer::Response { response, closes })
        }
        Answered::Takeover(offer) => take(offer, request, peer, framing).map(Answer::Taken),
    }
}

/// Checks a takeover. One that is not made drops the guest's connection.
fn take(offer: Offer, request: &Request, peer: Peer, framing: Framing) -> Result<Taken, Failure> {
    framing.check_takeover()?;
    let head = offer.response.as_ref();
    let head = head.map(|head| (head.status, &head.fields[..]));
    Ok(Taken {
        peer,
        head: answer::takeover(head, &offer.farewell, &request.fields)?,
        connection: offer.connection,
        farewell: offer.farewell,
        target: request.target.clone(),
        span: None,
    })
}

/// Whether another request can follow: the body of this one is out of the way, which has not taken too much
/// nor too long.
async fn keeps(framing: Framing, mut body: Incoming) -> bool {
    if framing.is_last || framing.discardable().is_none() {
        return false;
    }
    let discard = async {
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        true
    };
    timeout(DISCARD_TIMEOUT, discard).await.unwrap_or(false)
}

/// The answer to a request that no guest sees, or that the guest failed on.
fn refuse(refusal: Refusal) -> HttpResponse {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    plain(status, format!("{}\n", refusal.reason))
}

fn failed(cause: &Failure) -> HttpResponse {
    let mut response = refuse(cause.refusal());
    if let Some(seconds) = cause.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// The answer to a client that asks too fast (RFC 6585 §4), and the end of its connection: what it has sent behind
/// need not be read. Counted, and not logged: a flood would fill the disk.
fn too_many() -> HttpResponse {
    let mut response = refuse(TOO_MANY_REQUESTS);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> HttpResponse {
    let mut response = Response::new(Full::from(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    closing(response)
}

/// The response, as one that ends the connection (RFC 9112 §9.6).
fn closing(mut response: HttpResponse) -> HttpResponse {
    let headers = response.headers_mut();
    headers.append(CONNECTION, HeaderValue::from_static("close"));
    response
}
