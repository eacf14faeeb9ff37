//! From HTTP to a raw socket.
//!
//! hyper speaks HTTP/1.1 on every new socket and the guest is asked about every request. Where it
//! takes the socket over, the service *fails*, on purpose: hyper then writes nothing and gives up
//! the socket together with the bytes it has read behind the head. This one mechanism serves both
//! the 101 and the raw takeover, which has no response. hyper's own upgrade could not do the second,
//! and would send the 101 in a write of its own, where here it leaves together with the first output.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, EXPECT, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use tokio::net::TcpStream;
use tokio::select;
use tokio::time::timeout;

use crate::bindings::{self, HttpVersion, Takeover, Verdict};
use crate::flush::{Flush, HttpSocket};
use crate::head::{self, BadAnswer};
use crate::pool::{Connection, Dead, Place};
use crate::session::Session;
use crate::socket::{self, Socket};
use crate::worker::Worker;

/// The most bytes of a request body that are discarded to keep the connection.
const MAX_DISCARDED: usize = 1024 * 1024;
/// How long that may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves a socket to its end: as HTTP, and once taken over, as the guest's.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, remote: SocketAddr) {
    tracing::debug!(%remote, "connected");
    match serve_socket(worker, stream, remote).await {
        Ok(()) => tracing::debug!(%remote, "closed"),
        Err(error) => tracing::debug!(%remote, "closed: {error}"),
    }
}

async fn serve_socket(worker: Rc<Worker>, stream: TcpStream, remote: SocketAddr) -> io::Result<()> {
    let (stream, residual, taken) = speak_http(&worker, stream, remote).await;
    let Some(taken) = taken else {
        return socket::close(stream).await;
    };
    tracing::debug!(%remote, residual = residual.len(), "taken over");
    match taken.connection.open(worker.now(), &residual) {
        Ok(opened) => {
            Session::new(worker, stream, taken.connection, taken.farewell)
                .run(taken.head, opened)
                .await
        }
        Err(Dead) => fail(stream).await,
    }
}

/// Answers a takeover whose `open` failed. Not a byte has been sent yet, so HTTP still can.
async fn fail(stream: TcpStream) -> io::Result<()> {
    const HEAD: &str = "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\
                        Content-Type: text/plain\r\nContent-Length: ";
    let response = format!("{HEAD}{}\r\n\r\n{FAILED}", FAILED.len());
    let mut socket = Socket::new(stream, response.len());
    socket.send(response.as_bytes())?;
    socket.close().await
}

/// Lets hyper serve requests until the socket is to be closed or is taken over. Gives back the
/// socket and the bytes read behind the last head.
async fn speak_http(
    worker: &Rc<Worker>,
    stream: TcpStream,
    remote: SocketAddr,
) -> (TcpStream, Bytes, Option<Taken>) {
    let http = Http::new(worker, remote);
    let stream = HttpSocket::new(stream, Rc::clone(&http.flush));
    let mut connection = worker.http.serve_connection(stream, http);
    let mut stop = pin!(worker.stopping.rung());
    let mut stopped = false;
    let outcome = loop {
        select! {
            biased;
            outcome = poll_fn(|context| connection.poll_without_shutdown(context)) => break outcome,
            () = &mut stop, if !stopped => {
                stopped = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let parts = connection.into_parts();
    let taken = parts.service.taken.take();
    if let (Err(error), None) = (outcome, &taken) {
        tracing::debug!(%remote, "HTTP: {error}");
    }
    (parts.io.into_inner(), parts.read_buf, taken)
}

/// A takeover on its way from the service to the session.
struct Taken {
    connection: Connection,
    head: Vec<u8>,
    farewell: Vec<u8>,
}

/// The error with which the service makes hyper let go of the socket.
#[derive(Debug)]
struct TakenOver;

impl fmt::Display for TakenOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the socket is taken over")
    }
}

impl std::error::Error for TakenOver {}

/// hyper's service for one socket: asks the guest.
struct Http {
    worker: Rc<Worker>,
    remote: String,
    flush: Rc<Flush>,
    taken: Cell<Option<Taken>>,
}

type HttpResponse = Response<Full<Bytes>>;

impl Service<Request<Incoming>> for Http {
    type Response = HttpResponse;
    type Error = TakenOver;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, TakenOver>>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (head, body) = request.into_parts();
        let answer = self.answer(&head, !body.is_end_stream());
        match answer.unwrap_or_else(|refusal| Answer::Response(refuse(&refusal, &head))) {
            Answer::Response(response) => {
                Box::pin(async move { Ok(respond(response, &head, body).await) })
            }
            Answer::Taken(taken) => {
                self.taken.set(Some(taken));
                let flush = Rc::clone(&self.flush);
                Box::pin(async move {
                    flush.done().await;
                    Err(TakenOver)
                })
            }
        }
    }
}

