//! A client's socket, and its unsent output. Nothing here blocks.

use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use bytes::{Buf, BytesMut};
use wasi::io::poll::Pollable;
use wasi::io::streams::{InputStream, OutputStream, StreamError};
use wasi::sockets::tcp::{ShutdownType, TcpSocket};

use crate::handler::Instant;
use crate::time::after;

/// The most bytes per call (`websocket-handler.wit`, `receive`).
const MAX_RECEIVED: u64 = 64 * 1024;

/// The most bytes per write to the runtime. It reports a piece as sent only as a whole, so the send timeout applies to
/// each piece.
const MAX_PIECE: usize = 16 * 1024;

/// The most unsent output of a client, in bytes; the runner's default.
const MAX_BACKLOG: usize = 64 * 1024 * 1024;

/// Fields are dropped in order, as WASI requires: children before parents.
pub(crate) struct Socket {
    readable: Pollable,
    /// Made when it is first needed.
    writable: Option<Pollable>,
    input: InputStream,
    /// `None` after the last output has been sent.
    output: Option<OutputStream>,
    socket: TcpSocket,
    /// Output not yet written to the runtime. Holds no memory while it is empty.
    backlog: BytesMut,
    /// The number of bytes that the runtime has and has not reported as sent.
    in_transit: usize,
    /// The number of bytes that the runtime accepts now; 0 until it is asked.
    permit: usize,
    /// When the client last accepted some of the unsent output.
    progress_at: Instant,
}

/// The result of reading.
pub(crate) enum Received {
    Nothing,
    Bytes(Vec<u8>),
    End,
}

/// The socket cannot be used any more.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Failed {
    /// The connection is broken.
    Broken,
    /// More is unsent than is kept.
    Backlog,
}

impl Failed {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Broken => "the connection is broken",
            Self::Backlog => "too much output is unsent",
        }
    }
}

/// All errors are the same, as runtimes do not reliably say what happened to a connection.
impl From<StreamError> for Failed {
    fn from(_: StreamError) -> Self {
        Self::Broken
    }
}

impl Socket {
    pub(crate) fn new(socket: TcpSocket, input: InputStream, output: OutputStream) -> Self {
        Self {
            readable: input.subscribe(),
            writable: None,
            input,
            output: Some(output),
            socket,
            backlog: BytesMut::new(),
            in_transit: 0,
            permit: 0,
            progress_at: 0,
        }
    }

    /// Ready when there is something to read.
    pub(crate) fn readable(&self) -> &Pollable {
        &self.readable
    }

    /// Ready when more can be sent.
    pub(crate) fn writable(&self) -> Option<&Pollable> {
        self.writable.as_ref()
    }

    /// The number of bytes of output that are unsent.
    pub(crate) fn unsent(&self) -> usize {
        self.backlog.len().saturating_add(self.in_transit)
    }

    /// When to give up a client that accepts no output. `None` if nothing is unsent.
    pub(crate) fn stalls_at(&self, timeout: Duration) -> Option<Instant> {
        (self.unsent() > 0).then(|| after(self.progress_at, timeout))
    }

    /// Sends as much as the client accepts at once, and keeps the rest.
    ///
    /// # Errors
    ///
    /// If the connection is broken, or the unsent output exceeds the limit.
    pub(crate) fn send(&mut self, output: &[u8], now: Instant) -> Result<(), Failed> {
        if output.is_empty() {
            return Ok(());
        }
        let written = match self.unsent() {
            0 => {
                self.progress_at = now;
                self.write(output)?
            }
            _ => 0,
        };
        self.keep(output.get(written..).unwrap_or_default())
    }

    fn keep(&mut self, rest: &[u8]) -> Result<(), Failed> {
        if self.backlog.len().saturating_add(rest.len()) > MAX_BACKLOG {
            return Err(Failed::Backlog);
        }
        self.backlog.extend_from_slice(rest);
        if self.unsent() > 0 && self.writable.is_none() {
            self.writable = self.output.as_ref().map(OutputStream::subscribe);
        }
        Ok(())
    }

    /// Sends as much of the unsent output as the client accepts now.
    ///
    /// # Errors
    ///
    /// If the connection is broken.
    pub(crate) fn flush(&mut self, now: Instant) -> Result<(), Failed> {
        let before = self.unsent();
        let mut backlog = mem::take(&mut self.backlog);
        let written = self.write(&backlog)?;
        backlog.advance(written);
        if !backlog.is_empty() {
            self.backlog = backlog;
        }
        if self.unsent() < before {
            self.progress_at = now;
        }
        if self.unsent() == 0 {
            self.writable = None;
        }
        Ok(())
    }

    /// Writes as much as the runtime accepts. Returns the number of bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failed> {
        let mut rest = bytes;
        while self.is_idle()? {
            let Some((piece, after)) = rest.split_at_checked(rest.len().min(self.permit)) else {
                break;
            };
            if piece.is_empty() {
                break;
            }
            // No flush: nothing between here and the system needs one, and in jco it would block until
            // the client has accepted the output.
            self.open_output()?.write(piece)?;
            self.in_transit = piece.len();
            self.permit = 0;
            rest = after;
        }
        Ok(bytes.len().saturating_sub(rest.len()))
    }

    /// Whether the runtime has sent everything it has, and accepts more.
    fn is_idle(&mut self) -> Result<bool, Failed> {
        if self.permit == 0 {
            let permit = self.open_output()?.check_write()?;
            self.permit = usize::try_from(permit).unwrap_or(MAX_PIECE).min(MAX_PIECE);
        }
        if self.permit > 0 {
            self.in_transit = 0;
        }
        Ok(self.permit > 0)
    }

    fn open_output(&self) -> Result<&OutputStream, Failed> {
        self.output.as_ref().ok_or(Failed::Broken)
    }

    /// Whether the socket can be dropped without blocking: when an output stream is dropped, wasmtime waits until
    /// the client has accepted the bytes in transit, and all other connections would wait with it.
    pub(crate) fn can_be_dropped(&mut self) -> bool {
        self.backlog = BytesMut::new();
        if self.in_transit == 0 || self.is_idle().unwrap_or(true) {
            return true;
        }
        if self.writable.is_none() {
            self.writable = self.output.as_ref().map(OutputStream::subscribe);
        }
        false
    }

    /// Reads the bytes that have arrived.
    ///
    /// # Errors
    ///
    /// If the connection is broken.
    pub(crate) fn receive(&self) -> Result<Received, Failed> {
        match self.input.read(MAX_RECEIVED) {
            Ok(bytes) if bytes.is_empty() => Ok(Received::Nothing),
            Ok(bytes) => Ok(Received::Bytes(bytes)),
            Err(StreamError::Closed) => Ok(Received::End),
            Err(error) => Err(error.into()),
        }
    }

    /// Drops the output stream, after the last output has been sent. In jco 1.35 this ends our direction; in wasmtime it
    /// does nothing.
    pub(crate) fn drop_output(&mut self) {
        self.writable = None;
        self.output = None;
    }

    /// Ends our direction. In jco 1.35 it ends both, and if the client is still sending, it becomes a reset.
    pub(crate) fn finish_sending(&self) {
        // If this fails, the connection is broken, and has ended anyway.
        let _ = self.socket.shutdown(ShutdownType::Send);
    }
}
