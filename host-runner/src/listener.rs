//! The listening socket.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::select;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::takeover;
use crate::worker::Worker;

/// How many connections the system may keep waiting to be accepted.
const BACKLOG: i32 = 1024;

/// The pause after a failure to accept that concerns the whole process, such as too many open files:
/// the connection that caused it still waits, so trying again at once would spin.
const PAUSE: Duration = Duration::from_millis(100);

/// Listens on an address such as `127.0.0.1:1234` or `localhost:0`. Within a tokio runtime only.
///
/// # Errors
///
/// When none of the addresses that the name stands for can be listened on.
pub fn bind(address: &str) -> Result<TcpListener, ListenError> {
    let failed = |error| ListenError {
        address: address.to_owned(),
        error,
    };
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for candidate in address.to_socket_addrs().map_err(failed)? {
        match bind_one(candidate) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // So that a restart need not wait for the connections of the last run to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections and serves each in a task of its own, for ever.
pub async fn accept(listener: &TcpListener, worker: &Rc<Worker>, tasks: &mut JoinSet<()>) {
    loop {
        select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, remote)) => {
                    // Every write is a whole answer; there is nothing to wait for. If it fails, the
                    // connection is broken, and reading says so.
                    let _ = stream.set_nodelay(true);
                    tasks.spawn_local(takeover::serve(Rc::clone(worker), stream, remote));
                }
                Err(error) => recover(&error).await,
            },
            Some(ended) = tasks.join_next() => report(ended),
        }
    }
}

/// Waits for all connections to end.
pub async fn drain(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!("a bug in the runner cost a connection: {error}");
    }
}

async fn recover(error: &io::Error) {
    match error.kind() {
        // The client was faster to leave than we to accept.
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted => {}
        _ => {
            tracing::warn!("cannot accept connections for now: {error}");
            sleep(PAUSE).await;
        }
    }
}

/// Why an address cannot be listened on.
#[derive(Debug)]
pub struct ListenError {
    address: String,
    error: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        match self.error.kind() {
            ErrorKind::AddrInUse => write!(
                f,
                "{address} is in use: stop the other program or choose another with --listen"
            ),
            ErrorKind::PermissionDenied => write!(
                f,
                "listening on {address} is not permitted: choose a port above 1023 with --listen"
            ),
            ErrorKind::AddrNotAvailable => write!(
                f,
                "{address} is not an address of this machine: choose another with --listen"
            ),
            _ => write!(f, "cannot listen on {address}: {}", self.error),
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