/// A guest's answer to a request, checked.
enum Answer {
    Response(HttpResponse),
    Taken(Taken),
}

/// Why a request gets an answer of the host's instead of the guest's.
enum Refusal {
    /// The instance died of it.
    Died,
    /// The instance lives, but its answer cannot be sent.
    BadAnswer(BadAnswer),
    /// A takeover in HTTP/1.0, which has no 101 (RFC 9110 §7.8: "A server MUST ignore an Upgrade
    /// header field that is received in an HTTP/1.0 request").
    HttpVersion,
}

impl From<Dead> for Refusal {
    fn from(_: Dead) -> Self {
        Self::Died
    }
}

impl From<BadAnswer> for Refusal {
    fn from(bad: BadAnswer) -> Self {
        Self::BadAnswer(bad)
    }
}

impl Http {
    fn new(worker: &Rc<Worker>, remote: SocketAddr) -> Self {
        Self {
            worker: Rc::clone(worker),
            remote: remote.to_string(),
            flush: Rc::default(),
            taken: Cell::new(None),
        }
    }

    fn answer(&self, head: &Parts, has_body: bool) -> Result<Answer, Refusal> {
        let place = self.worker.pool.place()?;
        match place.handle(&request(head, &self.remote))? {
            Verdict::Respond(response) => {
                let response = head::response(response)?;
                Ok(Answer::Response(response.map(Full::from)))
            }
            Verdict::Takeover(takeover) => {
                take(place, takeover, head.version, has_body).map(Answer::Taken)
            }
        }
    }
}

/// Checks a takeover. One that is not made drops the guest's connection.
fn take(
    place: Place,
    takeover: Takeover,
    version: Version,
    has_body: bool,
) -> Result<Taken, Refusal> {
    let connection = place.keep_for(takeover.connection);
    if version != Version::HTTP_11 {
        return Err(Refusal::HttpVersion);
    }
    if has_body {
        return Err(BadAnswer::RequestBody.into());
    }
    Ok(Taken {
        connection,
        head: head::takeover(&takeover)?,
        farewell: takeover.farewell,
    })
}

/// The head as the guest gets it. Names arrive in lower case.
///
/// The target is what hyper's `Uri` has kept of it: all but a fragment, which a request-target
/// cannot have (RFC 9112 §3.2), and with `/` where the absolute form has no path.
fn request(head: &Parts, remote: &str) -> bindings::Request {
    let field = |(name, value): (&http::HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().to_vec())
    };
    bindings::Request {
        method: head.method.as_str().to_owned(),
        target: head.uri.to_string(),
        version: match head.version {
            Version::HTTP_11 => HttpVersion::Http11,
            _ => HttpVersion::Http10,
        },
        authority: None,
        fields: head.headers.iter().map(field).collect(),
        secure: false,
        remote: Some(remote.to_owned()),
    }
}

/// Sends a response once the body of the request is out of the way; if that takes too much or too
/// long, the response ends the connection. One that ends it anyway goes out at once.
async fn respond(mut response: HttpResponse, request: &Parts, body: Incoming) -> HttpResponse {
    if closes(&response) {
        return response;
    }
    // RFC 9110 §10.1.1: a client that expects 100 has not sent the body yet; reading it would ask
    // for it.
    let discarded = !request.headers.contains_key(EXPECT) || body.is_end_stream();
    if !(discarded && discard(body).await) {
        close_after(&mut response);
    }
    response
}

/// Whether all of the body could be discarded.
async fn discard(body: Incoming) -> bool {
    if body.is_end_stream() {
        return true;
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

const FAILED: &str = "The application failed.\n";
const NEEDS_HTTP_11: &str = "This needs HTTP/1.1.\n";

/// The host's answer. The reason is for the log, and only for it.
fn refuse(refusal: &Refusal, request: &Parts) -> HttpResponse {
    if let Refusal::BadAnswer(bad) = refusal {
        let (method, target) = (&request.method, &request.uri);
        tracing::error!("the guest's answer to {method} {target} is refused: {bad}");
    }
    match refusal {
        Refusal::HttpVersion => plain(StatusCode::NOT_IMPLEMENTED, NEEDS_HTTP_11),
        _ => plain(StatusCode::INTERNAL_SERVER_ERROR, FAILED),
    }
}

fn plain(status: StatusCode, text: &'static str) -> HttpResponse {
    let mut response = Response::new(Full::from(text));
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
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}
