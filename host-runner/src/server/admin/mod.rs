//! The admin endpoint, for the operator: metrics and health for all who reach it, topics for those who may.
//!
//! Heads are read as on the public listeners. Its address should be one that only the operator can reach.

pub mod access;
mod component;
mod members;
mod pages;
mod topics;

pub use access::Token;

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use tokio::task::{JoinSet, spawn_local};

use crate::http::h1::head_reader::{Arrived, HeadReader};
use crate::http::settings::HttpSettings;
use crate::http::worker::http1_builder;
use crate::net::inherited::Inheritance;
use crate::net::listen::{self, Bound, Listen, ListenError, Listener, SocketFile, UnixAccess};
use crate::net::stream::accepted::Accepted;
use crate::net::stream::closing;
use crate::process::shared::Shared;
use crate::server::versions::swap::Swaps;
use crate::session::read_buffer::ReadBuffer;
use access::Access;
use members::MemberLists;
use pages::Pages;

/// The most connections.
const MAX_CONNECTIONS: usize = 32;

/// Where the admin endpoint is, and who may use it.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// An address, or a Unix socket.
    pub listen: Listen,
    /// What a request about topics must carry. `None`: nothing on loopback and on a Unix socket; elsewhere there are no
    /// topics.
    pub token: Option<Token>,
}

/// Listens where the admin endpoint is to be.
///
/// # Errors
///
/// If the address cannot be listened on.
pub(crate) fn bind(
    settings: &AdminSettings,
    unix: &UnixAccess,
    inherited: &mut Inheritance,
) -> Result<Vec<Bound>, AdminError> {
    let place = std::slice::from_ref(&settings.listen);
    listen::bind(place, unix, 1, inherited).map_err(AdminError::Listen)
}

/// Serves the admin endpoint until the process ends, even while connections are being shut down. Must be called within a
/// tokio runtime. `send_timeout`: how long a client may acknowledge nothing of a response. Returns where it is, and the
/// file of its Unix socket, which must be kept.
///
/// # Errors
///
/// If the system refuses.
pub(crate) fn start(
    settings: &AdminSettings,
    http: HttpSettings,
    send_timeout: Duration,
    shared: &Arc<Shared>,
    swaps: Swaps,
    places: Vec<Bound>,
) -> Result<(String, Vec<SocketFile>), AdminError> {
    let addresses: Vec<_> = places.iter().filter_map(|place| place.address()).collect();
    let shown: Vec<_> = places.iter().map(metrics_url).collect();
    let (sockets, files) = listen::distribute(places, 1);
    let listener = sockets.into_iter().flatten().next();
    let listener = listener.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
    let listener = listener.and_then(Listener::try_from);
    let listener = listener.map_err(AdminError::System)?;
    let (members, inbox) = MemberLists::attached_to(&shared.bus);
    spawn_local(Rc::clone(&members).receive(inbox));
    let endpoint = Endpoint {
        // The operator's connections are few, so HTTP/1.1 is enough.
        http: HttpSettings {
            http2: false,
            ..http
        },
        send_timeout,
        read_buffer: Rc::default(),
        http1: http1_builder(),
        pages: Rc::new(Pages {
            shared: Arc::clone(shared),
            access: Access::new(settings.token.clone(), &addresses),
            members,
            swaps,
        }),
    };
    spawn_local(accept(listener, Rc::new(endpoint)));
    Ok((shown.concat(), files))
}

/// Where the metrics are, to be shown.
fn metrics_url(place: &Bound) -> String {
    let own = place.place(false);
    match place.address() {
        Some(_) => format!("{own}metrics"),
        None => format!("{own}, path /metrics"),
    }
}

/// State shared by the operator's connections.
struct Endpoint {
    http: HttpSettings,
    send_timeout: Duration,
    read_buffer: Rc<ReadBuffer>,
    http1: http1::Builder,
    pages: Rc<Pages>,
}

async fn accept(listener: Listener, endpoint: Rc<Endpoint>) {
    let mut tasks = JoinSet::new();
    loop {
        while tasks.len() >= MAX_CONNECTIONS {
            let _ = tasks.join_next().await;
        }
        let relieved = &endpoint.pages.shared.relieved;
        let accepted = async {
            relieved.wait_until_cleared().await;
            poll_fn(|context| listener.poll_accept(context)).await
        };
        tokio::select! {
            () = relieved.wait(), if !relieved.is_set() => {}
            accepted = accepted => match accepted {
                Ok((stream, _)) => drop(tasks.spawn_local(serve(Rc::clone(&endpoint), stream))),
                Err(error) => crate::server::accept::recover(&error).await,
            },
            Some(_) = tasks.join_next() => {}
        }
    }
}

async fn serve(endpoint: Rc<Endpoint>, stream: Accepted) {
    let admin = Admin {
        pages: Rc::clone(&endpoint.pages),
        arrived: Rc::default(),
    };
    let reader = HeadReader::new(
        endpoint.http,
        endpoint.send_timeout,
        &endpoint.read_buffer,
        stream,
        Rc::clone(&admin.arrived),
    );
    let mut connection = endpoint.http1.serve_connection(reader, admin);
    // The client sees the failure.
    let _ = (&mut connection).await;
    let (stream, _) = connection.into_parts().io.into_parts();
    let _ = closing::close(stream, endpoint.send_timeout).await;
}

/// Answers the requests of one connection.
struct Admin {
    pages: Rc<Pages>,
    arrived: Rc<Arrived>,
}

impl Service<http::Request<Incoming>> for Admin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let arrived = self.arrived.take();
        let pages = Rc::clone(&self.pages);
        Box::pin(async move {
            let answer = pages.answer(arrived, request.into_body()).await;
            Ok(answer.into())
        })
    }
}

/// Why the admin address cannot be listened on.
#[derive(Debug)]
pub enum AdminError {
    /// The address cannot be had.
    Listen(ListenError),
    /// Another system call failed.
    System(io::Error),
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => write!(
                f,
                "cannot listen on {}: {}: choose another with --admin",
                error.place(),
                error.cause()
            ),
            Self::System(error) => write!(f, "cannot serve the admin endpoint: {error}"),
        }
    }
}

impl std::error::Error for AdminError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen(error) => Some(error),
            Self::System(error) => Some(error),
        }
    }
}
