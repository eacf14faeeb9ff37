//! A socket that tells whether all that hyper wrote is sent.
//!
//! A client may pipeline: a request for a big page, and behind it one that ends in a takeover. hyper
//! calls the service for the second while the first response may still be in its write buffer; a
//! takeover at that moment would cut the response short. So it waits for the flush.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Whether hyper's output is flushed, and whether somebody waits for that.
#[derive(Debug, Default)]
pub(crate) struct Flush {
    pending: Cell<bool>,
    awaited: Cell<bool>,
}

impl Flush {
    /// Waits until no output is pending. For use inside hyper's service, on its task.
    pub(crate) async fn done(&self) {
        poll_fn(|_| {
            self.awaited.set(self.pending.get());
            match self.pending.get() {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        })
        .await;
    }
}

/// The socket as hyper sees it.
#[derive(Debug)]
pub(crate) struct HttpSocket {
    io: TokioIo<TcpStream>,
    flush: Rc<Flush>,
}

impl HttpSocket {
    pub(crate) fn new(stream: TcpStream, flush: Rc<Flush>) -> Self {
        Self {
            io: TokioIo::new(stream),
            flush,
        }
    }

    pub(crate) fn into_inner(self) -> TcpStream {
        self.io.into_inner()
    }
}

impl Read for HttpSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for HttpSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.flush.pending.set(true);
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    /// Called by hyper behind the last byte of its buffer.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(context))?;
        self.flush.pending.set(false);
        if self.flush.awaited.take() {
            context.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.flush.pending.set(true);
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }
}
