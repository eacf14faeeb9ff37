//! HTTP/2 (RFC 9113), with WebSockets on its streams (RFC 8441).
//!
//! The crate `h2` does the protocol: frames, flow control, and limits on the state that a client can make it keep. Each
//! stream is an exchange in a task of its own; the guest is asked as in HTTP/1.1. An extended CONNECT
//! that the guest takes over becomes a [`Tunnel`](crate::net::stream::h2_stream::Tunnel), which a session uses like any
//! other socket.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use h2::server::{self, Builder, SendResponse};
use h2::{Reason, RecvStream};
use tokio::select;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use wasocket_host_core::http1::Refusal;
use wasocket_host_core::http1::limits::FLUSH_TIMEOUT;

use crate::http::exchange::{count_refused_head, log_closed};
use crate::http::h2::flood_guard::{FloodGuard, Reports};
use crate::http::h2::incoming::{Carrier, End, Incoming};
use crate::http::h2::stream;
use crate::http::worker::Worker;
use crate::net::peer::Peer;
use crate::net::stream::accepted::Accepted;
use crate::net::stream::h2_stream::{self, Frame, io_error};
use crate::net::stream::rewind::Rewind;
use crate::net::stream::wire::Wire;

/// The most streams of one connection at once; browsers expect at least 100 (RFC 9113 §6.5.2).
const MAX_STREAMS: u32 = 100;

/// The most unread bytes of a stream: HTTP/2's initial window.
const STREAM_WINDOW: u32 = 65_535;

/// The most unread bytes of all streams together, so that a stream that is not read does not block the others.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;

/// How many more streams the client may waste than it lets us answer: by resetting them (CVE-2023-44487), or by sending
/// requests that its address may not.
const MAX_WASTED: usize = 100;

/// The most streams that the client may have reset before they are accepted here; `h2` counts these.
const MAX_ABANDONED_AT_ONCE: usize = 20;

/// The most streams that the client may make us reset by breaking the protocol (CVE-2025-8671).
const MAX_FAULTS: usize = 100;

/// Our first SETTINGS, and the limits on the client.
fn settings(max_head: usize) -> Builder {
    let mut settings = Builder::new();
    settings
        // RFC 8441 §3.
        .enable_connect_protocol()
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // Larger heads get 431. This also limits CONTINUATION frames.
        .max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX))
        .max_send_buffer_size(h2_stream::MAX_FRAME)
        .max_pending_accept_reset_streams(MAX_ABANDONED_AT_ONCE)
        .max_local_error_reset_streams(Some(MAX_FAULTS));
    settings
}

/// Serves an HTTP/2 connection to its end. `begun` are the bytes already received.
///
/// # Errors
///
/// If the connection does not end cleanly.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    stream: Accepted,
    begun: BytesMut,
    peer: Peer,
) -> io::Result<()> {
    let reports = Rc::<Reports>::default();
    let stream = Rewind::new(stream, begun);
    let wire = stream.wire();
    let guard = FloodGuard::new(stream, Rc::clone(&reports));
    let handshake = settings(worker.settings.max_head).handshake(guard);
    let http2 = select! {
        begun = timeout(worker.settings.head_timeout, handshake) => begun
            .map_err(|_| timed_out("the client did not complete the preface"))?
            .map_err(io_error)?,
        () = worker.stopping.wait() => return Err(io::Error::other("the runner is stopping")),
    };
    let mut connection = Connection {
        worker: Rc::clone(worker),
        peer,
        wire,
        http2,
        streams: JoinSet::new(),
        wasted: 0,
        carrier: Carrier::default(),
        reports,
    };
    let outcome = connection.serve().await;
    connection.finish_streams().await;
    outcome
}

/// A connection and the tasks of its streams.
struct Connection {
    worker: Rc<Worker>,
    peer: Peer,
    wire: Wire,
    http2: server::Connection<FloodGuard, Frame>,
    streams: JoinSet<End>,
    wasted: usize,
    carrier: Carrier,
    reports: Rc<Reports>,
}

