use alloc::rc::Rc;
use core::fmt;
use core::future::{Future, poll_fn};
use core::time::Duration;

use super::shared::Shared;
use super::{Error, Interval, IntoMessage, MessageWriter, Sleep, TrySendError};
use crate::protocol::{CloseCode, Closed, Instant, Message, MessageType, Prepared};
use crate::session::{Elapsed, first_of};

/// The sending side of a connection. There may be many clones: each message goes out whole.
///
/// It may be used from the functions of other connections of the same instance, as in a chat room.
#[derive(Clone)]
pub struct Sender(pub(super) Rc<Shared>);

impl Sender {
    /// Sends a message. Waits while [`Limits::max_buffered_amount`](crate::Limits::max_buffered_amount), by
    /// default 64 KiB, is on its way: a slow peer slows down the app instead of filling memory.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] and [`Error::Usage`] once the closing handshake has begun, on either side;
    /// [`Error::Codec`] when the value has no form as a message.
    pub async fn send(&self, message: impl IntoMessage) -> Result<(), Error> {
        let is_compressible = message.is_compressible();
        let message = message.into_message()?;
        poll_fn(|context| self.0.poll_room(context)).await?;
        self.send_now(message, is_compressible)
    }

    /// Sends a message if there is room for it: [`TrySendError::Full`] if not, and [`TrySendError::Busy`]
    /// while another message is being [written](Self::message_writer).
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

    /// Waits until there is room for a message, so that [`try_send`](Self::try_send) accepts one. Use it to
    /// send whatever is newest by then. (Another sender on the same connection may come first.)
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
    /// [`Error::Closed`] when the connection ends first, unless the peer ends it with a closing handshake:
    /// the rest is sent then.
    pub async fn flush(&self) -> Result<(), Error> {
        poll_fn(|context| self.0.poll_sent(context)).await
    }

    /// The number of bytes on their way to the peer, as
    /// [`Limits::max_buffered_amount`](crate::Limits::max_buffered_amount) counts them: sent here, but not
    /// yet handed to the network, as far as the host has reported. (The last bytes may still count until the
    /// host has a reason to report again.)
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

    pub(super) fn send_now(&self, message: Message, is_compressible: bool) -> Result<(), Error> {
        self.0.act(|connection| {
            if is_compressible {
                connection.send(message)
            } else {
                connection.send_uncompressed(message)
            }
        })
    }

    /// Begins a message that is sent while it is being produced. Waits as [`send`](Self::send) does, which in
    /// turn waits for the end of such a message; pings, pongs and Close frames do not.
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

    /// As [`message_writer`](Self::message_writer), but the message is sent uncompressed, as with
    /// [`Uncompressed`](crate::Uncompressed).
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

    /// Pings the peer, waits for its pong, and returns the time it took.
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

    /// Sends a ping with a payload of up to 125 bytes without waiting for the pong, which goes to
    /// [`on_pong`](crate::WebSocket::on_pong).
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for a longer payload; otherwise as [`send`](Self::send).
    pub fn send_ping(&self, payload: &[u8]) -> Result<(), Error> {
        self.0.act(|connection| connection.ping(payload))
    }

    /// Sends an unsolicited pong with a payload of up to 125 bytes: a heartbeat that is not answered (RFC
    /// 6455 §5.5.3). Pings are answered automatically.
    ///
    /// # Errors
    ///
    /// As [`send_ping`](Self::send_ping).
    pub fn send_pong(&self, payload: &[u8]) -> Result<(), Error> {
        self.0.act(|connection| connection.pong(payload))
    }

    /// Closes the connection: sends a Close frame with a reason, of which at most 123 bytes are sent, and waits for
    /// the peer's, but no longer than [`Limits::close_timeout`](crate::Limits::close_timeout). No more messages
    /// are received.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn close(&self, code: CloseCode, reason: &str) -> Result<Closed, Error> {
        self.0.close(code, reason)?;
        Ok(poll_fn(|context| self.0.poll_closed(context)).await)
    }

    /// Begins to close the connection, as [`close`](Self::close) does, without waiting for the peer.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub fn start_close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.0.close(code, reason)
    }

    /// Ends the connection at once, without a Close frame, which a browser reports as 1006: for a peer that
    /// reads nothing, or deserves no answer. Data on its way may be lost, no more messages are received, and
    /// whatever waits for this connection fails with [`Closed::Aborted`].
    pub fn abort(&self) {
        self.0.abort();
    }

    /// How the connection closed; `None` until it has.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.0.closed()
    }

    /// The current time of this connection.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.now()
    }

    /// Waits for a duration.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.now().after(duration))
    }

    /// Waits until an instant.
    pub fn sleep_until(&self, at: Instant) -> Sleep {
        Sleep::until(&self.0, at)
    }

    /// Ticks once per period, which is 1 ms or more; the first tick is one period from now. See [`Interval`]
    /// for ticks that are missed.
    #[must_use]
    pub fn interval(&self, period: Duration) -> Interval {
        Interval::new(&self.0, period)
    }

    /// Waits for a future, but no longer than `limit`.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when the time is up; the future is dropped.
    pub async fn timeout<F: Future>(
        &self,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        first_of(future, self.sleep(limit)).await
    }

    /// Waits for a future, but no longer than until `deadline`. A future that is ready by then wins.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when the time is up; the future is dropped.
    pub async fn timeout_at<F: Future>(
        &self,
        deadline: Instant,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        first_of(future, self.sleep_until(deadline)).await
    }
}

/// Senders are equal if they send on the same connection.
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

/// A ping whose pong is awaited.
struct PendingPing<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for PendingPing<'_> {
    fn drop(&mut self) {
        self.shared.forget_ping(self.number);
    }
}
