use std::fmt;
use std::ops::Deref;

use wasocket::{CloseCode, Closed, Event, Message, UsageError};

use crate::host::client::Client;
use crate::socket::Socket;

/// The masking key of frames that the test builds itself.
const MASKING_KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A WebSocket, from the client's end. Has all functions of [`Socket`] too.
///
/// The client answers pings and Close frames by itself. Dropping the value does not affect the connection.
#[derive(Clone)]
pub struct Connection(Socket);

impl Connection {
    pub(crate) fn new(socket: Socket) -> Self {
        Self(socket)
    }

    /// The subprotocol that was agreed on.
    #[must_use]
    pub fn subprotocol(&self) -> Option<String> {
        self.client(|client| client.subprotocol.clone())
    }

    /// Whether messages may be compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.client(|client| client.is_compressed)
    }

    /// Sends a message: text from a `&str`, binary from a `&[u8]`.
    ///
    /// # Panics
    ///
    /// If the connection is closing or closed.
    #[track_caller]
    pub fn send(&self, message: impl Into<Message>) {
        let message = message.into();
        self.act("send", |client| client.send(message));
    }

    /// Sends a ping with at most 125 bytes.
    ///
    /// # Panics
    ///
    /// Like [`send`](Self::send).
    #[track_caller]
    pub fn ping(&self, payload: &[u8]) {
        self.act("ping", |client| client.ping(payload));
    }

    /// Begins the closing handshake.
    ///
    /// # Panics
    ///
    /// Like [`send`](Self::send), and for a code that may not be sent.
    #[track_caller]
    pub fn close(&self, code: u16, reason: &str) {
        self.act("close", |client| {
            client.close(CloseCode::new(code)?, reason)
        });
    }

    /// Sends a frame that the test builds: the byte with FIN, the reserved bits and the opcode, and the
    /// payload, which is masked here.
    #[track_caller]
    pub fn send_frame(&self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length @ 126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(MASKING_KEY);
        let masked = payload.iter().zip(MASKING_KEY.iter().cycle());
        frame.extend(masked.map(|(byte, key)| byte ^ key));
        self.send_bytes(&frame);
    }

    /// Holds back everything that the client sends from now on, including answers to pings, as if the network were slow
    /// or the client gone. Frames and bytes that the test builds itself are not held back.
    pub fn hold(&self) {
        self.client_mut(|client| client.is_held = true);
    }

    /// Delivers everything that was held back.
    #[track_caller]
    pub fn release(&self) {
        self.client_mut(|client| client.is_held = false);
        self.fetch();
    }

    /// All events since the last call, including pings and pongs.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.client_mut(|client| client.events.drain(..).collect())
    }

    /// The next message, if one has arrived.
    #[must_use]
    pub fn try_receive(&self) -> Option<Message> {
        self.client_mut(Client::next_message)
    }

    /// The next message. Pings and pongs before it are skipped.
    ///
    /// # Panics
    ///
    /// If none has arrived.
    #[track_caller]
    pub fn receive(&self) -> Message {
        match self.try_receive() {
            Some(message) => message,
            None => panic!("expected a message, got {}", self.situation()),
        }
    }

    /// The next message, which must be text.
    ///
    /// # Panics
    ///
    /// If it is binary, or none has arrived.
    #[track_caller]
    pub fn text(&self) -> String {
        match self.try_receive() {
            Some(Message::Text(text)) => text.to_string(),
            Some(message) => panic!("expected a text message, got {}", Shown(&message)),
            None => panic!("expected a text message, got {}", self.situation()),
        }
    }

    /// The next message, which must be binary.
    ///
    /// # Panics
    ///
    /// If it is text, or none has arrived.
    #[track_caller]
    pub fn binary(&self) -> Vec<u8> {
        match self.try_receive() {
            Some(Message::Binary(bytes)) => bytes.to_vec(),
            Some(message) => panic!("expected a binary message, got {}", Shown(&message)),
            None => panic!("expected a binary message, got {}", self.situation()),
        }
    }

    /// All messages that have arrived, which must be text.
    ///
    /// # Panics
    ///
    /// If one is binary.
    #[track_caller]
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(message) = self.try_receive() {
            match message {
                Message::Text(text) => texts.push(text.to_string()),
                message => panic!("expected text messages, got {}", Shown(&message)),
            }
        }
        texts
    }

    /// Asserts that the next message is this text.
    #[track_caller]
    pub fn assert_text(&self, expected: &str) {
        self.assert_message(&Message::from(expected));
    }

    /// Asserts that the next message is binary, with these bytes.
    #[track_caller]
    pub fn assert_binary(&self, expected: &[u8]) {
        self.assert_message(&Message::from(expected));
    }

    #[track_caller]
    fn assert_message(&self, expected: &Message) {
        match self.try_receive() {
            Some(message) if message == *expected => {}
            Some(message) => panic!("expected {}, got {}", Shown(expected), Shown(&message)),
            None => panic!("expected {}, got {}", Shown(expected), self.situation()),
        }
    }

    /// Asserts that nothing has arrived, and that the connection is open. Empty pings are skipped: those of
    /// [`Limits::ping_interval`](wasocket::Limits::ping_interval), which apps do not ask for. Other pings, and
    /// pongs, count; if they do not matter, assert that [`try_receive`](Self::try_receive) returns `None`.
    #[track_caller]
    pub fn assert_silent(&self) {
        self.client_mut(Client::skip_empty_pings);
        let event = self.client(|client| client.events.front().cloned());
        let is_closed = self.client(|client| client.closed.is_some());
        match event {
            None if !is_closed => {}
            Some(Event::Message(message)) => panic!("expected nothing, got {}", Shown(&message)),
            _ => panic!("expected nothing, got {}", self.situation()),
        }
    }

    /// How the client's connection was closed; `None` if it is not closed.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.client(|client| client.closed.clone())
    }

    /// Asserts that the connection is closed with this code, as a browser reports it: that of the app's
    /// Close frame, 1005 if it had none, 1006 if there was no Close frame.
    #[track_caller]
    pub fn assert_closed(&self, code: u16) -> Closed {
        match self.closed() {
            Some(closed) if closed.code() == code => closed,
            _ => panic!(
                "expected the end with code {code}, got {}",
                self.situation()
            ),
        }
    }

    /// Why the client does not accept the app's 101.
    pub(crate) fn refused(&self) -> Option<String> {
        self.client(|client| {
            client
                .refused
                .as_ref()
                .map(|refused| refused.reason.clone())
        })
    }

    /// Describes the situation if there is no message.
    fn situation(&self) -> String {
        let (event, closed) =
            self.client(|client| (client.events.front().cloned(), client.closed.clone()));
        match (event, closed) {
            (Some(Event::Ping(_)), _) => "a ping".to_owned(),
            (Some(Event::Pong(_)), _) => "a pong".to_owned(),
            (_, Some(closed)) => format!("the end ({}): {closed}", closed.code()),
            _ if self.unsent() > 0 => {
                format!("nothing: {} bytes are unsent (unblock)", self.unsent())
            }
            _ => "nothing; the connection is open".to_owned(),
        }
    }

    #[track_caller]
    fn act(
        &self,
        what: &str,
        act: impl FnOnce(&mut wasocket::Connection) -> Result<(), UsageError>,
    ) {
        let now = self.kit().now();
        match self.client_mut(|client| client.act(now, act)) {
            Some(Ok(())) => self.fetch(),
            Some(Err(error)) => panic!("the client cannot {what}: {error}"),
            None => panic!("the client cannot {what}: {}", self.situation()),
        }
    }

    /// Delivers the client's bytes to the app.
    #[track_caller]
    fn fetch(&self) {
        self.kit().with(|host| {
            host.peer_mut(self.id()).fetch();
            host.settle()
        });
    }

    fn client<T>(&self, look: impl FnOnce(&Client) -> T) -> T {
        self.client_mut(|client| look(client))
    }

    fn client_mut<T>(&self, act: impl FnOnce(&mut Client) -> T) -> T {
        self.kit().with(|host| {
            let client = host.peer_mut(self.id()).client.as_mut();
            let client = client.unwrap_or_else(|| panic!("a WebSocket has a client"));
            Ok(act(client))
        })
    }
}

impl Deref for Connection {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.0
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id())
            .field("closed", &self.closed())
            .finish_non_exhaustive()
    }
}

/// A message as shown by an assertion, truncated if it is long.
struct Shown<'a>(&'a Message);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 200;
        match self.0 {
            Message::Text(text) => {
                let start: String = text.chars().take(MOST).collect();
                write!(f, "text of {} bytes: {start:?}", text.len())
            }
            Message::Binary(bytes) => {
                let start = bytes.get(..MOST).unwrap_or(bytes).escape_ascii();
                write!(f, "binary of {} bytes: {start}", bytes.len())
            }
        }
    }
}
