//! A connection to a server: the component, and the socket it uses. Follows the rules of
//! `wit/websocket-client.wit` on calls and effects.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem;

use tokio::select;
use tokio::time::{Instant, sleep_until};
use wasmtime::component::ResourceAny;

use super::ConnectError;
use wasocket_host::bindings::{ClientRequest, Effects, Event, Message, Next, Progress};
use wasocket_host::client::Client;
use wasocket_host::clock::Clock;
use wasocket_host::net::stream::Stream;
use wasocket_host::net::stream::socket::{Socket, Traffic};

/// The most bytes to give the component at once (`websocket-client.wit`, `receive`).
const READ_BUFFER: usize = 64 * 1024;
/// The most unsent output while more is received. A server that makes us answer pings without reading the answers has
/// to wait then.
const MAX_UNSENT: usize = 16 << 20;

/// A connection to a server, starting with the opening handshake.
///
/// ```text
/// begin ── next* ── end          while it is live; send, ping and close in between
/// ```
pub struct Connection {
    client: Client,
    handle: ResourceAny,
    socket: Socket<Box<dyn Stream>>,
    clock: Clock,
    /// Number of bytes that the server had not acknowledged when the component was last woken.
    left: usize,
    wake_at: Option<Instant>,
    next: Next,
    /// Whether the last event has been returned.
    ended: bool,
    /// Whether the server has sent anything.
    has_heard: bool,
    /// Whether it closed the connection instead.
    hung_up: bool,
    buffer: Vec<u8>,
}

impl Connection {
    /// Begins the opening handshake on a fresh stream.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Request`] if the request cannot be sent.
    pub fn begin(
        mut client: Client,
        clock: Clock,
        request: &ClientRequest,
        stream: Box<dyn Stream>,
    ) -> Result<Self, ConnectError> {
        let begun = client.connect(clock.now(), request, &entropy()?)?;
        let begun = begun.map_err(ConnectError::Request)?;
        let mut connection = Self {
            client,
            handle: begun.connection,
            socket: Socket::new(stream, usize::MAX),
            clock,
            left: 0,
            wake_at: None,
            next: Next::Open,
            ended: false,
            has_heard: false,
            hung_up: false,
            buffer: vec![0; READ_BUFFER],
        };
        connection.carry_out(begun.effects);
        Ok(connection)
    }

    /// Whether more can happen. If not, call [`end`](Self::end).
    pub fn is_live(&self) -> bool {
        self.next == Next::Open
    }

    /// Whether the server closed the connection without having sent anything.
    pub fn was_hung_up(&self) -> bool {
        self.hung_up
    }

    /// Number of unsent bytes.
    pub fn unsent(&self) -> usize {
        self.socket.unsent()
    }

    /// Waits for the network or the time, and returns the resulting events, often none. Cancel safe: dropping the future
    /// loses nothing.
    ///
    /// # Errors
    ///
    /// If the socket or the component failed.
    pub async fn next(&mut self) -> Result<Vec<Event>, ConnectError> {
        let wake_at = self.wake_at;
        let (socket, buffer) = (&mut self.socket, &mut self.buffer);
        let traffic = select! {
            () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => None,
            traffic = poll_fn(|context| if socket.unsent() < MAX_UNSENT {
                socket.poll_exchange(context, buffer)
            } else {
                socket.poll_receive(context, buffer).map_ok(Traffic::Received)
            }) => Some(traffic),
        };
        match traffic {
            Some(traffic) => self.on_traffic(traffic),
            None => {
                let (now, unsent) = (self.clock.now(), self.undelivered());
                let progress = self.client.wake(self.handle, now, unsent)?;
                Ok(self.on_progress(progress))
            }
        }
    }

