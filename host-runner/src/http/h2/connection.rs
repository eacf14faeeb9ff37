//! HTTP/2 (RFC 9113), with WebSockets on its streams (RFC 8441).
//!
//! The crate `h2` speaks it: frames, flow control, and the bounds on what a client may have it keep. Each
//! stream is an exchange in a task of its own; the guest is asked as it is in HTTP/1.1. An extended CONNECT
//! that it takes over becomes a [`Tunnel`](crate::net::stream::h2_stream::Tunnel), which is a socket like others to a session.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use h2::server::{self, Builder, SendResponse};
use h2::{Reason, RecvStream};
use tokio::select;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use wasocket_host_core::http1::limits::FLUSH_TIMEOUT;

use crate::http::h2::flood_guard::FloodGuard;
use crate::http::h2::stream::{self, End};
use crate::http::worker::Worker;
use crate::net::peer::Peer;
use crate::net::stream::accepted::Accepted;
use crate::net::stream::h2_stream::{self, Frame, io_error};
use crate::net::stream::rewind::Rewind;

/// The most streams of one connection at once; browsers expect at least 100 (RFC 9113 §6.5.2).
const MAX_STREAMS: u32 = 100;

/// The most bytes of a stream that wait to be read: as much as HTTP/2 begins with.
const STREAM_WINDOW: u32 = 65_535;

/// Of all streams together: a stream that is not read does not hold the others up.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;

/// The most streams of which the client may have reset more than it has let be answered (CVE-2023-44487);
/// what comes and goes in one piece is counted by `h2`, before it is asked about.
const MAX_ABANDONED: usize = 100;
const MAX_ABANDONED_AT_ONCE: usize = 20;

/// The most streams that the client may have us reset, by what it must not send (CVE-2025-8671).
const MAX_FAULTS: usize = 100;

/// What is said in our first SETTINGS, and what is borne.
fn settings(max_head: usize) -> Builder {
    let mut settings = Builder::new();
    settings
        // RFC 8441 §3.
        .enable_connect_protocol()
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // Beyond: 431. With it goes a limit on CONTINUATION frames.
        .max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX))
        .max_send_buffer_size(h2_stream::MAX_FRAME)
        .max_pending_accept_reset_streams(MAX_ABANDONED_AT_ONCE)
        .max_local_error_reset_streams(Some(MAX_FAULTS));
    settings
}

/// Serves a connection of HTTP/2, which has begun with these bytes, to its end.
///
/// # Errors
///
/// When it does not end well.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    stream: Accepted,
    begun: BytesMut,
    peer: Peer,
) -> io::Result<()> {
    let exceeded = Rc::new(Notify::new());
    let guard = FloodGuard::new(Rewind::new(stream, begun), Rc::clone(&exceeded));
    let handshake = settings(worker.settings.max_head).handshake(guard);
    let http2 = select! {
        begun = timeout(worker.settings.head_timeout, handshake) => begun
            .map_err(|_| late("the client does not begin"))?
            .map_err(io_error)?,
        () = worker.stopping.wait() => return Err(io::Error::other("the runner stops")),
    };
    let mut connection = Connection {
        worker: Rc::clone(worker),
        peer,
        http2,
        streams: JoinSet::new(),
        abandoned: 0,
        exceeded,
    };
    let outcome = connection.serve().await;
    connection.outlive().await;
    outcome
}

/// A connection, and what goes on on its streams.
struct Connection {
    worker: Rc<Worker>,
    peer: Peer,
    http2: server::Connection<FloodGuard, Frame>,
    streams: JoinSet<End>,
    abandoned: usize,
    /// Whether the client has sent too much that is of no use.
    exceeded: Rc<Notify>,
}

impl Connection {
    /// Until it is closed. When nothing goes on for as long as a head may take, or the runner stops, it ends
    /// with the last stream that the client has begun (GOAWAY, RFC 9113 §6.8).
    async fn serve(&mut self) -> io::Result<()> {
        let mut stopping = pin!(self.worker.stopping.wait());
        let mut idle = pin!(sleep(self.worker.settings.head_timeout));
        let mut leaving = false;
        loop {
            select! {
                accepted = self.http2.accept() => match accepted {
                    Some(Ok((request, respond))) => self.begin(request, respond),
                    Some(Err(error)) => return Err(io_error(error)),
                    None => return Ok(()),
                },
                Some(ended) = self.streams.join_next() => self.judge(ended),
                () = self.exceeded.notified() => return Err(self.send_away(IDLE_FRAMES).await),
                () = &mut idle, if self.streams.is_empty() => match leaving {
                    true => return Err(late("the client does not close the connection")),
                    false => leaving = true,
                },
                () = &mut stopping, if !leaving => leaving = true,
            }
            if self.abandoned > MAX_ABANDONED {
                return Err(self.send_away(RESETS).await);
            }
            if leaving {
                // Once is enough, and more does nothing.
                self.http2.graceful_shutdown();
            }
            idle.as_mut().reset(Instant::now() + self.patience(leaving));
        }
    }

    fn begin(&mut self, request: http::Request<RecvStream>, respond: SendResponse<Frame>) {
        let worker = Rc::clone(&self.worker);
        self.streams
            .spawn_local(stream::serve(worker, self.peer, request, respond));
    }

    /// Who resets more than it lets be answered only makes work.
    fn judge(&mut self, ended: Result<End, JoinError>) {
        self.abandoned = match ended {
            Ok(End::Abandoned) => self.abandoned.saturating_add(1),
            Ok(End::Over) => self.abandoned.saturating_sub(1),
            Err(error) => return tracing::error!("a bug in the runner cost a stream: {error}"),
        };
    }

    /// How long a connection may be without a stream; and when it is to end, until it is closed.
    fn patience(&self, leaving: bool) -> Duration {
        match leaving {
            true => FLUSH_TIMEOUT,
            false => self.worker.settings.head_timeout,
        }
    }

    /// Ends the connection, and all on it. Who does not even read that is cut off.
    async fn send_away(&mut self, reason: &'static str) -> io::Error {
        self.worker.metrics.floods.count();
        self.http2.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        let flushed = async { while let Some(Ok(_)) = self.http2.accept().await {} };
        let _ = timeout(FLUSH_TIMEOUT, flushed).await;
        io::Error::other(format!("HTTP/2: excessive load: {reason}"))
    }

    /// What is left of the streams learns from its stream that the connection is gone.
    async fn outlive(self) {
        let Self {
            http2, mut streams, ..
        } = self;
        drop(http2);
        while streams.join_next().await.is_some() {}
    }
}

/// Why a client is sent away.
const RESETS: &str = "the client resets its requests before they are answered";
const IDLE_FRAMES: &str = "the client sends frames that are neither requests nor data";

fn late(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("HTTP/2: {text}"))
}
