use alloc::rc::Rc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Context, Poll, ready};
use core::{fmt, mem};

use bytes::Bytes;

use super::shared::{Item, Shared};
use super::{CodecError, Error};
use crate::protocol::{Message, MessageType};

/// A message that is read while it arrives: what [`WebSocket::next_message`](super::WebSocket::next_message)
/// returns.
///
/// Dropping it skips the rest of the message, and so does requesting the next one.
pub struct MessageReader {
    shared: Rc<Shared>,
    number: u64,
    message_type: MessageType,
    /// The first part that arrived, until it is taken.
    first: Option<Item>,
    ended: bool,
}

impl MessageReader {
    pub(super) fn new(shared: Rc<Shared>, first: Item, number: u64) -> Self {
        Self {
            shared,
            number,
            message_type: first.message_type(),
            first: Some(first),
            ended: false,
        }
    }

    /// Whether the message is text or binary.
    #[must_use]
    pub fn message_type(&self) -> MessageType {
        self.message_type
    }

    /// The next bytes of the message as they arrived, never empty; `None` at its end. Every chunk of text is
    /// UTF-8: no character is cut.
    ///
    /// Up to 256 KiB wait to be taken; beyond that no more is read from the peer.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the connection ends before the message does; [`Error::Usage`] when the next
    /// message has been requested since.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|context| self.poll_chunk(context)).await
    }

    pub(super) fn poll_chunk(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Error>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        let piece = match self.first.take() {
            Some(Item::Whole(message)) => message.into(),
            Some(Item::Piece(piece)) => piece,
            None => ready!(self.shared.poll_piece(self.number, context))?,
        };
        self.ended = piece.last;
        // Only the last piece may be empty.
        let is_empty = piece.bytes.is_empty();
        Poll::Ready(Ok((!is_empty).then_some(piece.bytes)))
    }

    /// The rest of the message, which is all of it unless [`chunk`](Self::chunk) has been called. Up to
    /// `limit` bytes; the connection's own limit on whole messages does not apply here.
    ///
    /// # Errors
    ///
    /// [`Error::MessageTooBig`] when it is longer: the message is skipped, and the connection stays open.
    /// Otherwise as [`chunk`](Self::chunk).
    pub async fn collect(self, limit: usize) -> Result<Message, Error> {
        let mut collecting = Collecting::new(self, limit);
        poll_fn(|context| collecting.poll(context)).await
    }

    /// The whole message, if it came in one piece of at most `limit` bytes.
    fn take_whole(&mut self, limit: usize) -> Option<Message> {
        match self.first.take() {
            Some(Item::Whole(message)) if message.as_bytes().len() <= limit => Some(message),
            first => {
                self.first = first;
                None
            }
        }
    }
}

/// Collects the rest of a message.
#[derive(Debug)]
pub(super) struct Collecting {
    reader: MessageReader,
    limit: usize,
    /// The first chunk, unchanged until there is a second.
    first: Bytes,
    joined: Vec<u8>,
}

impl Collecting {
    pub(super) fn new(reader: MessageReader, limit: usize) -> Self {
        Self {
            reader,
            limit,
            first: Bytes::new(),
            joined: Vec::new(),
        }
    }

    /// The message, which can be taken once.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        if let Some(message) = self.reader.take_whole(self.limit) {
            return Poll::Ready(Ok(message));
        }
        while let Some(chunk) = ready!(self.reader.poll_chunk(context))? {
            self.push(chunk)?;
        }
        let payload = if self.joined.is_empty() {
            mem::take(&mut self.first)
        } else {
            mem::take(&mut self.joined).into()
        };
        let message = self.reader.message_type.whole(payload);
        // Never happens: the pieces of text are UTF-8.
        Poll::Ready(Ok(message.map_err(|_| CodecError::ExpectedText)?))
    }

    fn push(&mut self, chunk: Bytes) -> Result<(), Error> {
        let len = self.first.len() + self.joined.len();
        if chunk.len() > self.limit.saturating_sub(len) {
            return Err(Error::MessageTooBig);
        }
        if len == 0 {
            self.first = chunk;
            return Ok(());
        }
        if self.joined.is_empty() {
            self.joined = mem::take(&mut self.first).into();
        }
        self.joined.extend_from_slice(&chunk);
        Ok(())
    }
}

impl Drop for MessageReader {
    fn drop(&mut self) {
        self.shared.abandon(self.number);
    }
}

impl fmt::Debug for MessageReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageReader")
            .field("message_type", &self.message_type)
            .finish_non_exhaustive()
    }
}
