//! hyper's service: asks the guest.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::service::Service;
use tokio::select;
use tokio::time::{Instant, sleep_until, timeout};

use wasocket_http1::limits::DISCARD_TIMEOUT;
use wasocket_http1::{self as http1, BadAnswer, Framing, Refusal, Version};

use crate::accepted::Peer;
use crate::access::{Asked, log_fault};
use crate::bindings::{HttpVersion, Request};
use crate::gate::Arrived;
use crate::head;
use crate::hosts::MISDIRECTED;
use crate::pool::{Answered, Dead, Ruling, Undecided, Unplaced};
use crate::takeover::Taken;
use crate::worker::Worker;

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

/// Why a request gets an answer of the host's instead of the guest's.
enum Failure {
    /// The instance died of it.
    Died,
    /// The instance lives, but its answer cannot be sent.
    BadAnswer(BadAnswer),
    /// It did not answer in time.
    Undecided,
    /// No instance is made for this time.
    BackingOff(Duration),
}

impl Failure {
    /// What the client gets. Why is in the log, and only there.
    fn refusal(&self) -> Refusal {
        match self {
            Self::Died => Refusal::FAILED,
            Self::BadAnswer(bad) => bad.refusal(),
            Self::Undecided => Refusal::UNDECIDED,
            Self::BackingOff(_) => Refusal::BACKING_OFF,
        }
    }

    fn response(&self) -> HttpResponse {
        let mut response = refuse(self.refusal());
        if let Self::BackingOff(left) = self {
            // RFC 9110 §10.2.3: whole seconds.
            let seconds = left.as_secs().saturating_add(1);
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<Dead> for Failure {
    fn from(_: Dead) -> Self {
        Self::Died
    }
}

impl From<Unplaced> for Failure {
    fn from(unplaced: Unplaced) -> Self {
        match unplaced {
            Unplaced::Dead => Self::Died,
            Unplaced::BackingOff(left) => Self::BackingOff(left),
        }
    }
}

impl From<BadAnswer> for Failure {
    fn from(bad: BadAnswer) -> Self {
        Self::BadAnswer(bad)
    }
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
        let trust = &self.worker.entrance.trust;
        let peer = trust
            .client(self.peer, &request.fields)
            .unwrap_or(self.peer);
        if !self.worker.may_ask(peer) {
            let response = too_many();
            self.worker.metrics.answered(response.status().as_u16());
            return Box::pin(ready(Ok(response)));
        }
        if self.worker.hosts.serve(&request, peer.secure) {
            return Box::pin(self.serve(request, peer, framing, body));
        }
        tracing::debug!(remote = %peer, "a host that is not served (--allow-host)");
        self.turn_away(MISDIRECTED, peer, Some((&request.method, &request.target)))
    }

    /// Refuses what the guest is not asked about.
    fn turn_away(&self, refusal: Refusal, peer: Peer, line: Option<(&str, &str)>) -> Answering {
        let response = refuse(refusal);
        log_answer(&self.worker, Asked::now(), peer, line, &response);
        Box::pin(ready(Ok(response)))
    }

    fn serve(
        &self,
        request: http1::Request,
        peer: Peer,
        framing: Framing,
        body: Incoming,
    ) -> impl Future<Output = Result<HttpResponse, TakenOver>> + use<> {
        let asked = Asked::by(&request, peer);
        let request = Arc::new(with_peer(request, peer));
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
                    log(&cause, &request);
                    cause.response()
                }
            };
            let line = Some((&*request.method, &*request.target));
            log_answer(&worker, asked, peer, line, &response);
            Ok(response)
        }
    }
}

/// Counts an answer of HTTP's, and logs it.
fn log_answer(
    worker: &Worker,
    asked: Asked,
    peer: Peer,
    line: Option<(&str, &str)>,
    response: &HttpResponse,
) {
    let status = response.status().as_u16();
    worker.metrics.answered(status);
    let length = response.body().size_hint().exact().unwrap_or_default();
    asked.log(peer, line, status, length);
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
        fields: request.fields,
        secure: peer.secure,
        remote: peer.remote(),
    }
}

fn log(cause: &Failure, request: &Request) {
    let (method, target) = (&request.method, &request.target);
    match cause {
        // Logged already: the first once, the second when it began.
        Failure::Died | Failure::BackingOff(_) | Failure::BadAnswer(BadAnswer::HttpVersion) => {}
        Failure::BadAnswer(bad) => {
            tracing::error!("the guest's answer to {method} {target} is refused: {bad}");
        }
        Failure::Undecided => tracing::warn!(
            "the guest has not answered {method} {target} in time (--decision-timeout)"
        ),
    }
}

async fn answer(
    worker: &Worker,
    request: &Arc<Request>,
    peer: Peer,
    framing: Framing,
) -> Result<Answer, Failure> {
    let place = worker.pool.place()?;
    let decided = place.handle(Arc::clone(request)).await?;
    let (answer, fault) = match decided.verdict {
        Ruling::Answer(answer) => (answer, decided.fault),
        Ruling::Later(undecided) => {
            let decided = timeout(worker.decision_timeout, decide(worker, &undecided)).await;
            decided.map_err(|_| Failure::Undecided)??
        }
    };
    if let Some(fault) = fault {
        log_fault(&peer, &request.target, &fault);
    }
    match answer {
        Answered::Response(response) => {
            let closes = http1::closes(&response.head.fields);
            let response = head::response(response)?.map(Full::from);
            Ok(Answer::Response { response, closes })
        }
        Answered::Takeover {
            response,
            connection,
            farewell,
        } => {
            framing.check_takeover()?;
            Ok(Answer::Taken(Taken {
                peer,
                connection,
                head: head::takeover(response.as_ref(), &farewell, &request.fields)?,
                farewell,
                target: request.target.clone(),
                span: None,
            }))
        }
    }
}

/// Asks the guest for its answer, whenever there is a reason to, until there is one.
async fn decide(
    worker: &Worker,
    undecided: &Undecided,
) -> Result<(Answered, Option<String>), Dead> {
    loop {
        let progress = undecided.decide(worker.now()).await?;
        if let Some(answer) = progress.answer {
            return Ok((answer, progress.fault));
        }
        let wake_at = progress.wake_at.and_then(|instant| worker.at(instant));
        select! {
            woken = undecided.woken() => woken?,
            () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
        }
    }
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

/// The answer to a client that asks too fast (RFC 6585 §4), and the end of its connection: what it has sent behind
/// need not be read. Counted, and not logged: a flood would fill the disk.
fn too_many() -> HttpResponse {
    let text = "Your address sends too many requests\n";
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, text);
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
