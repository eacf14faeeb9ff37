use crate::protocol::{CloseReason, Closed, Connection, Message, Piece, UsageError};

/// An app's side of one WebSocket connection, called for each event. A closure that takes `(&mut Connection,
/// Message)` is a handler that only answers messages.
///
/// An error closes the connection with code 1011, except [`UsageError::NotOpen`]: sending on a connection
/// that is already closing is not a fault.
pub trait Handler {
    /// The connection is open; nothing has been received yet.
    ///
    /// # Errors
    ///
    /// Closes the connection; see [`Handler`].
    fn open(&mut self, connection: &mut Connection) -> Result<(), UsageError> {
        let _ = connection;
        Ok(())
    }

    /// A whole message has arrived. This includes messages between our Close frame and the peer's, which can
    /// no longer be answered.
    ///
    /// # Errors
    ///
    /// Closes the connection; see [`Handler`].
    fn message(&mut self, connection: &mut Connection, message: Message) -> Result<(), UsageError>;

    /// A piece of a message has arrived. Only called if `open` has asked for pieces with
    /// [`Connection::stream_messages`]; messages that come in one piece are for [`message`](Self::message)
    /// even then, which may pass them on as `message.into()`.
    ///
    /// # Errors
    ///
    /// Closes the connection; see [`Handler`].
    fn piece(&mut self, connection: &mut Connection, piece: Piece) -> Result<(), UsageError> {
        let _ = (connection, piece);
        Ok(())
    }

    /// A ping has arrived; it has been answered.
    ///
    /// # Errors
    ///
    /// Closes the connection; see [`Handler`].
    fn ping(&mut self, connection: &mut Connection, payload: &[u8]) -> Result<(), UsageError> {
        let _ = (connection, payload);
        Ok(())
    }

    /// A pong has arrived, solicited or not (RFC 6455 §5.5.3). This includes the answers to the pings of
    /// [`Limits::ping_interval`](crate::Limits::ping_interval), which are empty.
    ///
    /// # Errors
    ///
    /// Closes the connection; see [`Handler`].
    fn pong(&mut self, connection: &mut Connection, payload: &[u8]) -> Result<(), UsageError> {
        let _ = (connection, payload);
        Ok(())
    }

    /// The peer's Close frame has arrived, with this content, if any. To answer it with anything but the same
    /// code (RFC 6455 §5.5.1), [`close`](Connection::close) the connection here. Messages can still be sent
    /// before that, but the peer need not read them.
    ///
    /// # Errors
    ///
    /// Closes the connection; see [`Handler`].
    fn closing(
        &mut self,
        connection: &mut Connection,
        reason: Option<&CloseReason>,
    ) -> Result<(), UsageError> {
        let _ = (connection, reason);
        Ok(())
    }

    /// The connection is closed. The last call.
    fn closed(&mut self, closed: Closed) {
        let _ = closed;
    }
}

impl<F> Handler for F
where
    F: FnMut(&mut Connection, Message) -> Result<(), UsageError>,
{
    fn message(&mut self, connection: &mut Connection, message: Message) -> Result<(), UsageError> {
        self(connection, message)
    }
}

/// An app's side of a raw socket that it took over.
pub trait RawHandler {
    /// The app now owns the socket.
    fn open(&mut self, socket: &mut RawSocket);

    /// Bytes arrived, cut anywhere, beginning with those that came right after the request.
    fn receive(&mut self, socket: &mut RawSocket, bytes: &[u8]);

    /// The peer has finished sending. The default closes the socket.
    fn end_of_stream(&mut self, socket: &mut RawSocket) {
        socket.close();
    }
}

/// The socket, as a [`RawHandler`] uses it.
#[derive(Debug, Default)]
pub struct RawSocket {
    pub(crate) output: alloc::vec::Vec<u8>,
    pub(crate) closed: bool,
}

impl RawSocket {
    /// Sends bytes. Has no effect once the socket is closed.
    pub fn write(&mut self, bytes: &[u8]) {
        if !self.closed {
            self.output.extend_from_slice(bytes);
        }
    }

    /// Closes the socket after everything written so far.
    pub fn close(&mut self) {
        self.closed = true;
    }
}
