//! A taken-over socket.

use std::collections::VecDeque;
use std::mem;

use wasocket::topics::{Delivery, TopicEvent};
use wasocket::{Disposition, Instant, Report};
use wasocket_host_core::turn::{Call, Turn};

use super::client::Client;
use crate::contract::{Handle, Next, Takeover};

/// The most bytes per call (`websocket-handler.wit`, `receive`).
const MAX_PIECE: usize = 65_536;

/// A taken-over socket: the host's state of it, and the peer at its other end.
pub(crate) struct Peer {
    /// The app's connection.
    pub(crate) handle: Handle,
    /// Which call into it may come next.
    pub(crate) turn: Turn,
    /// The app's report, once it has ended.
    pub(crate) report: Option<Report>,
    final_bytes: Vec<u8>,
    /// The latest `next` of the app.
    pub(crate) next: Next,
    /// Another connection wants this one to be woken.
    pub(crate) is_named: bool,
    /// Whether the app has earned a wake in another way.
    earned: Option<Call>,
    /// Bytes sent by the peer that the app has not received.
    input: Vec<u8>,
    /// Whether the peer has finished sending.
    has_finished: bool,
    /// Whether the peer has given up the socket.
    pub(crate) is_lost: bool,
    /// Whether the peer accepts no output.
    pub(crate) is_blocked: bool,
    unsent: Vec<u8>,
    /// What was published, and told, while output was unsent.
    pub(crate) waiting: VecDeque<Waiting>,
    /// Whether the host closes once all output is sent.
    pub(crate) is_closing: bool,
    /// Whether the peer has seen the end.
    pub(crate) is_closed: bool,
    /// Bytes accepted by the peer that the test has not read.
    pub(crate) output: Vec<u8>,
    pub(crate) client: Option<Client>,
}

/// Something of a topic that is for a connection with unsent output.
pub(crate) enum Waiting {
    Delivery(Delivery),
    Event(TopicEvent),
}

/// Input for the app.
pub(crate) enum Input {
    Bytes(Vec<u8>),
    End,
}

impl Peer {
    pub(crate) fn new(takeover: Takeover, client: Option<Client>) -> Self {
        Self {
            handle: takeover.connection,
            turn: Turn::new(),
            report: None,
            final_bytes: takeover.final_bytes,
            next: Next::Open,
            is_named: false,
            earned: None,
            input: Vec::new(),
            has_finished: false,
            is_lost: false,
            is_blocked: false,
            unsent: Vec::new(),
            waiting: VecDeque::new(),
            is_closing: false,
            is_closed: false,
            output: Vec::new(),
            client,
        }
    }

    /// The instant at which to wake the client; `None` once its socket is closed.
    pub(crate) fn client_instant(&self) -> Option<u64> {
        let client = self.client.as_ref().filter(|_| !self.is_closed)?;
        let is_open = client.next == Disposition::Open;
        client.wake_at.filter(|_| is_open).map(Instant::as_nanos)
    }

    /// Whether it may be given what is published, and told of topics.
    pub(crate) fn is_ready(&self) -> bool {
        self.turn.is_open() && self.unsent.is_empty()
    }

    /// The number of bytes that wait.
    pub(crate) fn waiting_bytes(&self) -> usize {
        let bytes = |waiting: &Waiting| match waiting {
            Waiting::Delivery(delivery) => delivery.message.as_bytes().len(),
            Waiting::Event(_) => 0,
        };
        self.waiting.iter().map(bytes).sum()
    }

    pub(crate) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Sends bytes from the peer.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if !self.has_finished {
            self.input.extend_from_slice(bytes);
        }
    }

    /// Whether to wake the app, for another connection or because its output has been sent; clears the mark.
    pub(crate) fn take_wake(&mut self) -> bool {
        let mut call = self.earned.take();
        if mem::take(&mut self.is_named) {
            call = self.turn.on_woken();
        }
        call.is_some() && self.turn.is_open()
    }

    /// Takes the input that the app may be given now.
    pub(crate) fn take_input(&mut self) -> Option<Input> {
        if !self.is_readable() {
            return None;
        }
        if self.input.is_empty() {
            return self.turn.on_eof().map(|_| Input::End);
        }
        let rest = self.input.split_off(self.input.len().min(MAX_PIECE));
        Some(Input::Bytes(mem::replace(&mut self.input, rest)))
    }

    pub(crate) fn is_readable(&self) -> bool {
        let has_input = !self.input.is_empty() || self.has_finished;
        has_input && self.turn.may_receive()
    }

    /// Sends the app's output.
    pub(crate) fn put_out(&mut self, now: Instant, bytes: &[u8]) {
        if self.is_closed {
            return;
        }
        self.unsent.extend_from_slice(bytes);
        if self.is_blocked {
            self.sent();
        } else {
            self.flush(now);
        }
    }

    /// Makes the peer accept all unsent output.
    pub(crate) fn flush(&mut self, now: Instant) {
        let bytes = mem::take(&mut self.unsent);
        self.sent();
        self.output.extend_from_slice(&bytes);
        if let Some(client) = &mut self.client
            && !bytes.is_empty()
        {
            client.receive(now, &bytes);
        }
        self.fetch();
        if self.is_closing {
            self.finish(now);
        }
    }

    /// Records that the host has sent as much as the peer accepts.
    fn sent(&mut self) {
        let earned = self.turn.on_sent(self.unsent.len());
        self.earned = self.earned.or(earned);
    }

    /// Fetches the client's bytes, and notes if it is done with the socket.
    pub(crate) fn fetch(&mut self) {
        let Some(client) = self.client.as_mut().filter(|client| !client.is_held) else {
            return;
        };
        let (sent, next) = (client.take_sent(), client.next);
        self.send(&sent);
        match next {
            Disposition::Open | Disposition::Pause => {}
            Disposition::Close => self.end_input(),
            Disposition::Abort => self.is_lost = true,
        }
    }

    /// Ends the peer's direction.
    pub(crate) fn end_input(&mut self) {
        self.has_finished = true;
    }

    /// Closes the socket once all output is sent.
    pub(crate) fn close(&mut self, now: Instant) {
        self.is_closing = true;
        if self.unsent.is_empty() {
            self.finish(now);
        }
    }

    /// The instance has died.
    pub(crate) fn send_final_bytes(&mut self, now: Instant) {
        if self.turn.on_died().is_some() {
            let final_bytes = mem::take(&mut self.final_bytes);
            self.put_out(now, &final_bytes);
            self.close(now);
        }
    }

    /// Closes the socket at once, whatever is unsent.
    pub(crate) fn finish(&mut self, now: Instant) {
        self.unsent = Vec::new();
        if mem::replace(&mut self.is_closed, true) {
            return;
        }
        if let Some(client) = &mut self.client {
            client.receive_eof(now);
        }
    }
}
