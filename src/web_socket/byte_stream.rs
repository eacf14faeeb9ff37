use alloc::rc::Rc;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use bytes::{Buf, Bytes};
use futures_io::{AsyncRead, AsyncWrite};

use super::{Error, MessageReader, WebSocket};
use crate::protocol::{CloseCode, Closed, Message, MessageType, UsageError, Utf8};

/// A connection as a stream of bytes, for code that works on one, such as `io::copy`. With feature
/// `futures-io`.
///
/// Messages of both types are read while they arrive, as with [`WebSocket::next_message`]. Their boundaries
/// do not show, unless there is a [`terminator`](Self::terminator). Each write is a message: binary, or of
/// the [`message_type`](Self::message_type).
///
/// The stream ends when the peer closes the connection with code 1000, 1001 or no code; any other end is an
/// error. Closing it closes the connection with code 1000.
#[derive(Debug)]
pub struct ByteStream {
    socket: WebSocket,
    reader: Option<MessageReader>,
    /// Received and not read yet.
    chunk: Bytes,
    terminator: Bytes,
    message_type: MessageType,
    /// The incomplete character at the end of the text written so far.
    utf8: Utf8,
}

impl WebSocket {
    /// The connection as a stream of bytes, for code that works on one.
    #[must_use]
    pub fn into_byte_stream(self) -> ByteStream {
        self.0.0.stream_messages();
        ByteStream {
            socket: self,
            reader: None,
            chunk: Bytes::new(),
            terminator: Bytes::new(),
            message_type: MessageType::Binary,
            utf8: Utf8::default(),
        }
    }
}

impl ByteStream {
    /// Sets the type of the messages that writes send. Default: [`MessageType::Binary`].
    ///
    /// A write of text sends its whole characters as one message. A character that is cut off waits for the
    /// write that completes it; a write with nothing else sends nothing. Text that is not UTF-8 (RFC 6455
    /// §5.6) is an error of kind [`io::ErrorKind::InvalidData`], and is not sent. Closing the stream inside a
    /// character is the same error.
    #[must_use]
    pub fn message_type(mut self, message_type: MessageType) -> Self {
        self.message_type = message_type;
        self
    }

    /// Sets what is read after each message, such as `"\n"`. Default: nothing.
    #[must_use]
    pub fn terminator(mut self, terminator: impl Into<Bytes>) -> Self {
        self.terminator = terminator.into();
        self
    }

    /// Makes sure that there are bytes to read. Returns false at the end of the stream.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let shared = &self.socket.0.0;
        while self.chunk.is_empty() {
            if let Some(reader) = &mut self.reader {
                match ready!(reader.poll_chunk(context)).map_err(io_error)? {
                    Some(chunk) => self.chunk = chunk,
                    None => {
                        self.reader = None;
                        self.chunk = self.terminator.clone();
                    }
                }
                continue;
            }
            let Some((first, number)) = ready!(shared.poll_message(context)).map_err(io_error)?
            else {
                return Poll::Ready(self.end().map(|()| false));
            };
            self.reader = Some(MessageReader::new(Rc::clone(shared), first, number));
        }
        Poll::Ready(Ok(true))
    }

    /// The message that a write sends, if any.
    fn message(&mut self, bytes: &[u8]) -> io::Result<Option<Message>> {
        if self.message_type == MessageType::Binary {
            return Ok(Some(bytes.into()));
        }
        let bytes = Bytes::copy_from_slice(bytes);
        let text = self.utf8.whole_characters(bytes).ok_or_else(not_text)?;
        if text.is_empty() {
            return Ok(None);
        }
        MessageType::Text
            .whole(text)
            .map(Some)
            .map_err(|_| not_text())
    }

    /// Whether a complete closing handshake is also the end of the stream.
    fn end(&self) -> io::Result<()> {
        match self.socket.closed() {
            Some(closed) if !closed.is_orderly() => Err(io_error(Error::Closed(closed))),
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
        let this = self.get_mut();
        ready!(this.socket.0.0.poll_room(context)).map_err(io_error)?;
        if let Some(message) = this.message(bytes)? {
            this.socket.send_now(message, true).map_err(io_error)?;
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &self.socket.0.0;
        shared.poll_sent(context).map_err(io_error)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &self.socket.0.0;
        // Fails if the connection is not open: it is closed, or soon will be.
        let _ = shared.close(CloseCode::NORMAL, "");
        ready!(shared.poll_closed(context));
        Poll::Ready(match self.utf8.partial() {
            [] => Ok(()),
            _ => Err(not_text()),
        })
    }
}

fn not_text() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, UsageError::InvalidUtf8)
}

fn io_error(error: Error) -> io::Error {
    let kind = match &error {
        Error::Closed(Closed::EndOfStream) => io::ErrorKind::UnexpectedEof,
        Error::Closed(Closed::TimedOut) => io::ErrorKind::TimedOut,
        Error::Closed(Closed::Failed(_)) => io::ErrorKind::InvalidData,
        Error::Closed(Closed::Handshake(_) | Closed::Aborted) => io::ErrorKind::ConnectionAborted,
        Error::Usage(UsageError::NotOpen) => io::ErrorKind::BrokenPipe,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