    /// Number of unsent bytes, of which the last counts until the server has acknowledged it; but not for a server that has
    /// acknowledged nothing since it was last asked about.
    fn undelivered(&mut self) -> usize {
        let left = self.socket.undelivered();
        let before = mem::replace(&mut self.left, left);
        let is_taking = left > 0 && left != before;
        self.socket.unsent().max(is_taking.into())
    }

    fn on_traffic(&mut self, traffic: io::Result<Traffic>) -> Result<Vec<Event>, ConnectError> {
        let now = self.clock.now();
        match traffic {
            Ok(Traffic::Received(1..)) => self.has_heard = true,
            Ok(Traffic::Received(0)) | Err(_) => self.hung_up = !self.has_heard,
            Ok(Traffic::Sent) => {}
        }
        let progress = match traffic {
            Ok(Traffic::Sent) => return Ok(vec![]),
            Ok(Traffic::Received(size)) if size > 0 => {
                let bytes = self.buffer.get(..size).unwrap_or_default();
                self.client.receive(self.handle, now, bytes)?
            }
            Ok(Traffic::Received(_)) => self.client.receive_eof(self.handle, now)?,
            // TLS without close_notify: the component knows whether the connection had ended.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.next = Next::Abort;
                self.client.receive_eof(self.handle, now)?
            }
            // Everything that matters has been received; a reset after that means nothing.
            Err(_) if self.ended => {
                self.next = Next::Abort;
                return Ok(vec![]);
            }
            Err(error) => return Err(ConnectError::Broken(error)),
        };
        Ok(self.on_progress(progress))
    }

    fn on_progress(&mut self, progress: Progress) -> Vec<Event> {
        self.carry_out(progress.effects);
        let last = progress.events.last();
        self.ended |= matches!(last, Some(Event::Closed(_) | Event::Refused(_)));
        progress.events
    }

    fn carry_out(&mut self, effects: Effects) {
        self.wake_at = effects.wake_at.and_then(|instant| self.clock.at(instant));
        if self.next == Next::Open {
            self.next = effects.next;
        }
        // A socket that accepts no more output can still be read, for the server's last words or for the error
        // itself.
        let _ = self.socket.send(&effects.output);
    }

    /// Sends a message. The inner result says why it cannot be sent.
    ///
    /// # Errors
    ///
    /// If the component failed.
    pub fn send(&mut self, message: &Message) -> Result<Result<(), String>, ConnectError> {
        let effects = self.client.send(self.handle, self.clock.now(), message)?;
        Ok(effects.map(|effects| self.carry_out(effects)))
    }

    /// Sends a ping. The inner result says why it cannot be sent.
    ///
    /// # Errors
    ///
    /// If the component failed.
    pub fn ping(&mut self, payload: &[u8]) -> Result<Result<(), String>, ConnectError> {
        let effects = self.client.ping(self.handle, self.clock.now(), payload)?;
        Ok(effects.map(|effects| self.carry_out(effects)))
    }

    /// Begins the closing handshake. The inner result says why it cannot begin.
    ///
    /// # Errors
    ///
    /// If the component failed.
    pub fn close(&mut self, code: u16, reason: &str) -> Result<Result<(), String>, ConnectError> {
        let now = self.clock.now();
        let effects = self.client.close(self.handle, now, code, reason)?;
        Ok(effects.map(|effects| self.carry_out(effects)))
    }

    /// Closes the socket the way the component asked to; at once, if it is still live.
    ///
    /// # Errors
    ///
    /// If the component failed.
    pub async fn end(mut self) -> Result<(), ConnectError> {
        self.client.drop_connection(self.handle)?;
        if self.next == Next::Close {
            // As above, a failure here means nothing.
            let _ = self.socket.close().await;
        }
        Ok(())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("client", &self.client)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// RFC 6455 §5.3: "The masking key needs to be unpredictable".
pub(super) fn entropy() -> io::Result<[u8; 48]> {
    let mut entropy = [0; 48];
    getrandom::fill(&mut entropy).map_err(io::Error::other)?;
    Ok(entropy)
}
