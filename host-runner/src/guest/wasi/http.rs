//! HTTP requests of guests: `wasi:http` 0.2, to the backends that the operator allows.
//!
//! A guest sends a request and returns; hyper's client works on it while other guests run. When the response arrives,
//! it wakes the waker of the call in which the guest last polled for it: see `docs/design/outside.md`.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use hyper::client::conn::http1;
use tokio::select;
use tokio::time::{Sleep, sleep, timeout};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::HttpResult;
use wasmtime_wasi_http::p2::bindings::LinkOptions;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode, Scheme};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttp, WasiHttpHooks, WasiHttpView as _,
};

use crate::guest::wasi::OpenFiles;
use crate::guest::wasi::Policy;
use crate::guest::wasi::state::State;
use crate::net::address::is_public;
use crate::net::dial::error::TransportError;
use crate::net::dial::transport::Route;
use crate::net::dial::url::Url;

/// The longest head of a response, in bytes, and the most fields in it.
const MAX_HEAD: usize = 64 * 1024;
const MAX_FIELDS: usize = 100;

/// The outgoing requests of one instance.
#[derive(Debug)]
pub(crate) struct Outgoing {
    policy: Arc<Policy>,
    files: Arc<OpenFiles>,
    in_progress: Arc<AtomicUsize>,
    /// Passed from `handle` to `send_request`.
    admitted: Option<Admitted>,
}

impl Outgoing {
    pub(crate) fn new(policy: Arc<Policy>, files: Arc<OpenFiles>) -> Self {
        Self {
            policy,
            files,
            in_progress: Arc::default(),
            admitted: None,
        }
    }

    fn admit(&self, request: &HostOutgoingRequest) -> Result<Admitted, ErrorCode> {
        let url = url(request).ok_or(ErrorCode::HttpRequestUriInvalid)?;
        let mut allowed = self.policy.allowed.iter();
        let Some(allowed) = allowed.find(|allowed| allowed.matches(&url)) else {
            tracing::warn!(
                "denied the guest's request to {} (--allow-http {})",
                url.authority,
                url.authority
            );
            return Err(ErrorCode::HttpRequestDenied);
        };
        if !self.files.have_room() {
            return Err(ErrorCode::ConnectionLimitReached);
        }
        Ok(Admitted {
            slot: Slot::take(&self.in_progress, self.policy.max_in_progress)?,
            may_be_private: !allowed.is_wildcard(),
            url,
        })
    }
}

/// A request that is allowed.
#[derive(Debug)]
struct Admitted {
    url: Url,
    /// Whether the backend may have an address that is not public.
    may_be_private: bool,
    slot: Slot,
}

fn url(request: &HostOutgoingRequest) -> Option<Url> {
    let scheme = match request.scheme {
        Some(Scheme::Http) => "http",
        Some(Scheme::Https) | None => "https",
        Some(Scheme::Other(_)) => return None,
    };
    let target = request.path_with_query.as_deref().unwrap_or("/");
    let authority = request.authority.as_deref()?;
    format!("{scheme}://{authority}{target}").parse().ok()
}

/// Links `wasi:http`. `handle` is our own, so that a guest learns at once that a request is denied, and not some time
/// later.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let options = LinkOptions::default();
    types::add_to_linker::<_, WasiHttp>(linker, &(&options).into(), State::http)?;
    let mut handler = linker.instance("wasi:http/outgoing-handler@0.2.12")?;
    handler.func_wrap(
        "handle",
        |mut store: StoreContextMut<'_, State>, (request, options)| match handle(
            store.data_mut(),
            request,
            options,
        ) {
            Ok(response) => Ok((Ok(response),)),
            Err(error) => Ok((Err(error.downcast()?),)),
        },
    )
}

fn handle(
    state: &mut State,
    request: Resource<HostOutgoingRequest>,
    options: Option<Resource<RequestOptions>>,
) -> HttpResult<Resource<HostFutureIncomingResponse>> {
    let admitted = state.outgoing.admit(state.table.get(&request)?)?;
    state.outgoing.admitted = Some(admitted);
    state.http().handle(request, options)
}

