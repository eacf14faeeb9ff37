//! The socket as hyper sees it: it carries only requests that hyper cannot get wrong.
//!
//! hyper frames messages: it keeps connections open, discards bodies and writes responses. Its parsing of
//! heads is not good enough for a takeover, where every byte counts. It drops fragments of targets, joins
//! repeated lengths, ignores `Host`, answers a malformed head with an empty body or not at all, and
//! reads ahead. So this reader reads the heads itself, and passes on a stand-in: the method, and
//! how long the body is. The request itself bypasses hyper and goes to the service.
//!
//! Three things follow:
//!
//! - A refused head becomes a request like any other, and the service answers it. So every
//!   refusal has a text, and hyper writes it.
//! - hyper never holds a byte after a head. Residual bytes at a takeover are in the reader.
//! - No head is passed on while output is unsent. Otherwise a takeover or a close could cut short a response
//!   that hyper still holds, as when a client has pipelined its next request after that for a big page.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use wasocket_host_core::http1::{BodyLength, Framing, Head, Refusal, Refused, Request};

use crate::http::h1::stand_in::stand_in;
use crate::http::owners::{Owner, Ownership};
use crate::http::settings::HttpSettings;
use crate::net::stream::Stream;
use crate::net::stream::accepted::Accepted;
use crate::net::stream::progress::Progress;
use crate::session::read_buffer::ReadBuffer;

/// The result of reading a head.
pub(crate) type Outcome = Result<(Request, Framing), Refused>;

/// The request whose stand-in was passed to hyper, until the service takes it.
pub(crate) type Arrived = Cell<Option<Outcome>>;

/// The preface of an HTTP/2 client with prior knowledge (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket whose request heads are read here.
pub(crate) struct HeadReader {
    settings: HttpSettings,
    read_buffer: Rc<ReadBuffer>,
    stream: Accepted,
    arrived: Rc<Arrived>,
    /// Bytes received and not yet passed on. Holds no memory while it is empty.
    buffer: BytesMut,
    /// The rest of a stand-in that hyper has not read yet.
    stand_in: BytesMut,
    next: Next,
    /// When the head must be complete, or begun if the connection is idle; `None` while no head is awaited.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Whether there has been a request, and whether the next one has not begun.
    is_reused: bool,
    is_idle: bool,
    /// Whether hyper has output that is not flushed, and whether a head waits for the flush.
    unsent: bool,
    awaits_flush: bool,
    progress: Progress,
    protocol: Protocol,
    ownership: Option<Ownership>,
    /// The owner of the request that has arrived, if it is another worker. hyper sees end of stream instead.
    owner: Option<Owner>,
}

/// The protocol that the client speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
    /// The bytes so far could be either.
    Unknown,
}

/// The part of the stream after the stand-in.
enum Next {
    Head(Head),
    /// This number of body bytes; `u64::MAX` means all bytes up to the end.
    Body(u64),
}

impl HeadReader {
    /// `send_timeout` is how long the client may acknowledge nothing of a response.
    pub(crate) fn new(
        settings: HttpSettings,
        send_timeout: Duration,
        read_buffer: &Rc<ReadBuffer>,
        stream: Accepted,
        arrived: Rc<Arrived>,
    ) -> Self {
        Self {
            progress: Progress::new(send_timeout),
            // RFC 9113 §3.3: over TLS, only ALPN selects HTTP/2.
            protocol: if settings.http2 && !stream.is_tls() {
                Protocol::Unknown
            } else {
                Protocol::Http1
            },
            next: Next::Head(Head::within(settings.max_head)),
            settings,
            read_buffer: Rc::clone(read_buffer),
            stream,
            arrived,
            buffer: BytesMut::new(),
            stand_in: BytesMut::new(),
            deadline: None,
            is_reused: false,
            is_idle: false,
            unsent: false,
            awaits_flush: false,
            ownership: None,
            owner: None,
        }
    }

    /// Has requests that another worker owns go there.
    pub(crate) fn owning(self, ownership: Option<Ownership>) -> Self {
        Self { ownership, ..self }
    }

