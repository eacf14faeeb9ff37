//! A client that speaks the protocol with this repository's own implementation of a client.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use support::{Client, Site, TIMEOUT};
use wasocket::extension::DeflateOptions;
use wasocket::{
    ClientEvent, ClientRequest, ClientSession, Closed, Event, Instant, Limits, Message,
};

/// The session has no time limit that could pass.
const NOW: Instant = Instant::from_nanos(1);

/// A client.
pub(super) struct Peer {
    pub(super) socket: TcpStream,
    session: ClientSession,
    events: VecDeque<Event>,
    /// Whether messages may be compressed, once the handshake is over.
    compresses: Option<bool>,
}

impl Peer {
    /// Connects, and waits until the subscription is in effect.
    pub(super) fn join(site: &Site, target: &str) -> Self {
        let mut peer = Self::open(site, target);
        peer.wait_until_subscribed();
        peer
    }

    /// Opens a WebSocket.
    pub(super) fn open(site: &Site, target: &str) -> Self {
        Self::on(site.connect(), target)
    }

    /// Opens a WebSocket on this socket.
    pub(super) fn on(client: Client, target: &str) -> Self {
        let compresses = target.contains("compress");
        let request = ClientRequest {
            host: "a.test".into(),
            target: target.into(),
            compression: compresses.then(DeflateOptions::default),
            ..ClientRequest::default()
        };
        let limits = Limits::for_messages(4 << 20);
        let (session, effects) =
            ClientSession::connect(NOW, request, limits, &[7; 48]).expect("a valid request");
        let mut peer = Self {
            socket: client.stream,
            session,
            events: VecDeque::new(),
            compresses: None,
        };
        peer.socket.set_read_timeout(Some(TIMEOUT)).expect("a time");
        peer.socket.write_all(&effects.output).expect("it reads");
        while peer.compresses.is_none() {
            peer.receive();
        }
        assert_eq!(peer.compresses, Some(compresses));
        peer
    }

    /// Waits until a subscription is in effect. Returns its position, and whether nothing is missing.
    pub(super) fn wait_until_subscribed(&mut self) -> (String, bool) {
        let text = self.read();
        let mut words = text.split(' ');
        assert_eq!(words.next(), Some("!subscribed"), "{text}");
        let position = words.nth(1).expect("a position");
        (position.to_owned(), words.next() == Some("true"))
    }

    /// Sends a text.
    pub(super) fn send(&mut self, text: &str) {
        let connection = self.session.connection(NOW).expect("open");
        connection.send_text(text).expect("open");
        self.flush();
    }

    /// Sends bytes.
    pub(super) fn send_binary(&mut self, bytes: &[u8]) {
        let connection = self.session.connection(NOW).expect("open");
        connection.send_binary(bytes).expect("open");
        self.flush();
    }

    /// Reads a text.
    pub(super) fn read(&mut self) -> String {
        match self.read_message() {
            Message::Text(text) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// Sends a text that comes back; false if the server closes the WebSocket instead.
    pub(super) fn is_echoed(&mut self, text: &str) -> bool {
        let sent = self
            .session
            .connection(NOW)
            .map(|open| open.send_text(&format!("!echo {text}")));
        if !matches!(sent, Some(Ok(()))) {
            return false;
        }
        self.flush();
        match self.read_event() {
            Event::Message(message) => message == Message::from(text),
            Event::Closed(_) => false,
            other => panic!("{other:?}"),
        }
    }

    /// Reads a message.
    pub(super) fn read_message(&mut self) -> Message {
        match self.read_event() {
            Event::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the server has closed the WebSocket. Returns the code; what arrives before is skipped.
    pub(super) fn read_close(&mut self) -> u16 {
        loop {
            match self.read_event() {
                Event::Closed(Closed::Handshake(reason)) => {
                    return reason.map_or(1005, |reason| reason.code.as_u16());
                }
                Event::Closed(other) => panic!("{other:?}"),
                _ => {}
            }
        }
    }

    fn read_event(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.receive();
        }
    }

    /// Answers what the server has asked, without waiting.
    pub(super) fn answer_pings(&mut self) {
        self.socket.set_nonblocking(true).expect("connected");
        let has_data = self.socket.peek(&mut [0]).is_ok();
        self.socket.set_nonblocking(false).expect("connected");
        if has_data {
            self.receive();
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; 65_536];
        let length = loop {
            match self.socket.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                length => break length.expect("something arrives"),
            }
        };
        if length == 0 {
            self.session.receive_eof(NOW);
        } else {
            self.session.receive(NOW, buffer[..length].to_vec());
        }
        for event in self.session.take_events() {
            match event {
                ClientEvent::Opened { compress, .. } => self.compresses = Some(compress),
                // It is answered already.
                ClientEvent::Connection(Event::Ping(_)) => {}
                ClientEvent::Connection(event) => self.events.push_back(event),
                ClientEvent::Refused(refused) => panic!("{}", refused.reason),
            }
        }
        self.flush();
    }

    /// Sends what the session wants to, such as pongs.
    fn flush(&mut self) {
        let output = self.session.effects().output;
        // The server may have closed the socket.
        let _ = self.socket.write_all(&output);
    }
}
