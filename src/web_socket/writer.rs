use alloc::rc::Rc;
use core::fmt;
use core::future::poll_fn;

use super::Error;
use super::shared::Shared;

/// A message that is sent while it is being produced. Returned by
/// [`Sender::message_writer`](super::Sender::message_writer).
///
/// Other messages on the connection wait until it is finished. A message cannot be taken back once begun:
/// dropping the writer before [`finish`](Self::finish) closes the connection with code 1011, so that no peer
/// takes half a message for a whole one.
#[must_use = "a writer that is dropped closes the connection"]
pub struct MessageWriter(Rc<Shared>);

impl MessageWriter {
    /// A writer for a message that has begun.
    pub(super) fn new(shared: Rc<Shared>) -> Self {
        Self(shared)
    }

    /// Sends bytes as a fragment of the message (RFC 6455 §5.4), all of which the peer can read at once.
    /// Waits as [`Sender::send`](super::Sender::send) does. Characters of text may be cut.
    ///
    /// If the future is dropped early, nothing has been sent.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] when text is not UTF-8: those bytes are not sent, and the message can continue.
    /// [`Error::Closed`] and [`Error::Usage`] once the closing handshake has begun, on either side.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        poll_fn(|context| self.0.poll_room_inside(context)).await?;
        self.0
            .act(|connection| connection.send_fragment(bytes.as_ref()))
    }

    /// Ends the message.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write). The message has not ended then, and the connection is closed.
    pub fn finish(self) -> Result<(), Error> {
        self.0.end_message()
    }
}

impl Drop for MessageWriter {
    fn drop(&mut self) {
        self.0.abandon_message();
    }
}

impl fmt::Debug for MessageWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageWriter").finish_non_exhaustive()
    }
}
