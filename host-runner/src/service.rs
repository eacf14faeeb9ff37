//! hyper's service: asks the guest.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use tokio::select;
use tokio::time::{Instant, sleep_until, timeout};

use crate::bindings::{self, HttpVersion, Request, Takeover, Verdict};
use crate::gate::Arrived;
use crate::head::{self, BadAnswer};
use crate::limits::{DISCARD_TIMEOUT, MAX_DISCARDED};
use crate::pool::{Dead, Place, Undecided};
use crate::request::{Refusal, has};
use crate::takeover::Taken;
use crate::worker::Worker;

/// The service of one socket.
pub(crate) struct Http {
    worker: Rc<Worker>,
    remote: String,
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
            Some(Ok(request)) => Box::pin(self.serve(request, body)),
            Some(Err(refusal)) => Box::pin(ready(Ok(refuse(refusal)))),
            // The gate puts a request there for every head it passes.
            None => Box::pin(ready(Ok(failure(&Failure::Died)))),
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
    Response(HttpResponse),
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
    /// A takeover in HTTP/1.0, which has no 101 (RFC 9110 §7.8: a server that receives it
    /// there "MUST ignore that Upgrade field").
    HttpVersion,
}

impl From<Dead> for Failure {
    fn from(_: Dead) -> Self {
        Self::Died
    }
}

impl From<BadAnswer> for Failure {
    fn from(bad: BadAnswer) -> Self {
        Self::BadAnswer(bad)
    }
}

impl Http {
    pub(crate) fn new(worker: &Rc<Worker>, remote: SocketAddr) -> Self {
        Self {
            worker: Rc::clone(worker),
            remote: remote.to_string(),
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

    fn serve(
        &self,
        mut request: Request,
        body: Incoming,
    ) -> impl Future<Output = Result<HttpResponse, TakenOver>> + use<> {
        request.remote = Some(self.remote.clone());
        let (worker, taken) = (Rc::clone(&self.worker), Rc::clone(&self.taken));
        async move {
            match answer(&worker, &request, !body.is_end_stream()).await {
                Ok(Answer::Response(response)) => Ok(respond(response, &request, body).await),
                Ok(Answer::Taken(takeover)) => {
                    taken.set(Some(takeover));
                    Err(TakenOver)
                }
                Err(cause) => {
                    log(&cause, &request);
                    Ok(failure(&cause))
                }
            }
        }
    }
}

fn log(cause: &Failure, request: &Request) {
    let (method, target) = (&request.method, &request.target);
    match cause {
        Failure::BadAnswer(bad) => {
            tracing::error!("the guest's answer to {method} {target} is refused: {bad}");
        }
        Failure::Undecided => tracing::warn!(
            "the guest has not answered {method} {target} in time (--decision-timeout)"
        ),
        Failure::Died | Failure::HttpVersion => {}
    }
}

async fn answer(worker: &Worker, request: &Request, has_body: bool) -> Result<Answer, Failure> {
    let place = worker.pool.place()?;
    let (place, answer) = match place.handle(request)? {
        Verdict::Answer(answer) => (place, answer),
        Verdict::Later(undecided) => {
            let undecided = place.keep_for_undecided(undecided);
            let answer = timeout(worker.decision_timeout, decide(worker, &undecided)).await;
            let answer = answer.map_err(|_| Failure::Undecided)??;
            (undecided.into_place(), answer)
        }
    };
    match answer {
        bindings::Answer::Respond(response) => {
            let response = head::response(response)?;
            Ok(Answer::Response(response.map(Full::from)))
        }
        bindings::Answer::Takeover(takeover) => {
            take(place, takeover, request, has_body).map(Answer::Taken)
        }
    }
}

/// Asks the guest for its answer, whenever there is a reason to, until there is one.
async fn decide(worker: &Worker, undecided: &Undecided) -> Result<bindings::Answer, Dead> {
    loop {
        let deliberation = undecided.decide(worker.now())?;
        if let Some(answer) = deliberation.answer {
            return Ok(answer);
        }
        let wake_at = deliberation.wake_at.and_then(|instant| worker.at(instant));
        select! {
            woken = undecided.woken() => woken?,
            () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
        }
    }
}

/// Checks a takeover. One that is not made drops the guest's connection.
fn take(
    place: Place,
    takeover: Takeover,
    request: &Request,
    has_body: bool,
) -> Result<Taken, Failure> {
    let connection = place.keep_for(takeover.connection);
    if request.version != HttpVersion::Http11 {
        return Err(Failure::HttpVersion);
    }
    if has_body {
        return Err(BadAnswer::RequestBody.into());
    }
    Ok(Taken {
        connection,
        head: head::takeover(&takeover, &request.fields)?,
        farewell: takeover.farewell,
        target: request.target.clone(),
    })
}

/// Sends a response once the body of the request is out of the way; if that takes too much or too
/// long, the response ends the connection. One that ends it anyway goes out at once.
async fn respond(mut response: HttpResponse, request: &Request, body: Incoming) -> HttpResponse {
    if !closes(&response) && (is_last(request) || !discard(request, body).await) {
        close_after(&mut response);
    }
    response
}

/// Whether no request can be read behind this one, whatever the guest answers.
fn is_last(request: &Request) -> bool {
    // A client that asked for another protocol, and does not wait for the answer, speaks it from
    // here on. What it sends must never be read as a request.
    has(&request.fields, "upgrade")
        // The gate does not know where the chunks end.
        || has(&request.fields, "transfer-encoding")
}

/// Whether all of the body could be discarded.
async fn discard(request: &Request, body: Incoming) -> bool {
    if body.is_end_stream() {
        return true;
    }
    // RFC 9110 §10.1.1: a client that expects 100 has not sent the body yet; reading it would ask
    // for it.
    if has(&request.fields, "expect") {
        return false;
    }
    let mut body = Limited::new(body, MAX_DISCARDED);
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

pub(crate) const FAILED: &str = "The application failed.\n";
const TOO_LATE: &str = "The application took too long.\n";
const NEEDS_HTTP_11: &str = "This needs HTTP/1.1.\n";

/// The answer to a request that the guest failed on. Why is in the log, and only there.
fn failure(cause: &Failure) -> HttpResponse {
    match cause {
        Failure::HttpVersion => plain(StatusCode::NOT_IMPLEMENTED, NEEDS_HTTP_11),
        Failure::Undecided => plain(StatusCode::GATEWAY_TIMEOUT, TOO_LATE),
        Failure::Died | Failure::BadAnswer(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, FAILED),
    }
}

/// The answer to a request that no guest sees.
fn refuse(refusal: Refusal) -> HttpResponse {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    plain(status, format!("{}\n", refusal.reason))
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> HttpResponse {
    let mut response = Response::new(Full::from(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    close_after(&mut response);
    response
}

/// Whether the connection ends with this response (RFC 9112 §9.6).
fn closes(response: &HttpResponse) -> bool {
    let options = response.headers().get_all(CONNECTION).into_iter();
    options
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

fn close_after(response: &mut HttpResponse) {
    let headers = response.headers_mut();
    headers.append(CONNECTION, HeaderValue::from_static("close"));
}