    /// Continues where another worker's reader has stopped: with this request, and the bytes received after its head.
    pub(crate) fn resume(&mut self, request: Request, framing: Framing, residual: BytesMut) {
        self.protocol = Protocol::Http1;
        self.buffer = residual;
        self.pass(request, framing);
    }

    /// The worker to continue with the request that has arrived, if it is another one. Nothing of its body has been read,
    /// and nothing is unsent.
    pub(crate) fn take_owner(&mut self) -> Option<Owner> {
        self.owner.take()
    }

    /// Returns the socket, and the bytes received after the last head.
    pub(crate) fn into_parts(self) -> (Accepted, BytesMut) {
        (self.stream, self.buffer)
    }

    /// Whether hyper has not been able to write all of a response.
    pub(crate) fn has_unsent(&self) -> bool {
        self.unsent
    }

    /// Whether the socket speaks HTTP/2. If so, none of its bytes have been consumed, and hyper has seen end of stream.
    pub(crate) fn is_http2(&self) -> bool {
        self.protocol == Protocol::Http2
    }

    /// Recognises HTTP/2 by its preface.
    fn detect_protocol(&mut self) {
        if self.protocol != Protocol::Unknown {
            return;
        }
        if self.buffer.starts_with(PREFACE) {
            self.protocol = Protocol::Http2;
        } else if !PREFACE.starts_with(&self.buffer) {
            self.protocol = Protocol::Http1;
        }
    }

    /// Waits for a complete head, or a fault in it. Returns `None` if the stream or the client's time ends
    /// before a head has begun, or if the client speaks HTTP/2.
    fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        head: &mut Head,
    ) -> Poll<io::Result<Option<Outcome>>> {
        loop {
            self.detect_protocol();
            match self.protocol {
                Protocol::Http1 => {
                    if let Some(outcome) = head.read(&mut self.buffer).transpose() {
                        return Poll::Ready(Ok(Some(outcome)));
                    }
                }
                Protocol::Http2 => return Poll::Ready(Ok(None)),
                Protocol::Unknown => {}
            }
            let received = self.poll_receive(context)?;
            let has_begun = head.has_begun() || !self.buffer.is_empty();
            let refusal = match received {
                Poll::Ready(0) => Refusal::INCOMPLETE,
                Poll::Ready(_) => continue,
                Poll::Pending if self.is_late(context, has_begun) => Refusal::TIMEOUT,
                Poll::Pending => return Poll::Pending,
            };
            // RFC 9112 §9.5: an idle connection may be closed at any time. A 408 could be mistaken for
            // the response to a request that crosses it on the way.
            return Poll::Ready(Ok(has_begun.then(|| Err(refusal.into()))));
        }
    }

    fn is_late(&mut self, context: &mut Context<'_>, has_begun: bool) -> bool {
        let is_idle = self.is_reused && !has_begun;
        if is_idle != self.is_idle {
            self.is_idle = is_idle;
            self.deadline = None;
        }
        let limit = if is_idle {
            self.settings.keep_alive_timeout
        } else {
            self.settings.head_timeout
        };
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
        deadline.as_mut().poll(context).is_ready()
    }

    /// Passes a request on, or keeps it for its owner.
    fn arrive(&mut self, request: Request, framing: Framing) {
        let ownership = self.ownership.as_ref();
        self.owner = ownership.and_then(|ownership| ownership.elsewhere(&request.target));
        if self.owner.is_some() {
            self.arrived.set(Some(Ok((request, framing))));
        } else {
            self.pass(request, framing);
        }
    }

    fn pass(&mut self, request: Request, framing: Framing) {
        self.deadline = None;
        self.is_reused = true;
        self.stand_in
            .extend_from_slice(stand_in(&request, framing).as_bytes());
        self.next = match framing.body {
            BodyLength::Known(0) => Next::Head(Head::within(self.settings.max_head)),
            BodyLength::Known(length) => Next::Body(length),
            // Only hyper sees where the chunks end, so no head is read after them.
            BodyLength::Chunked => Next::Body(u64::MAX),
        };
        self.arrived.set(Some(Ok((request, framing))));
    }

    fn refuse(&mut self, head: &Head, refused: Refused) {
        // hyper needs the method, as the response to HEAD has no body.
        let method = head.method().unwrap_or("GET");
        let stand_in = format!("{method} / HTTP/1.1\r\nConnection: close\r\n\r\n");
        self.stand_in.extend_from_slice(stand_in.as_bytes());
        self.next = Next::Body(u64::MAX);
        self.arrived.set(Some(Err(refused)));
    }

    /// Receives into the buffer. Returns the number of bytes; 0 means end of stream.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = self.read_buffer.take();
        let mut space = ReadBuf::new(&mut buffer);
        let read = Pin::new(&mut self.stream).poll_read(context, &mut space);
        let filled = space.filled();
        self.buffer.extend_from_slice(filled);
        let length = filled.len();
        self.read_buffer.put_back(buffer);
        read.map_ok(|()| length)
    }

    /// Counts what was written of a response, or gives up a client that takes nothing of it.
    fn written(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let Self {
            stream, progress, ..
        } = self;
        let length = ready!(progress.check(context, || stream.unacknowledged(), written))?;
        progress.wrote(length);
        Poll::Ready(Ok(length))
    }

    /// Passes on the available bytes of a body.
    fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        length: u64,
        to: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            ready!(self.poll_receive(context))?;
        }
        let limit = usize::try_from(length).unwrap_or(usize::MAX);
        let passed = put(&mut self.buffer, limit, to);
        self.next = match length.saturating_sub(passed) {
            0 => Next::Head(Head::within(self.settings.max_head)),
            left => Next::Body(left),
        };
        Poll::Ready(Ok(()))
    }
}

