use alloc::rc::Rc;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use bytes::{Buf, Bytes};
use futures_io::{AsyncRead, AsyncWrite};

use super::{Error, MessageReader, WebSocket};
use crate::{CloseCode, Closed, MessageType, UsageError};

/// A connection as a stream of bytes, over binary messages: each write is a message, and where messages
/// end is not to be seen by who reads. With feature `futures-io`.
///
/// The stream ends when the peer closes the connection with code 1000, 1001 or none; any other end is an
/// error, and so is a text message, of kind [`io::ErrorKind::InvalidData`]. Messages are read while they
/// arrive, as with [`WebSocket::next_message`]. Closing it closes the connection with code 1000.
#[derive(Debug)]
pub struct ByteStream {
    socket: WebSocket,
    reader: Option<MessageReader>,
    /// Received, and not yet read.
    chunk: Bytes,
}

impl WebSocket {
    /// The connection as a stream of bytes, for what speaks over one.
    #[must_use]
    pub fn into_byte_stream(self) -> ByteStream {
        self.0.0.stream_messages();
        ByteStream {
            socket: self,
            reader: None,
            chunk: Bytes::new(),
        }
    }
}

impl ByteStream {
    /// Has bytes to read; false at the end of the stream.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let shared = &self.socket.0.0;
        while self.chunk.is_empty() {
            if let Some(reader) = &mut self.reader {
                match ready!(reader.poll_chunk(context)).map_err(io_error)? {
                    Some(chunk) => self.chunk = chunk,
                    None => self.reader = None,
                }
                continue;
            }
            let Some((first, number)) = ready!(shared.poll_message(context)).map_err(io_error)?
            else {
                return Poll::Ready(self.end().map(|()| false));
            };
            let reader = MessageReader::new(Rc::clone(shared), first, number);
            if reader.message_type() == MessageType::Text {
                return Poll::Ready(Err(unexpected_text()));
            }
            self.reader = Some(reader);
        }
        Poll::Ready(Ok(true))
    }

    /// The closing handshake is complete: whether that is the end of the stream, too.
    fn end(&self) -> io::Result<()> {
        match self.socket.closed() {
            Some(closed) if !matches!(closed.code(), 1000 | 1001 | 1005) => {
                Err(io_error(Error::Closed(closed)))
            }
            _ => Ok(()),
        }
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if buffer.is_empty() || !ready!(this.poll_fill(context))? {
            return Poll::Ready(Ok(0));
        }
        let size = buffer.len().min(this.chunk.len());
        if let Some(buffer) = buffer.get_mut(..size) {
            this.chunk.copy_to_slice(buffer);
        }
        Poll::Ready(Ok(size))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let shared = &self.socket.0.0;
        ready!(shared.poll_room(context)).map_err(io_error)?;
        let sent = shared.act(|connection| connection.send_binary(bytes));
        Poll::Ready(sent.map(|()| bytes.len()).map_err(io_error))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &self.socket.0.0;
        shared.poll_sent(context).map_err(io_error)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &self.socket.0.0;
        // Not open: it is closed, or about to be.
        let _ = shared.close(CloseCode::NORMAL, "");
        shared.poll_closed(context).map(|_| Ok(()))
    }
}

fn unexpected_text() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "expected a binary message")
}

fn io_error(error: Error) -> io::Error {
    let kind = match &error {
        Error::Closed(Closed::EndOfStream) => io::ErrorKind::UnexpectedEof,
        Error::Closed(Closed::TimedOut) => io::ErrorKind::TimedOut,
        Error::Closed(Closed::Failed(_)) => io::ErrorKind::InvalidData,
        Error::Closed(Closed::Handshake(_)) => io::ErrorKind::ConnectionAborted,
        Error::Usage(UsageError::NotOpen) => io::ErrorKind::BrokenPipe,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
