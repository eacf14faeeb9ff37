//! The client's side of a virtual WebSocket.

use std::collections::VecDeque;
use std::mem;

use wasocket::{
    ClientEvent, ClientSession, Closed, Disposition, Effects, Event, Instant, Limits, Message,
    Refused,
};

use crate::request::Handshake;

/// A client: its session, its unsent bytes and its events.
pub(crate) struct Client {
    session: ClientSession,
    /// Bytes sent by the client that have not left it yet.
    sent: Vec<u8>,
    /// Whether the test holds them back.
    pub(crate) is_held: bool,
    pub(crate) wake_at: Option<Instant>,
    pub(crate) next: Disposition,
    pub(crate) events: VecDeque<Event>,
    /// How the connection was closed, kept after the event has been taken.
    pub(crate) closed: Option<Closed>,
    pub(crate) subprotocol: Option<String>,
    pub(crate) is_compressed: bool,
    pub(crate) refused: Option<Refused>,
}

impl Client {
    /// The client, and the bytes of its request. `number` tells clients apart: no two have the same keys.
    pub(crate) fn connect(
        now: Instant,
        handshake: &Handshake,
        number: u64,
    ) -> Result<(Self, Vec<u8>), String> {
        // It never pings on its own, and reads whatever the app may send.
        let limits = Limits {
            ping_interval: None,
            ..Limits::for_messages(1 << 30)
        };
        let mut entropy = [0; 48];
        let number = number.to_be_bytes();
        for (byte, number) in entropy.iter_mut().zip(number.iter().cycle()) {
            *byte = *number;
        }
        let request = handshake.client_request();
        let (session, effects) = ClientSession::connect(now, request, limits, &entropy)
            .map_err(|error| error.to_string())?;
        let client = Self {
            session,
            sent: Vec::new(),
            is_held: false,
            wake_at: effects.wake_at,
            next: effects.next,
            events: VecDeque::new(),
            closed: None,
            subprotocol: None,
            is_compressed: false,
            refused: None,
        };
        Ok((client, effects.output))
    }

    pub(crate) fn receive(&mut self, now: Instant, bytes: &[u8]) {
        self.session.receive(now, bytes.to_vec());
        self.proceed(now);
    }

    pub(crate) fn receive_eof(&mut self, now: Instant) {
        self.session.receive_eof(now);
        self.proceed(now);
    }

    pub(crate) fn wake(&mut self, now: Instant) {
        self.session.wake(now, 0);
        self.proceed(now);
    }

    /// Makes the client do something. `None` if its connection is not open.
    pub(crate) fn act<T>(
        &mut self,
        now: Instant,
        act: impl FnOnce(&mut wasocket::Connection) -> T,
    ) -> Option<T> {
        let result = self.session.connection(now).map(act);
        self.proceed(now);
        result
    }

    /// Takes the bytes that the client has sent since the last call.
    pub(crate) fn take_sent(&mut self) -> Vec<u8> {
        mem::take(&mut self.sent)
    }

    /// Takes the events, carries out the effects, and does everything that is due.
    fn proceed(&mut self, now: Instant) {
        loop {
            for event in self.session.take_events() {
                self.note(event);
            }
            let Effects {
                output,
                wake_at,
                next,
                ..
            } = self.session.effects();
            self.sent.extend(output);
            (self.wake_at, self.next) = (wake_at, next);
            if next != Disposition::Open || wake_at.is_none_or(|at| at > now) {
                return;
            }
            self.session.wake(now, 0);
        }
    }

    fn note(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Opened {
                subprotocol,
                compress,
                fields: _,
            } => (self.subprotocol, self.is_compressed) = (subprotocol, compress),
            ClientEvent::Refused(refused) => self.refused = Some(refused),
            ClientEvent::Connection(event) => {
                if let Event::Closed(closed) = &event {
                    self.closed = Some(closed.clone());
                }
                self.events.push_back(event);
            }
        }
    }

    /// Drops the pings without a payload that come next.
    pub(crate) fn skip_empty_pings(&mut self) {
        let is_empty = |event: &Event| matches!(event, Event::Ping(payload) if payload.is_empty());
        while self.events.front().is_some_and(is_empty) {
            self.events.pop_front();
        }
    }

    /// The next message after pings and pongs. `None` if there is none, or another event comes first.
    pub(crate) fn next_message(&mut self) -> Option<Message> {
        let is_control = |event: &Event| matches!(event, Event::Ping(_) | Event::Pong(_));
        while self.events.front().is_some_and(is_control) {
            self.events.pop_front();
        }
        match self.events.pop_front()? {
            Event::Message(message) => Some(message),
            event => {
                self.events.push_front(event);
                None
            }
        }
    }
}
