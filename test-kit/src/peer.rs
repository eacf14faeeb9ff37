use std::mem;

use wasocket::{Disposition, Instant, Report};

use crate::bindings::{Handle, Next, Takeover};
use crate::client::Client;

/// The most bytes that are received at once (`websocket-handler.wit`, `receive`).
const MAX_PIECE: usize = 65_536;

/// A taken-over socket: what the host keeps of it, and the peer at its other end.
pub(crate) struct Peer {
    /// The app's connection; none once it has had its last call.
    pub(crate) handle: Option<Handle>,
    /// What the app says became of it, once it has had that call.
    pub(crate) report: Option<Report>,
    farewell: Vec<u8>,
    /// In nanoseconds.
    pub(crate) wake_at: Option<u64>,
    pub(crate) next: Next,
    /// Another connection wants this one to be woken, or all output is sent that was not.
    pub(crate) is_called: bool,
    /// Sent by the peer, and not received by the app.
    input: Vec<u8>,
    input_end: InputEnd,
    /// Whether the peer has given the socket up.
    pub(crate) is_lost: bool,
    /// Whether the peer takes no output.
    pub(crate) is_blocked: bool,
    unsent: Vec<u8>,
    /// Whether the app has been told that the connection shall end.
    is_told_to_end: bool,
    /// Whether the host closes behind what is unsent.
    pub(crate) is_closing: bool,
    /// Whether the peer has seen the end.
    pub(crate) is_closed: bool,
    /// Taken by the peer, and not yet read by the test.
    pub(crate) output: Vec<u8>,
    pub(crate) client: Option<Client>,
}

/// Whether the peer has finished sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InputEnd {
    Open,
    Sent,
    /// And the app knows.
    Told,
}

/// What an app is to be told of its socket.
pub(crate) enum Input {
    Bytes(Vec<u8>),
    End,
}

impl Peer {
    pub(crate) fn new(takeover: Takeover, client: Option<Client>) -> Self {
        Self {
            handle: Some(takeover.connection),
            report: None,
            farewell: takeover.farewell,
            wake_at: None,
            next: Next::Open,
            is_called: false,
            input: Vec::new(),
            input_end: InputEnd::Open,
            is_lost: false,
            is_blocked: false,
            unsent: Vec::new(),
            is_told_to_end: false,
            is_closing: false,
            is_closed: false,
            output: Vec::new(),
            client,
        }
    }

    pub(crate) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// The peer sends bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if self.input_end == InputEnd::Open {
            self.input.extend_from_slice(bytes);
        }
    }

    /// What the app may be told now: nothing while its output is unsent, or it has paused.
    pub(crate) fn take_input(&mut self) -> Option<Input> {
        if !self.is_readable() {
            return None;
        }
        if self.input.is_empty() {
            self.input_end = InputEnd::Told;
            return Some(Input::End);
        }
        let rest = self.input.split_off(self.input.len().min(MAX_PIECE));
        Some(Input::Bytes(mem::replace(&mut self.input, rest)))
    }

    pub(crate) fn is_readable(&self) -> bool {
        let has_input = !self.input.is_empty() || self.input_end == InputEnd::Sent;
        let may_read = self.unsent.is_empty() && self.next == Next::Open;
        self.handle.is_some() && has_input && may_read
    }

    /// The host sends what the app puts out.
    pub(crate) fn put_out(&mut self, now: Instant, bytes: &[u8]) {
        if self.is_closed {
            return;
        }
        self.unsent.extend_from_slice(bytes);
        if !self.is_blocked {
            self.flush(now);
        }
    }

    /// The peer takes all that is unsent. Returns whether there was any.
    pub(crate) fn flush(&mut self, now: Instant) -> bool {
        let bytes = mem::take(&mut self.unsent);
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
        !bytes.is_empty()
    }

    /// The client's own bytes are on their way, and it may be done with the socket.
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

    /// The peer finishes sending.
    pub(crate) fn end_input(&mut self) {
        if self.input_end == InputEnd::Open {
            self.input_end = InputEnd::Sent;
        }
    }

    /// Whether the app is to be told that the connection shall end: once at most.
    pub(crate) fn tell_to_end(&mut self) -> bool {
        !mem::replace(&mut self.is_told_to_end, true)
    }

    /// The host closes behind what is unsent.
    pub(crate) fn close(&mut self, now: Instant) {
        self.is_closing = true;
        if self.unsent.is_empty() {
            self.finish(now);
        }
    }

    /// The instance has died.
    pub(crate) fn bid_farewell(&mut self, now: Instant) {
        if self.handle.take().is_some() {
            let farewell = mem::take(&mut self.farewell);
            self.put_out(now, &farewell);
            self.close(now);
        }
    }

    /// The socket is closed, whatever is unsent.
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
