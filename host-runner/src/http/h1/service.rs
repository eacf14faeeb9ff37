//! hyper's service: an exchange for each request on an HTTP/1.1 socket.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use http::Response;
use http::header::{CONNECTION, HeaderValue};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::Service;
use tokio::time::timeout;

use wasocket_host_core::answer;
use wasocket_host_core::http1::limits::DISCARD_TIMEOUT;
use wasocket_host_core::http1::{self, BadAnswer, Framing, Refusal, Refused};

use crate::contract::bindings::{HttpVersion, Request};
use crate::http::connection_options::connection_options;
use crate::http::exchange::{Outcome, Upgrade, Version, exchange, refuse_head, response};
use crate::http::h1::head_reader::Arrived;
use crate::http::worker::Worker;
use crate::net::peer::Peer;
use crate::pool::Takeover;

/// The service of one socket.
pub(crate) struct Http {
    worker: Rc<Worker>,
    peer: Peer,
    arrived: Rc<Arrived>,
    upgrade: Rc<Cell<Option<Upgrade<Vec<u8>>>>>,
}

type HttpResponse = Response<Full<Bytes>>;
type Responding = Pin<Box<dyn Future<Output = Result<HttpResponse, TakenOver>>>>;

impl Service<http::Request<Incoming>> for Http {
    type Response = HttpResponse;
    type Error = TakenOver;
    type Future = Responding;

    /// Answers the request that has arrived. Only the body of hyper's stand-in is real.
    fn call(&self, stand_in: http::Request<Incoming>) -> Responding {
        let refused = match self.arrived.take() {
            Some(Ok((request, framing))) => {
                return Box::pin(self.exchange(request, framing, stand_in.into_body()));
            }
            Some(Err(refused)) => refused,
            // Cannot happen: the head reader stores a request for every head that it passes on.
            None => Refusal::FAILED.into(),
        };
        let response = refuse_head(&self.worker, self.peer, &refused);
        Box::pin(ready(Ok(closing(response))))
    }
}

/// The error that makes hyper give up the socket.
#[derive(Debug)]
pub(crate) struct TakenOver;

impl fmt::Display for TakenOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the socket was taken over")
    }
}

impl std::error::Error for TakenOver {}

impl Http {
    pub(crate) fn new(worker: &Rc<Worker>, peer: Peer) -> Self {
        Self {
            worker: Rc::clone(worker),
            peer,
            arrived: Rc::default(),
            upgrade: Rc::default(),
        }
    }

    /// The slot in which the head reader stores requests.
    pub(crate) fn arrived(&self) -> Rc<Arrived> {
        Rc::clone(&self.arrived)
    }

    /// Returns the upgrade, if that is why the service failed.
    pub(crate) fn into_upgrade(self) -> Option<Upgrade<Vec<u8>>> {
        self.upgrade.take()
    }

    fn exchange(
        &self,
        request: http1::Request,
        mut framing: Framing,
        body: Incoming,
    ) -> impl Future<Output = Result<HttpResponse, TakenOver>> + use<> {
        let (worker, peer, taken) = (Rc::clone(&self.worker), self.peer, Rc::clone(&self.upgrade));
        async move {
            match exchange(&worker, peer, request_of(request), &mut framing).await {
                Outcome::Respond(response)
                    if closes(&response) || keeps_alive(framing, body).await =>
                {
                    Ok(response.map(Full::from))
                }
                Outcome::Respond(response) | Outcome::Refuse(response) => Ok(closing(response)),
                Outcome::NeedsHttp11 => Ok(closing(response(Refusal::NEEDS_HTTP_11))),
                Outcome::Upgrade(upgrade) => {
                    taken.set(Some(upgrade));
                    Err(TakenOver)
                }
            }
        }
    }
}

impl Version for Framing {
    /// Serialised; empty for a raw takeover.
    type Head = Vec<u8>;

    /// Reserves nothing: the connection has been counted already.
    fn reserve(&mut self, _: &Worker, _: &Request) -> Result<(), Refused> {
        Ok(())
    }

    fn head(
        &self,
        request: &Request,
        takeover: &mut Takeover,
    ) -> Result<Option<Vec<u8>>, BadAnswer> {
        self.check_takeover()?;
        let head = takeover.response.as_ref();
        let head = head.map(|head| (head.status, &head.fields[..]));
        answer::takeover(head, &takeover.final_bytes, &request.fields).map(Some)
    }
}

/// Converts the request. Its client is not known yet.
fn request_of(request: http1::Request) -> Request {
    Request {
        method: request.method,
        target: request.target,
        version: match request.version {
            http1::Version::Http10 => HttpVersion::Http10,
            http1::Version::Http11 => HttpVersion::Http11,
        },
        authority: None,
        protocol: None,
        fields: request.fields,
        secure: false,
        remote: None,
    }
}

/// Whether the guest closes the connection with this response, which can then be sent at once.
fn closes(response: &Response<Bytes>) -> bool {
    let options = connection_options(response.headers());
    options.iter().any(|option| option == "close")
}

/// Whether another request can follow. If so, the body of this one has been discarded, within the limits on bytes and
/// time.
async fn keeps_alive(framing: Framing, mut body: Incoming) -> bool {
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

/// Makes the response close the connection (RFC 9112 §9.6).
fn closing(response: Response<Bytes>) -> HttpResponse {
    let mut response = response.map(Full::from);
    let headers = response.headers_mut();
    headers.append(CONNECTION, HeaderValue::from_static("close"));
    response
}
