//! A connection as an app's function has it: `async`, without a runtime.

#[cfg(feature = "futures-io")]
mod byte_stream;
mod codec;
mod error;
mod hooks;
mod inbox;
mod reader;
mod receiver;
mod session;
mod shared;
mod timers;
mod writer;

#[cfg(feature = "futures-io")]
pub use byte_stream::ByteStream;
pub use codec::{CodecError, FromMessage, IntoMessage, Json, Uncompressed};
pub use error::{Error, Failure, Outcome};
pub use reader::MessageReader;
pub use receiver::Receiver;
pub use timers::{Interval, Sleep};
pub use writer::MessageWriter;

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::fmt;
use core::future::{Future, poll_fn};
use core::time::Duration;

use crate::handshake::Accepted;
use crate::task::{Task, first_of};
use crate::{
    CloseCode, CloseReason, Closed, Connection, Instant, Limits, Message, MessageType, Prepared,
    Request, Session,
};
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

/// The sending side of a connection, of which there may be many: each message goes out whole.
///
/// It may be used from the functions of other connections of the same instance, as in a chat room.
#[derive(Clone)]
pub struct Sender(Rc<Shared>);

impl WebSocket {
    /// Receives a message, in a form that the type says: [`Message`], `String`, `Vec<u8>`,
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

impl Sender {
    /// Sends a message. Waits while [`Limits::max_buffered_amount`], by default 64 KiB, is on its way: a peer
    /// that reads slowly slows the app down, and fills no memory.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] and [`Error::Usage`] once the closing handshake has begun, on either side;
    /// [`Error::Codec`] when the value is no message.
    pub async fn send(&self, message: impl IntoMessage) -> Result<(), Error> {
        let is_compressible = message.is_compressible();
        let message = message.into_message()?;
        poll_fn(|context| self.0.poll_room(context)).await?;
        self.send_now(message, is_compressible)
    }

    /// Sends a message if there is room for it: [`TrySendError::Full`] if not, and
    /// [`TrySendError::Busy`] inside a message that somebody [writes](Self::message_writer).
    ///
    /// # Errors
    ///
    /// [`TrySendError::Failed`] as [`send`](Self::send).
    pub fn try_send(&self, message: impl IntoMessage) -> Result<(), TrySendError> {
        let is_compressible = message.is_compressible();
        let message = message.into_message().map_err(Error::from)?;
        self.check_room(&message)?;
        Ok(self.send_now(message, is_compressible)?)
    }

    /// Sends a message that has been prepared for many connections. Waits as [`send`](Self::send) does.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_prepared(&self, message: &Prepared) -> Result<(), Error> {
        poll_fn(|context| self.0.poll_room(context)).await?;
        self.0.act(|connection| connection.send_prepared(message))
    }