impl Connection {
    /// Serves until the connection is closed. After the head timeout without a first stream, the keep-alive timeout without
    /// another, or when the runner stops, it sends
    /// GOAWAY (RFC 9113 §6.8): the connection then ends with the last stream that the client has begun.
    async fn serve(&mut self) -> io::Result<()> {
        let mut stopping = pin!(self.worker.ending());
        let mut idle = pin!(sleep(self.worker.settings.head_timeout));
        let mut leaving = false;
        loop {
            select! {
                accepted = self.http2.accept() => match accepted {
                    Some(Ok((request, respond))) => self.begin(request, respond),
                    Some(Err(error)) => return Err(io_error(error)),
                    None => return Ok(()),
                },
                Some(ended) = self.streams.join_next() => self.count_wasted(ended),
                () = self.reports.refused.notified() => self.count_refused(),
                () = self.reports.exceeded.notified() => return Err(self.disconnect(NO_OP_FRAMES).await),
                () = &mut idle, if self.streams.is_empty() => {
                    if leaving {
                        return Err(timed_out("the client did not close the connection"));
                    }
                    leaving = true;
                }
                () = &mut stopping, if !leaving => leaving = true,
            }
            if self.wasted > MAX_WASTED {
                return Err(self.disconnect(WASTED).await);
            }
            if leaving {
                // Has no effect after the first time.
                self.http2.graceful_shutdown();
            }
            idle.as_mut()
                .reset(Instant::now() + self.idle_timeout(leaving));
        }
    }

    /// Serves a stream here, or has the worker serve it that owns the key of its request.
    fn begin(&mut self, request: http::Request<RecvStream>, respond: SendResponse<Frame>) {
        self.reports.accepted(respond.stream_id().as_u32());
        let owner = self.worker.elsewhere(request.uri().path());
        let incoming = Incoming {
            peer: self.peer,
            wire: self.wire.clone(),
            carrier: self.carrier.clone(),
            request,
            respond,
        };
        match owner {
            None => {
                let worker = Rc::clone(&self.worker);
                self.streams.spawn_local(stream::serve(worker, incoming));
            }
            Some(owner) => {
                self.worker.metrics.streams_moved.count();
                self.streams.spawn_local(stream::move_to(owner, incoming));
            }
        }
    }

    /// Counts the heads that `h2` has answered with 431, like those that are refused here.
    fn count_refused(&mut self) {
        let limit = format!("more than {} bytes", self.worker.settings.max_head);
        let refused = Refusal::new(431, "the request head is too large").with(limit);
        for _ in 0..self.reports.take_refused() {
            if !count_refused_head(&self.worker, self.peer, &refused) {
                self.wasted = self.wasted.saturating_add(1);
            }
        }
    }

    /// Counts how many more streams the client has wasted than it has let us answer.
    fn count_wasted(&mut self, ended: Result<End, JoinError>) {
        self.wasted = match ended {
            Ok(End::Abandoned | End::Denied) => self.wasted.saturating_add(1),
            Ok(End::Over) => self.wasted.saturating_sub(1),
            Err(error) => return tracing::error!("stream lost to a bug in the runner: {error}"),
        };
    }

    /// How long the connection may have no stream; after GOAWAY, how long the client may take to close it.
    fn idle_timeout(&self, leaving: bool) -> Duration {
        if leaving {
            FLUSH_TIMEOUT
        } else {
            self.worker.settings.keep_alive_timeout
        }
    }

    /// Ends the connection and its streams. A client that does not read the GOAWAY in time is cut off.
    async fn disconnect(&mut self, reason: &'static str) -> io::Error {
        self.worker.metrics.floods.count();
        self.http2.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        let flushed = async { while let Some(Ok(_)) = self.http2.accept().await {} };
        let _ = timeout(FLUSH_TIMEOUT, flushed).await;
        let error = io::Error::other(format!("HTTP/2: excessive load: {reason}"));
        log_closed(&self.worker, self.peer, &error);
        error
    }

    /// Waits for the remaining streams, which notice that the connection is gone.
    async fn finish_streams(self) {
        let Self {
            http2, mut streams, ..
        } = self;
        drop(http2);
        while streams.join_next().await.is_some() {}
    }
}

/// Why a client is disconnected.
const WASTED: &str = "the client keeps resetting requests, or sends too many";
const NO_OP_FRAMES: &str = "the client sent too many no-op frames";

fn timed_out(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("HTTP/2: {text}"))
}
