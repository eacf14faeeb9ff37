//! The socket as hyper sees it: every request is one that hyper cannot get wrong.
//!
//! hyper frames messages: it keeps connections, discards bodies, writes responses. Its reading of
//! heads does not do for a takeover, where every byte counts. It drops fragments of targets, joins
//! repeated lengths, ignores `Host`, answers a malformed head with an empty body or not at all, and
//! reads ahead. So the reader reads the heads, and passes on a head of its own making: the method, and
//! how long the body is. The request itself goes around hyper, to the service.
//!
//! Three things follow:
//!
//! - A head that is refused becomes a request like any other, and the service answers it. So all
//!   refusals have a text, and hyper writes them.
//! - hyper never holds a byte behind a head. What is residual at a takeover is the reader's.
//! - No head passes while output is unsent. Else a takeover, or a closing, could cut a response short
//!   that hyper still holds, as the client pipelined the next request behind that of a big page.

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

use wasocket_host_core::http1::{BodyLength, Framing, Head, Refusal, Request, Version};

use crate::http::settings::HttpSettings;
use crate::net::stream::accepted::Accepted;
use crate::net::stream::write_timeout::WriteTimeout;
use crate::session::read_buffer::ReadBuffer;

/// What comes of a head.
pub(crate) type Outcome = Result<(Request, Framing), Refusal>;

/// The request whose stand-in hyper has, until the service takes it.
pub(crate) type Arrived = Cell<Option<Outcome>>;

/// What a client of HTTP/2 begins with that has not asked first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket whose requests are read by the reader.
pub(crate) struct HeadReader {
    settings: HttpSettings,
    read_buffer: Rc<ReadBuffer>,
    stream: Accepted,
    arrived: Rc<Arrived>,
    /// Received and not yet passed on. Without memory of its own while it is empty.
    buffer: BytesMut,
    /// What hyper has not yet taken of a stand-in.
    stand_in: BytesMut,
    behind: Behind,
    /// When the head must be complete; none while no head is waited for.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Whether hyper has output that is not flushed, and whether a head waits for that.
    unsent: bool,
    awaited: bool,
    write_timeout: WriteTimeout,
    speaks: Speaks,
}

/// What the client speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Http1,
    Http2,
    /// What there is of it may be either.
    Unknown,
}

/// What follows the stand-in.
enum Behind {
    Head(Head),
    /// So many bytes of a body; `u64::MAX` stands for all there are.
    Body(u64),
}

impl HeadReader {
    /// `send_timeout`: how long the client may accept none of an answer.
    pub(crate) fn new(
        settings: HttpSettings,
        send_timeout: Duration,
        read_buffer: &Rc<ReadBuffer>,
        stream: Accepted,
        arrived: Rc<Arrived>,
    ) -> Self {
        Self {
            write_timeout: WriteTimeout::new(send_timeout),
            // RFC 9113 §3.3: over TLS it is ALPN that says so, and nothing else.
            speaks: if settings.http2 && !stream.is_tls() {
                Speaks::Unknown
            } else {
                Speaks::Http1
            },
            behind: Behind::Head(Head::within(settings.max_head)),
            settings,
            read_buffer: Rc::clone(read_buffer),
            stream,
            arrived,
            buffer: BytesMut::new(),
            stand_in: BytesMut::new(),
            deadline: None,
            unsent: false,
            awaited: false,
        }
    }

    /// The socket, and the bytes received behind the last head.
    pub(crate) fn into_parts(self) -> (Accepted, BytesMut) {
        (self.stream, self.buffer)
    }

    /// Whether the socket speaks HTTP/2. Then nothing of it has been taken, and hyper has seen its end.
    pub(crate) fn is_http2(&self) -> bool {
        self.speaks == Speaks::Http2
    }

    /// HTTP/2 begins with its preface, and with nothing else.
    fn recognise(&mut self) {
        if self.speaks != Speaks::Unknown {
            return;
        }
        if self.buffer.starts_with(PREFACE) {
            self.speaks = Speaks::Http2;
        } else if !PREFACE.starts_with(&self.buffer) {
            self.speaks = Speaks::Http1;
        }
    }

