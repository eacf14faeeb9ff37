//! For the operator: what the runner counts, and whether it is well.
//!
//! The same gate reads the heads as for everybody. The address should be one that only the operator reaches.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, spawn_local};

use crate::http::h1::head_reader::{Arrived, Gate};
use crate::http::worker::Worker;
use crate::net::stream::accepted::Accepted;
use crate::net::stream::socket;

/// How many may ask at once.
const MAX_CONNECTIONS: usize = 32;

/// What Prometheus expects.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers on this address until the process ends: also while connections are asked to end. Within a tokio
/// runtime only. The worker is the operator's own, whatever the others are busy with.
///
/// # Errors
///
/// When the address cannot be listened on.
pub(crate) fn start(address: &str, worker: Worker) -> Result<SocketAddr, AdminError> {
    let failed = |error| AdminError {
        address: address.to_owned(),
        error,
    };
    let listener = listen(address).map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    spawn_local(accept(listener, Rc::new(worker)));
    Ok(local)
}

fn listen(address: &str) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

async fn accept(listener: TcpListener, worker: Rc<Worker>) {
    let mut tasks = JoinSet::new();
    loop {
        while tasks.len() >= MAX_CONNECTIONS {
            let _ = tasks.join_next().await;
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tasks.spawn_local(serve(Rc::clone(&worker), stream))),
                Err(error) => crate::server::accept::recover(&error).await,
            },
            Some(_) = tasks.join_next() => {}
        }
    }
}

async fn serve(worker: Rc<Worker>, stream: TcpStream) {
    let admin = Admin {
        worker: Rc::clone(&worker),
        arrived: Rc::default(),
    };
    let gate = Gate::new(
        Rc::clone(&worker),
        Accepted::Tcp(stream),
        Rc::clone(&admin.arrived),
    );
    let mut connection = worker.http.serve_connection(gate, admin);
    // Who asks sees what has failed.
    let _ = (&mut connection).await;
    let (stream, _) = connection.into_parts().io.into_parts();
    let _ = socket::close(stream).await;
}

struct Admin {
    worker: Rc<Worker>,
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
                plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here")
            }
            Some(Ok((request, _))) => self.page(&request.target),
            Some(Err(refusal)) => {
                let status = StatusCode::from_u16(refusal.status);
                plain(status.unwrap_or(StatusCode::BAD_REQUEST), refusal.reason)
            }
            None => plain(StatusCode::INTERNAL_SERVER_ERROR, "no request has arrived"),
        }
    }

    fn page(&self, target: &str) -> Answer {
        match target.split('?').next().unwrap_or_default() {
            "/metrics" => (StatusCode::OK, METRICS, self.worker.shared.metrics_text()),
            "/healthz" => plain(StatusCode::OK, "alive"),
            "/readyz" => match self.worker.shared.unreadiness() {
                Some(reason) => plain(StatusCode::SERVICE_UNAVAILABLE, reason),
                None => plain(StatusCode::OK, "ready"),
            },
            _ => plain(
                StatusCode::NOT_FOUND,
                "here are /metrics, /healthz and /readyz",
            ),
        }
    }
}

fn plain(status: StatusCode, text: &str) -> Answer {
    (status, "text/plain", format!("{text}\n"))
}

/// Why the operator's address cannot be listened on.
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
