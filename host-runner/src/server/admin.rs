//! The admin endpoint: metrics and health, for the operator.
//!
//! Heads are read as on the public listeners. Its address should be one that only the operator can reach.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, spawn_local};

use crate::http::h1::head_reader::{Arrived, HeadReader};
use crate::http::settings::HttpSettings;
use crate::http::worker::http1_builder;
use crate::net::stream::accepted::Accepted;
use crate::net::stream::closing;
use crate::process::shared::Shared;
use crate::session::read_buffer::ReadBuffer;

/// The most connections.
const MAX_CONNECTIONS: usize = 32;

/// The content type that Prometheus expects.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves the admin endpoint on this address until the process ends, even while connections are being shut down. Must be
/// called within a tokio runtime. `send_timeout`: how long a client may acknowledge nothing of a
/// response.
///
/// # Errors
///
/// If the address cannot be listened on.
pub(crate) fn start(
    address: &str,
    settings: HttpSettings,
    send_timeout: Duration,
    shared: &Arc<Shared>,
) -> Result<SocketAddr, AdminError> {
    let failed = |error| AdminError {
        address: address.to_owned(),
        error,
    };
    let listener = listen(address).map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    let endpoint = Endpoint {
        // The operator's connections are few, so HTTP/1.1 is enough.
        settings: HttpSettings {
            http2: false,
            ..settings
        },
        send_timeout,
        read_buffer: Rc::default(),
        http1: http1_builder(),
        shared: Arc::clone(shared),
    };
    spawn_local(accept(listener, Rc::new(endpoint)));
    Ok(local)
}

fn listen(address: &str) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// State shared by the operator's connections.
struct Endpoint {
    settings: HttpSettings,
    send_timeout: Duration,
    read_buffer: Rc<ReadBuffer>,
    http1: http1::Builder,
    shared: Arc<Shared>,
}

async fn accept(listener: TcpListener, endpoint: Rc<Endpoint>) {
    let mut tasks = JoinSet::new();
    loop {
        while tasks.len() >= MAX_CONNECTIONS {
            let _ = tasks.join_next().await;
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tasks.spawn_local(serve(Rc::clone(&endpoint), stream))),
                Err(error) => crate::server::accept::recover(&error).await,
            },
            Some(_) = tasks.join_next() => {}
        }
    }
}

async fn serve(endpoint: Rc<Endpoint>, stream: TcpStream) {
    let admin = Admin {
        shared: Arc::clone(&endpoint.shared),
        arrived: Rc::default(),
    };
    let reader = HeadReader::new(
        endpoint.settings,
        endpoint.send_timeout,
        &endpoint.read_buffer,
        Accepted::Tcp(stream),
        Rc::clone(&admin.arrived),
    );
    let mut connection = endpoint.http1.serve_connection(reader, admin);
    // The client sees the failure.
    let _ = (&mut connection).await;
    let (stream, _) = connection.into_parts().io.into_parts();
    let _ = closing::close(stream, endpoint.send_timeout).await;
}

struct Admin {
    shared: Arc<Shared>,
    arrived: Rc<Arrived>,
}

type Answer = (StatusCode, &'static str, String);

impl Service<http::Request<Incoming>> for Admin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, _: http::Request<Incoming>) -> Self::Future {
        let (status, kind, text) = self.answer();
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static(kind);
        response.headers_mut().insert(CONTENT_TYPE, kind);
        ready(Ok(response))
    }
}

impl Admin {
    fn answer(&self) -> Answer {
        match self.arrived.take() {
            Some(Ok((request, _))) if !matches!(&*request.method, "GET" | "HEAD") => {
                plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is supported here")
            }
            Some(Ok((request, _))) => self.page(&request.target),
            Some(Err(refused)) => {
                let status = StatusCode::from_u16(refused.refusal.status);
                let reason = refused.refusal.reason;
                plain(status.unwrap_or(StatusCode::BAD_REQUEST), reason)
            }
            None => plain(StatusCode::INTERNAL_SERVER_ERROR, "no request has arrived"),
        }
    }

    fn page(&self, target: &str) -> Answer {
        match target.split('?').next().unwrap_or_default() {
            "/metrics" => (StatusCode::OK, METRICS, self.shared.metrics_text()),
            "/healthz" => match self.shared.heartbeats.hanging() {
                Some(worker) => {
                    let text = format!("worker {worker} hangs");
                    plain(StatusCode::SERVICE_UNAVAILABLE, &text)
                }
                None => plain(StatusCode::OK, "alive"),
            },
            "/readyz" => match self.shared.unreadiness() {
                Some(reason) => plain(StatusCode::SERVICE_UNAVAILABLE, reason),
                None => plain(StatusCode::OK, self.shared.readiness()),
            },
            _ => plain(StatusCode::NOT_FOUND, "see /metrics, /healthz and /readyz"),
        }
    }
}

fn plain(status: StatusCode, text: &str) -> Answer {
    (status, "text/plain", format!("{text}\n"))
}

/// Why the admin address cannot be listened on.
#[derive(Debug)]
pub struct AdminError {
    address: String,
    error: io::Error,
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, error } = self;
        write!(
            f,
            "cannot listen on {address}: {error}: choose another with --admin"
        )
    }
}

impl std::error::Error for AdminError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