/// One of the requests that an instance may have in progress. Released on drop.
#[derive(Debug)]
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(in_progress: &Arc<AtomicUsize>, max: usize) -> Result<Self, ErrorCode> {
        // Only the guest's own calls increase it.
        if in_progress.load(Ordering::Relaxed) >= max {
            return Err(ErrorCode::ConnectionLimitReached);
        }
        in_progress.fetch_add(1, Ordering::Relaxed);
        Ok(Self(Arc::clone(in_progress)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

type Sending = dyn Future<Output = Result<(Response<WasiBody>, Box<Driving>), Error>> + Send;
/// Drives the rest of an exchange after the head of the response.
type Driving = dyn Future<Output = Result<(), Error>> + Send;

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _failed: Box<Driving>,
    ) -> Box<Sending> {
        let admitted = self.admitted.take().ok_or(Error::HttpRequestDenied);
        let timeouts = Timeouts::of(&self.policy, options.unwrap_or_default());
        Box::new(async move { send(admitted?, timeouts, request).await })
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode {
        if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            return ErrorCode::ConnectionTerminated;
        }
        tracing::debug!("a backend's response: {error:?}");
        if std::error::Error::source(error).is_some_and(|source| source.is::<io::Error>()) {
            ErrorCode::ConnectionTerminated
        } else {
            ErrorCode::HttpProtocolError
        }
    }
}

#[derive(Clone, Copy)]
struct Timeouts {
    connect: Duration,
    answer: Duration,
    between: Duration,
}

impl Timeouts {
    /// The guest's limits where they are lower than the policy's.
    fn of(policy: &Policy, options: RequestOptions) -> Self {
        let lower =
            |own: Duration, wanted: Option<Duration>| wanted.map_or(own, |time| time.min(own));
        Self {
            connect: lower(policy.connect_timeout, options.connect_timeout),
            answer: lower(policy.silence_timeout, options.first_byte_timeout),
            between: lower(policy.silence_timeout, options.between_bytes_timeout),
        }
    }
}

/// Sends a request over a connection of its own, and waits for the response's head.
async fn send(
    admitted: Admitted,
    timeouts: Timeouts,
    mut request: Request<WasiBody>,
) -> Result<(Response<WasiBody>, Box<Driving>), Error> {
    let url = &admitted.url;
    let route = Route {
        url,
        connect_to: None,
        proxy: None,
        insecure: false,
        timeout: timeouts.connect,
        may_reach: if admitted.may_be_private {
            |_| true
        } else {
            is_public
        },
    };
    let stream = route
        .open()
        .await
        .map_err(|error| unreachable(url, &error))?;
    // RFC 9112 §3.2.1: requests to the server itself have only path and query.
    *request.uri_mut() = url
        .target
        .parse()
        .map_err(|_| Error::HttpRequestUriInvalid)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .handshake(TokioIo::new(stream))
        .await?;
    let mut connection = Box::pin(connection);
    let answer = async {
        let mut answer = pin!(sender.send_request(request));
        select! {
            answer = &mut answer => answer,
            // The backend closed after its response, or without one.
            closed = &mut connection => match closed {
                Ok(()) => answer.await,
                Err(error) => Err(error),
            },
        }
    };
    let response = timeout(timeouts.answer, answer)
        .await
        .map_err(|_| Error::HttpResponseTimeout)??;
    let slot = admitted.slot;
    let body = |body: hyper::body::Incoming| {
        Answer {
            body,
            silence: Silence::new(timeouts.between),
            _slot: slot,
        }
        .boxed_unsync()
    };
    let driving = async { Ok(connection.await?) };
    Ok((response.map(body), Box::new(driving)))
}

/// The body of a response, which counts as a request in progress until it is read or dropped.
struct Answer {
    body: hyper::body::Incoming,
    silence: Silence,
    _slot: Slot,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let answer = &mut *self;
        match Pin::new(&mut answer.body).poll_frame(context) {
            Poll::Ready(frame) => {
                answer.silence.end();
                Poll::Ready(frame.map(|frame| frame.map_err(Error::from)))
            }
            Poll::Pending => {
                ready!(answer.silence.poll(context));
                Poll::Ready(Some(Err(Error::HttpResponseTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The limit on silence while the guest reads. Time in which it does not read does not count.
struct Silence {
    most: Duration,
    until: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    fn new(most: Duration) -> Self {
        Self { most, until: None }
    }

    fn end(&mut self) {
        self.until = None;
    }

    /// Ready when the silence has lasted too long.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let until = self.until.get_or_insert_with(|| Box::pin(sleep(self.most)));
        until.as_mut().poll(context)
    }
}

/// The error for the guest when a backend cannot be reached; the details are logged.
fn unreachable(url: &Url, error: &TransportError) -> Error {
    tracing::warn!("a guest's request to {} failed: {error}", url.authority);
    match error {
        TransportError::Prohibited(_) => Error::DestinationIpProhibited,
        TransportError::TimedOut(..) => Error::ConnectionTimeout,
        TransportError::Tls(_) => Error::TlsProtocolError,
        TransportError::NoRoots => Error::ConfigurationError,
        TransportError::Tcp(_, error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Error::ConnectionRefused
        }
        TransportError::Tcp(_, error) if error.kind() == io::ErrorKind::TimedOut => {
            Error::ConnectionTimeout
        }
        _ => Error::DestinationUnavailable,
    }
}