    /// Sends a message that has been prepared for many connections, if there is room for it.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    pub fn try_send_prepared(&self, message: &Prepared) -> Result<(), TrySendError> {
        self.check_room(message.message())?;
        Ok(self.0.act(|connection| connection.send_prepared(message))?)
    }

    /// Waits until there is room for a message, so that [`try_send`](Self::try_send) takes one: for who wants
    /// to send what is newest by then. (Who sends to the same connection meanwhile may be first.)
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn ready(&self) -> Result<(), Error> {
        poll_fn(|context| self.0.poll_room(context)).await
    }

    /// Waits until the host has sent everything that is on its way.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the connection ends before, unless the peer ends it with a closing handshake:
    /// what is left is sent then.
    pub async fn flush(&self) -> Result<(), Error> {
        poll_fn(|context| self.0.poll_sent(context)).await
    }

    /// How many bytes are on their way to the peer, as [`Limits::max_buffered_amount`] counts them: what has
    /// been sent here, and not yet handed to the network, as far as the host has told. (What went out last may
    /// count as long as the host has no reason to say more.)
    #[must_use]
    pub fn buffered_amount(&self) -> u64 {
        self.0.buffered_amount()
    }

    fn check_room(&self, message: &Message) -> Result<(), TrySendError> {
        if self.0.is_sending_message() {
            return Err(TrySendError::Busy(message.clone()));
        }
        if !self.0.has_room() {
            return Err(TrySendError::Full(message.clone()));
        }
        Ok(())
    }

    fn send_now(&self, message: Message, is_compressible: bool) -> Result<(), Error> {
        self.0.act(|connection| match is_compressible {
            true => connection.send(message),
            false => connection.send_uncompressed(message),
        })
    }

    /// Begins a message that is sent while it is made. Waits as [`send`](Self::send) does, which itself
    /// waits for the end of such a message; pings, pongs and Close frames do not.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn message_writer(&self, message_type: MessageType) -> Result<MessageWriter, Error> {
        poll_fn(|context| self.0.poll_room(context)).await?;
        self.0
            .act(|connection| connection.start_message(message_type))?;
        Ok(MessageWriter::new(Rc::clone(&self.0)))
    }

    /// Begins such a message that is sent as it is, as [`Uncompressed`] ones are.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn uncompressed_message_writer(
        &self,
        message_type: MessageType,
    ) -> Result<MessageWriter, Error> {
        poll_fn(|context| self.0.poll_room(context)).await?;
        self.0
            .act(|connection| connection.start_uncompressed_message(message_type))?;
        Ok(MessageWriter::new(Rc::clone(&self.0)))
    }

    /// Pings the peer, and waits for its pong: the time it took.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn ping(&self) -> Result<Duration, Error> {
        let ping = PendingPing {
            shared: &self.0,
            number: self.0.ping()?,
        };
        poll_fn(|context| self.0.poll_pong(ping.number, context)).await
    }

    /// Sends a ping with a payload of up to 125 bytes, and waits for nothing: the pong is for
    /// [`on_pong`](WebSocket::on_pong).
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for a longer payload; otherwise as [`send`](Self::send).
    pub fn send_ping(&self, payload: &[u8]) -> Result<(), Error> {
        self.0.act(|connection| connection.ping(payload))
    }

    /// Sends a pong that no ping has asked for, with a payload of up to 125 bytes: a heartbeat that is
    /// not answered (RFC 6455 §5.5.3). Pings are answered without it.
    ///
    /// # Errors
    ///
    /// As [`send_ping`](Self::send_ping).
    pub fn send_pong(&self, payload: &[u8]) -> Result<(), Error> {
        self.0.act(|connection| connection.pong(payload))
    }

    /// Closes the connection: sends a Close frame with a reason of at most 123 bytes, and waits for the
    /// peer's, but no longer than [`Limits::close_timeout`]. No message is received any more.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for a longer reason; otherwise as [`send`](Self::send).
    pub async fn close(&self, code: CloseCode, reason: &str) -> Result<Closed, Error> {
        self.0.close(code, reason)?;
        Ok(poll_fn(|context| self.0.poll_closed(context)).await)
    }

    /// Begins to close the connection, as [`close`](Self::close) does, and does not wait for the peer.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub fn start_close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.0.close(code, reason)
    }

    /// Ends the connection at once, without a Close frame, on which the peer's browser reports 1006: for a
    /// peer that takes nothing, or is not worth a word. What is on its way may be lost, no message is received
    /// any more, and what waits for this connection fails with [`Closed::Aborted`].
    pub fn abort(&self) {
        self.0.abort();
    }

    /// How the connection closed; none while it has not.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.0.closed()
    }

    /// The time now, for this connection.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.now()
    }

    /// Waits for some time.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.now().after(duration))
    }

    /// Waits until then.
    pub fn sleep_until(&self, at: Instant) -> Sleep {
        Sleep::until(&self.0, at)
    }

    /// Ticks once in each period, which is 1 ms or more; the first is one period from now. What becomes of
    /// ticks that are missed: see [`Interval`].
    #[must_use]
    pub fn interval(&self, period: Duration) -> Interval {
        Interval::new(&self.0, period)
    }

    /// Waits for a future, but no longer than this.
    ///
    /// # Errors
    ///
    /// [`Elapsed`], when the time is over; the future is dropped.
    pub async fn timeout<F: Future>(
        &self,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        first_of(future, self.sleep(limit)).await
    }

    /// Waits for a future, but no longer than until then. What is ready by then comes first.
    ///
    /// # Errors
    ///
    /// [`Elapsed`], when the time is over; the future is dropped.
    pub async fn timeout_at<F: Future>(
        &self,
        deadline: Instant,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        first_of(future, self.sleep_until(deadline)).await
    }
}

/// Whether they send on the same connection.
impl PartialEq for Sender {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Sender {}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// A ping that is waited for.
struct PendingPing<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for PendingPing<'_> {
    fn drop(&mut self) {
        self.shared.forget_ping(self.number);
    }
}

/// The time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is over")
    }
}

impl core::error::Error for Elapsed {}

/// Why [`Sender::try_send`] has not sent a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrySendError {
    /// [`Limits::max_buffered_amount`] is on its way; this is the message.
    Full(Message),
    /// Another message is being sent in fragments; this is the message.
    Busy(Message),
    /// It cannot be sent at all.
    Failed(Error),
}

impl From<Error> for TrySendError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the peer is slow: too much is on its way already"),
            Self::Busy(_) => f.write_str("another message is being sent in fragments"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for TrySendError {}

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
