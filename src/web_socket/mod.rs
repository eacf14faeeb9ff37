//! The connection that an app's function uses: `async`, without a runtime.

#[cfg(feature = "futures-io")]
mod byte_stream;
mod codec;
mod error;
mod published;
mod reader;
mod receiver;
mod sender;
mod shared;
mod timers;
mod topics;
mod writer;

#[cfg(feature = "futures-io")]
pub use byte_stream::ByteStream;
pub use codec::{CodecError, FromMessage, IntoMessage, Json, Uncompressed};
pub use error::{Error, Failure, Outcome, TrySendError};
pub use published::Published;
pub use reader::MessageReader;
pub use receiver::Receiver;
pub use sender::Sender;
pub use timers::{Interval, Sleep};
pub use writer::MessageWriter;

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::future::{Future, poll_fn};

use crate::head::Request;
use crate::protocol::handshake::Accepted;
use crate::protocol::{CloseReason, Connection, Limits};
use crate::session::{Session, Task};
use shared::Shared;

/// A connection, for the app's function that converses on it.
///
/// ```
/// use wasocket::{Error, WebSocket};
///
/// async fn echo(ws: WebSocket) -> Result<(), Error> {
///     while let Some(text) = ws.receive::<String>().await? {
///         ws.send(text).await?;
///     }
///     Ok(())
/// }
/// ```
///
/// When the function returns, the connection is closed: with code 1000, or as the error says ([`Outcome`]).
/// Pings are answered, and silent peers are pinged, whatever the function waits for. Up to 16 messages, or
/// 256 KiB of them, wait for the function to receive them; beyond that no more is read from the peer.
#[derive(Debug)]
pub struct WebSocket(Sender);

impl WebSocket {
    /// Receives a message as the requested type: [`Message`](crate::Message), `String`, `Vec<u8>`, [`Json`],
    /// or any other [`FromMessage`]. `None` when the peer has closed the connection with a closing handshake;
    /// [`closed`](Sender::closed) has its code.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the connection ended in any other way. [`Error::Codec`] when the message does
    /// not match the type: that message is lost, and the connection stays open. The same holds for
    /// [`Error::MessageTooBig`], which only occurs if messages are received while they arrive
    /// ([`next_message`](Self::next_message)); otherwise the connection fails. In that mode, dropping the
    /// future inside a message also loses that message.
    pub async fn receive<M: FromMessage>(&self) -> Result<Option<M>, Error> {
        let Some(reader) = self.reader().await? else {
            return Ok(None);
        };
        let message = reader.collect(self.0.0.max_message_size()).await?;
        Ok(Some(M::from_message(message)?))
    }

    /// The next message, to be read while it arrives; `None` as with [`receive`](Self::receive). The rest of
    /// a message that is still being read is skipped.
    ///
    /// Messages are received this way from the first call on, or from the start if
    /// [`Limits::max_streamed_size`] is set. A message that began to arrive earlier is read when it is whole.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the connection ended without a closing handshake.
    pub async fn next_message(&self) -> Result<Option<MessageReader>, Error> {
        self.0.0.stream_messages();
        self.reader().await
    }

    /// Sets the longest message, from the next one that begins to arrive: [`Limits::max_message_size`], with
    /// `max_frame_size` and `max_fragments` as in [`Limits::for_messages`]. For peers that may send more, or
    /// less, once they have logged in.
    ///
    /// A peer that sends a longer message too early fails the connection with close code 1009. A message that
    /// arrived earlier and is now too long is [`Error::MessageTooBig`].
    pub fn set_max_message_size(&self, size: usize) {
        self.0
            .0
            .with_connection(|connection| connection.set_max_message_size(size));
    }

    async fn reader(&self) -> Result<Option<MessageReader>, Error> {
        let begun = poll_fn(|context| self.0.0.poll_message(context)).await?;
        let new = |(first, number)| MessageReader::new(Rc::clone(&self.0.0), first, number);
        Ok(begun.map(new))
    }

    /// Sets a hook for pings, which have been answered by then. Replaces an earlier hook; there is none by
    /// default.
    pub fn on_ping(&self, hook: impl FnMut(&[u8]) + 'static) {
        self.0.0.on_ping.set(Box::new(hook));
    }

    /// Sets a hook for pongs, solicited or not (RFC 6455 §5.5.3). This includes the answers to
    /// [`ping`](Sender::ping), and the empty ones to the pings of [`Limits::ping_interval`].
    pub fn on_pong(&self, hook: impl FnMut(&[u8]) + 'static) {
        self.0.0.on_pong.set(Box::new(hook));
    }

    /// Sets a hook that answers the peer's Close frame. It takes the frame's content, if any, and returns our
    /// code and reason, of which at most 123 bytes are sent. `None`, or no hook, echoes the peer's code (RFC
    /// 6455 §5.5.1). The hook is not called if the app has closed the connection first.
    ///
    /// ```
    /// # use wasocket::{CloseCode, CloseReason, WebSocket};
    /// # fn example(ws: &WebSocket) {
    /// ws.on_close(|_| {
    ///     let code = CloseCode::NORMAL;
    ///     let reason = "bye".into();
    ///     Some(CloseReason { code, reason })
    /// });
    /// # }
    /// ```
    pub fn on_close(
        &self,
        hook: impl FnMut(Option<&CloseReason>) -> Option<CloseReason> + 'static,
    ) {
        self.0.0.on_close.set(Box::new(hook));
    }

    /// The request that opened the connection.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.0.0.request
    }

    /// The subprotocol that was agreed on (RFC 6455 §1.9).
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.0.0.subprotocol.as_deref()
    }

    /// Whether messages may be compressed (RFC 7692).
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.0.0.compress
    }

    /// A handle to send with, from anywhere in the instance.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.0.clone()
    }
}

/// A `WebSocket` can do all that a sender can.
impl core::ops::Deref for WebSocket {
    type Target = Sender;

    fn deref(&self) -> &Sender {
        &self.0
    }
}

/// The session of a function on an accepted connection.
pub(crate) fn session<F>(
    request: Request,
    accepted: Accepted,
    limits: Limits,
    converse: impl FnOnce(WebSocket) -> F,
) -> Box<dyn Session>
where
    F: Future<Output: Outcome> + 'static,
{
    let compress = accepted.extensions.compress();
    let mut connection = Connection::server(limits).with_extensions(accepted.extensions);
    connection.stream_messages(limits.max_streamed_size.is_some());
    let shared = Shared::new(connection, request, accepted.subprotocol, compress);
    let future = converse(WebSocket(Sender(Rc::clone(&shared))));
    let future = Box::pin(async {
        let outcome = future.await;
        let fault = outcome.fault();
        (outcome.close_reason(), fault)
    });
    Box::new(Task::new(shared, future))
}
