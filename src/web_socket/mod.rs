//! A connection as an app's function has it: `async`, without a runtime.

#[cfg(feature = "futures-io")]
mod byte_stream;
mod codec;
mod error;
mod reader;
mod receiver;
mod sender;
mod shared;
mod timers;
mod writer;

#[cfg(feature = "futures-io")]
pub use byte_stream::ByteStream;
pub use codec::{CodecError, FromMessage, IntoMessage, Json, Uncompressed};
pub use error::{Error, Failure, Outcome, TrySendError};
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
/// When the function returns, the connection is closed: with code 1000, or as the error says
/// ([`Outcome`]). Pings are answered, and peers that are silent are pinged, whatever the function waits
/// for; but up to 16 messages, or 256 KiB of them, are kept that it does not receive, and then no more is read
/// from the peer.
#[derive(Debug)]
pub struct WebSocket(Sender);

impl WebSocket {
    /// Receives a message, in a form that the type says: [`Message`](crate::Message), `String`, `Vec<u8>`,
    /// [`Json`], or any other [`FromMessage`]. None when the peer has closed the connection with a
    /// closing handshake; [`closed`](Sender::closed) has its code.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the connection ended otherwise. [`Error::Codec`] when the message is none
    /// of the type's: that message is lost, the connection is open. The same with
    /// [`Error::MessageTooBig`], which comes up where messages are received while they arrive
    /// ([`next_message`](Self::next_message)); elsewhere the connection has failed. There, too, a future
    /// that is dropped inside a message gives that message up.
    pub async fn receive<M: FromMessage>(&self) -> Result<Option<M>, Error> {
        let Some(reader) = self.reader().await? else {
            return Ok(None);
        };
        let message = reader.collect(self.0.0.max_message_size()).await?;
        Ok(Some(M::from_message(message)?))
    }

    /// The next message, to be read while it arrives; none as with [`receive`](Self::receive). The rest
    /// of one that is still being read is given up.
    ///
    /// With the first call messages are received in this way, or from the beginning where
    /// [`Limits::max_streamed_size`] says how long they may be. A message that had begun to arrive before
    /// is read when it is whole.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the connection ended otherwise than with a closing handshake.
    pub async fn next_message(&self) -> Result<Option<MessageReader>, Error> {
        self.0.0.stream_messages();
        self.reader().await
    }

    /// Sets how long a message may be, from the next one that begins to arrive:
    /// [`Limits::max_message_size`], and with it `max_frame_size` and `max_fragments`, as
    /// [`Limits::for_messages`] has them. For peers that may send more once they have logged in, or less.
    ///
    /// A peer that sends a longer message before it may fails the connection with close code 1009. What has
    /// arrived before and is longer than allowed now is [`Error::MessageTooBig`].
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

    /// What is to be done about pings, which have been answered by then. Replaces what was to be done
    /// before; there is nothing to do otherwise.
    pub fn on_ping(&self, hook: impl FnMut(&[u8]) + 'static) {
        self.0.0.on_ping.set(Box::new(hook));
    }

    /// The same about pongs, whether asked for or not (RFC 6455 §5.5.3): also those that answer
    /// [`ping`](Sender::ping), and the empty ones that answer the pings of [`Limits::ping_interval`].
    pub fn on_pong(&self, hook: impl FnMut(&[u8]) + 'static) {
        self.0.0.on_pong.set(Box::new(hook));
    }

    /// What answers the peer's Close frame, which the hook is given, if it says anything: the code and the
    /// reason of our own, of which at most 123 bytes are sent. None, as without a hook, is the peer's code
    /// (RFC 6455 §5.5.1). It is not asked where the app has closed the connection before.
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

    /// A handle to send with, from wherever.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.0.clone()
    }
}

/// What a sender can do, a `WebSocket` can, too.
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
