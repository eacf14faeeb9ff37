//! A client's socket, and what is still to be sent on it. Nothing here blocks.

use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use bytes::{Buf, BytesMut};
use wasi::io::poll::Pollable;
use wasi::io::streams::{InputStream, OutputStream, StreamError};
use wasi::sockets::tcp::{ShutdownType, TcpSocket};

use crate::handler::Instant;

/// The most bytes that a handler is given at once (`websocket-handler.wit`, `receive`).
const MAX_RECEIVED: u64 = 64 * 1024;

/// The most bytes that the runtime is given at once. It says only of all of them together that they are
/// sent, so that a slow client has the send timeout for each such piece.
const MAX_PIECE: usize = 16 * 1024;

/// The most output that may wait for one client. As much as the runner keeps by default.
const MAX_BACKLOG: usize = 64 * 1024 * 1024;

/// Dropped from the first to the last field, as WASI wants it: children before parents.
pub(crate) struct Socket {
    readable: Pollable,
    /// Made when it is first needed.
    writable: Option<Pollable>,
    input: InputStream,
    /// Until all is sent that ever will be.
    output: Option<OutputStream>,
    socket: TcpSocket,
    /// What the runtime has not been given. Without memory of its own while it is empty.
    backlog: BytesMut,
    /// How many bytes it has been given, and has not said that they are sent.
    under_way: usize,
    /// How many bytes it takes now; 0 until it is asked.
    permit: usize,
    /// When the client last took something of what is unsent.
    progress_at: Instant,
}

/// What there is to read.
pub(crate) enum Received {
    Nothing,
    Bytes(Vec<u8>),
    End,
}

/// The socket is of no use any more.
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

/// What exactly became of the connection, a runtime does not say in a form to rely on.
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
            under_way: 0,
            permit: 0,
            progress_at: 0,
        }
    }

    /// What is ready when there is something to read.
    pub(crate) fn readable(&self) -> &Pollable {
        &self.readable
    }

    /// What is ready when more can be sent.
    pub(crate) fn writable(&self) -> Option<&Pollable> {
        self.writable.as_ref()
    }

    /// How many bytes of output are unsent.
    pub(crate) fn unsent(&self) -> usize {
        self.backlog.len().saturating_add(self.under_way)
    }

    /// When a client is given up that takes nothing for so long; never, if nothing is unsent.
    pub(crate) fn stalls_at(&self, patience: Duration) -> Option<Instant> {
        (self.unsent() > 0).then(|| after(self.progress_at, patience))
    }

    /// Sends what the client takes at once, and keeps the rest.
    ///
    /// # Errors
    ///
    /// When the connection is broken, or more is to be kept than may be.
    pub(crate) fn send(&mut self, output: &[u8], now: Instant) -> Result<(), Failed> {
        if output.is_empty() {
            return Ok(());
        }
        let given = match self.unsent() {
            0 => {
                self.progress_at = now;
                self.give(output)?
            }
            _ => 0,
        };
        self.keep(output.get(given..).unwrap_or_default())
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

    /// Sends of what is unsent what the client takes now.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub(crate) fn flush(&mut self, now: Instant) -> Result<(), Failed> {
        let before = self.unsent();
        let mut backlog = mem::take(&mut self.backlog);
        let given = self.give(&backlog)?;
        backlog.advance(given);
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

    /// Gives the runtime what it takes. Returns how much.
    fn give(&mut self, bytes: &[u8]) -> Result<usize, Failed> {
        let mut rest = bytes;
        while self.is_idle()? {
            let Some((piece, behind)) = rest.split_at_checked(rest.len().min(self.permit)) else {
                break;
            };
            if piece.is_empty() {
                break;
            }
            // No flush: there is nothing between here and the system that would wait for one. In jco it
            // would even block, until the client takes what it is sent.
            self.open_output()?.write(piece)?;
            self.under_way = piece.len();
            self.permit = 0;
            rest = behind;
        }
        Ok(bytes.len().saturating_sub(rest.len()))
    }

    /// Whether the runtime has sent all that it was given, and takes more.
    fn is_idle(&mut self) -> Result<bool, Failed> {
        if self.permit == 0 {
            let permit = self.open_output()?.check_write()?;
            self.permit = usize::try_from(permit).unwrap_or(MAX_PIECE).min(MAX_PIECE);
        }
        if self.permit > 0 {
            self.under_way = 0;
        }
        Ok(self.permit > 0)
    }

    fn open_output(&self) -> Result<&OutputStream, Failed> {
        self.output.as_ref().ok_or(Failed::Broken)
    }

    /// Whether the socket can be dropped without waiting: wasmtime waits with the drop of an output stream
    /// until the client has taken what is under way, and all other connections would wait, too.
    pub(crate) fn can_be_dropped(&mut self) -> bool {
        self.backlog = BytesMut::new();
        if self.under_way == 0 || self.is_idle().unwrap_or(true) {
            return true;
        }
        if self.writable.is_none() {
            self.writable = self.output.as_ref().map(OutputStream::subscribe);
        }
        false
    }

    /// Reads what is there.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub(crate) fn receive(&self) -> Result<Received, Failed> {
        match self.input.read(MAX_RECEIVED) {
            Ok(bytes) if bytes.is_empty() => Ok(Received::Nothing),
            Ok(bytes) => Ok(Received::Bytes(bytes)),
            Err(StreamError::Closed) => Ok(Received::End),
            Err(error) => Err(error.into()),
        }
    }

    /// There is no more output, and all of it is sent. In jco 1.35 this ends our direction, in wasmtime it does
    /// nothing.
    pub(crate) fn drop_output(&mut self) {
        self.writable = None;
        self.output = None;
    }

    /// Ends our direction. In jco 1.35 both, and what the client still sends makes a reset of it.
    pub(crate) fn finish_sending(&self) {
        // A connection that is broken needs no end.
        let _ = self.socket.shutdown(ShutdownType::Send);
    }
}

/// An instant so much later.
pub(crate) fn after(instant: Instant, duration: Duration) -> Instant {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    instant.saturating_add(nanoseconds)
}