/// Moves at most `limit` bytes to hyper's buffer. Returns how many.
fn put(from: &mut BytesMut, limit: usize, to: &mut ReadBufCursor<'_>) -> u64 {
    let length = from.len().min(limit).min(to.remaining());
    to.put_slice(&from.split_to(length));
    if from.is_empty() {
        *from = BytesMut::new();
    }
    length as u64
}

impl Read for HeadReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut to: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let reader = &mut *self;
        if reader.owner.is_some() {
            return Poll::Ready(Ok(()));
        }
        if reader.stand_in.is_empty() {
            match &mut reader.next {
                Next::Body(length) => {
                    let length = *length;
                    return reader.poll_body(context, length, &mut to);
                }
                Next::Head(_) if reader.unsent => {
                    reader.awaits_flush = true;
                    return Poll::Pending;
                }
                Next::Head(head) => {
                    let mut head = mem::take(head);
                    match reader.poll_head(context, &mut head)? {
                        Poll::Ready(Some(Ok((request, framing)))) => {
                            reader.arrive(request, framing)
                        }
                        Poll::Ready(Some(Err(refused))) => reader.refuse(&head, refused),
                        Poll::Ready(None) => {}
                        Poll::Pending => {
                            reader.next = Next::Head(head);
                            return Poll::Pending;
                        }
                    }
                }
            }
        }
        put(&mut reader.stand_in, usize::MAX, &mut to);
        Poll::Ready(Ok(()))
    }
}

impl Write for HeadReader {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let reader = &mut *self;
        reader.unsent = true;
        let written = Pin::new(&mut reader.stream).poll_write(context, bytes);
        reader.written(context, written)
    }

    /// Called by hyper after it has written the last byte of its buffer.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let reader = &mut *self;
        let flushed = Pin::new(&mut reader.stream).poll_flush(context);
        ready!(
            reader
                .progress
                .check(context, || reader.stream.unacknowledged(), flushed)
        )?;
        self.unsent = false;
        if mem::take(&mut self.awaits_flush) {
            context.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    /// Called by hyper when everything is sent. The socket stays open, as hyper does not own it.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let reader = &mut *self;
        reader.unsent = true;
        let written = Pin::new(&mut reader.stream).poll_write_vectored(context, bytes);
        reader.written(context, written)
    }
}