    /// Waits for a whole head, or a fault in it. Neither comes at the end of the stream, or of the
    /// client's time, while no head has begun; nor if HTTP/2 is spoken.
    fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        head: &mut Head,
    ) -> Poll<io::Result<Option<Outcome>>> {
        loop {
            self.recognise();
            match self.speaks {
                Speaks::Http1 => {
                    if let Some(outcome) = head.read(&mut self.buffer).transpose() {
                        return Poll::Ready(Ok(Some(outcome)));
                    }
                }
                Speaks::Http2 => return Poll::Ready(Ok(None)),
                Speaks::Unknown => {}
            }
            let refusal = match self.poll_receive(context)? {
                Poll::Ready(0) => Refusal::INCOMPLETE,
                Poll::Ready(_) => continue,
                Poll::Pending if self.is_late(context) => Refusal::TIMEOUT,
                Poll::Pending => return Poll::Pending,
            };
            // RFC 9112 §9.5: an idle connection may be closed at any time. A 408 would be taken for
            // the answer to a request that crosses it on the way.
            let has_begun = head.has_begun() || !self.buffer.is_empty();
            return Poll::Ready(Ok(has_begun.then_some(Err(refusal))));
        }
    }

    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(sleep(self.settings.head_timeout)));
        deadline.as_mut().poll(context).is_ready()
    }

    fn pass(&mut self, request: Request, framing: Framing) {
        self.deadline = None;
        self.stand_in
            .extend_from_slice(stand_in(&request, framing).as_bytes());
        self.behind = match framing.body {
            BodyLength::Known(0) => Behind::Head(Head::within(self.settings.max_head)),
            BodyLength::Known(length) => Behind::Body(length),
            // Where the chunks end only hyper sees: no head is read behind them.
            BodyLength::Chunked => Behind::Body(u64::MAX),
        };
        self.arrived.set(Some(Ok((request, framing))));
    }

    fn refuse(&mut self, head: &Head, refusal: Refusal) {
        // The answer to HEAD has no body, and hyper knows.
        let method = head.method().unwrap_or("GET");
        let stand_in = format!("{method} / HTTP/1.1\r\nConnection: close\r\n\r\n");
        self.stand_in.extend_from_slice(stand_in.as_bytes());
        self.behind = Behind::Body(u64::MAX);
        self.arrived.set(Some(Err(refusal)));
    }

    /// Receives into the buffer; 0 at the end of the stream.
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

    /// Passes on what there is of a body.
    fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        length: u64,
        to: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            ready!(self.poll_receive(context))?;
        }
        let here = usize::try_from(length).unwrap_or(usize::MAX);
        let passed = put(&mut self.buffer, here, to);
        self.behind = match length.saturating_sub(passed) {
            0 => Behind::Head(Head::within(self.settings.max_head)),
            left => Behind::Body(left),
        };
        Poll::Ready(Ok(()))
    }
}

/// The head that hyper gets: what it needs to frame the messages, and nothing that it could refuse.
fn stand_in(request: &Request, framing: Framing) -> String {
    let method = &request.method;
    let minor = u8::from(request.version != Version::Http10);
    let length = match framing.body {
        BodyLength::Known(0) => String::new(),
        BodyLength::Known(length) => format!("Content-Length: {length}\r\n"),
        BodyLength::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
    };
    // The only option that is hyper's business.
    let close = match framing.is_last {
        true => "Connection: close\r\n",
        false => "",
    };
    format!("{method} / HTTP/1.{minor}\r\n{length}{close}\r\n")
}

/// Moves at most `limit` bytes to where hyper wants them. Returns how many.
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
        if reader.stand_in.is_empty() {
            match &mut reader.behind {
                Behind::Body(length) => {
                    let length = *length;
                    return reader.poll_body(context, length, &mut to);
                }
                Behind::Head(_) if reader.unsent => {
                    reader.awaited = true;
                    return Poll::Pending;
                }
                Behind::Head(head) => {
                    let mut head = mem::take(head);
                    match reader.poll_head(context, &mut head)? {
                        Poll::Ready(Some(Ok((request, framing)))) => reader.pass(request, framing),
                        Poll::Ready(Some(Err(refusal))) => reader.refuse(&head, refusal),
                        Poll::Ready(None) => {}
                        Poll::Pending => {
                            reader.behind = Behind::Head(head);
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
        reader.write_timeout.check(context, written)
    }

    /// Called by hyper behind the last byte of its buffer.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let reader = &mut *self;
        let flushed = Pin::new(&mut reader.stream).poll_flush(context);
        ready!(reader.write_timeout.check(context, flushed))?;
        self.unsent = false;
        if mem::take(&mut self.awaited) {
            context.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    /// Called by hyper when all is sent. The socket is not hyper's to close.
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
        reader.write_timeout.check(context, written)
    }
}
