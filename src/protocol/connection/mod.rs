mod age;
mod bounds;
mod ending;
mod event;
mod fragments;
mod keepalive;
mod pieces;
mod rate;
mod receive;
mod send;
mod suspend;

pub use event::{Closed, Disposition, Event};

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use bytes::{Bytes, BytesMut};

use crate::protocol::extension::Extensions;
use crate::protocol::frame::MaskingKeys;
use crate::protocol::message::PartialMessage;
use crate::protocol::{
    CloseReason, Closing, Initiator, Instant, Limits, MessageLimits, ProtocolError, Report,
};
use age::Age;
use bounds::Bounds;
use fragments::Outgoing;
use keepalive::{Keepalive, Verdict};
use pieces::Pieces;
use receive::{Frame, Step};

/// One connection after the opening handshake, without I/O: bytes in, events and bytes out.
///
/// After [`receive_bytes`](Self::receive_bytes), [`receive_eof`](Self::receive_eof) and
/// [`handle_timeout`](Self::handle_timeout), call [`next_event`](Self::next_event) until it returns `None`.
/// Then send what [`take_output`](Self::take_output) returns, treat the socket as
/// [`disposition`](Self::disposition) says, and call `handle_timeout` at the [`deadline`](Self::deadline).
///
/// ```text
///            close()                     Close received, time out, violation, end of stream
///   Open ─────────────► Closing ────────────────────────────────────────► Closed
///    └──────────── Close received, violation, end of stream ────────────────┘
/// ```
///
/// A client is `Draining` before `Closed` when the closing handshake is complete: the server should close the
/// socket first (RFC 6455 §7.1.1).
#[derive(Debug)]
pub struct Connection {
    role: Role,
    bounds: Bounds,
    extensions: Extensions,
    state: State,
    keepalive: Keepalive,
    age: Age,
    now: Instant,
    /// Received and not yet parsed.
    input: BytesMut,
    /// The frame whose payload is being received.
    frame: Option<Frame>,
    /// The data message in progress.
    message: Option<PartialMessage>,
    /// The same, if it is delivered in pieces.
    pieces: Option<Box<Pieces>>,
    /// Whether messages are delivered in pieces, from the next one on.
    streams: bool,
    /// The message that is being sent in fragments.
    outgoing: Option<Outgoing>,
    /// The payload of the control frame in progress.
    control: BytesMut,
    /// The number of pings in the current input that have been answered.
    pongs: usize,
    /// The payload of the last ping that was left unanswered because there were too many.
    late_pong: Option<Bytes>,
    /// The cause of the end, received but not acted on yet: the content of a Close frame, or a violation.
    ending: Option<Result<Option<CloseReason>, ProtocolError>>,
    /// The first cause of the end.
    closing: Option<Closing>,
    /// How the connection closed, until the event is taken.
    closed: Option<Closed>,
    messages_received: u64,
    messages_sent: u64,
    output: Vec<u8>,
}

/// The side of the connection that this is.
#[derive(Debug)]
enum Role {
    Server,
    /// Masks every frame it sends (RFC 6455 §5.1).
    Client(Box<MaskingKeys>),
}

#[derive(Debug, Clone, Copy)]
enum State {
    Open,
    /// Our Close frame is sent; the peer's must come before the deadline.
    Closing {
        deadline: Instant,
    },
    /// The closing handshake is complete; the server has until the deadline to close the socket.
    Draining {
        deadline: Instant,
    },
    Closed(Disposition),
}

impl Connection {
    /// The server's side of a connection whose opening handshake has just succeeded.
    #[must_use]
    pub fn server(limits: Limits) -> Self {
        Self::new(Role::Server, limits)
    }

    /// The client's side of a connection whose opening handshake has just succeeded.
    #[must_use]
    pub fn client(limits: Limits, masking_keys: MaskingKeys) -> Self {
        Self::new(Role::Client(Box::new(masking_keys)), limits)
    }

    /// The same connection with the extensions that were negotiated (RFC 6455 §9.1).
    #[must_use]
    pub fn with_extensions(mut self, extensions: Extensions) -> Self {
        self.extensions = extensions;
        self
    }

    fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            keepalive: Keepalive::new(&limits),
            age: Age::new(&limits),
            bounds: Bounds::new(limits),
            extensions: Extensions::default(),
            state: State::Open,
            now: Instant::default(),
            input: BytesMut::new(),
            frame: None,
            message: None,
            pieces: None,
            streams: false,
            outgoing: None,
            control: BytesMut::new(),
            pongs: 0,
            late_pong: None,
            ending: None,
            closing: None,
            closed: None,
            messages_received: 0,
            messages_sent: 0,
            output: Vec::new(),
        }
    }

    /// Sets whether messages are delivered in pieces while they arrive, from the next one that begins: as
    /// [`Event::Piece`], except messages that come in one piece, which are [`Event::Message`] as always.
    /// Default false: messages are kept until they are whole.
    ///
    /// The pieces take no more memory than the bytes that were received last, or 32 KiB at a time for a
    /// compressed message (plus the decompressor's 47 KiB and up to 96 KiB of history).
    /// [`Limits::max_streamed_size`] bounds the length of such a message. An error in a message shows only
    /// after the pieces before it.
    pub fn stream_messages(&mut self, streams: bool) {
        self.streams = streams;
    }

    /// Notes whether the host has stopped reading from the peer, which is not the peer's fault: see
    /// [`Limits::max_messages_per_second`].
    pub(crate) fn hold(&mut self, held: bool) {
        self.bounds.hold(held, self.now);
    }

    /// Sets the longest message, from the next one that begins to arrive: [`Limits::max_message_size`], with
    /// `max_frame_size` and `max_fragments` as in [`Limits::for_messages`]; but not above the
    /// [operator's limits](Self::set_limits). For peers that may send more, or less, once they have logged in.
    pub fn set_max_message_size(&mut self, size: usize) {
        self.bounds.set_max_message_size(size);
    }

    /// Lowers the limits to the operator's, from the next message on. It never raises a limit.
    pub fn set_limits(&mut self, limits: MessageLimits) {
        self.bounds.lower(limits);
    }

    /// The limits of the connection, as they are now.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.bounds.limits()
    }

    /// Takes bytes from the peer, cut anywhere. They are unmasked in place, and not copied if they hold whole
    /// messages.
    pub fn receive_bytes(&mut self, now: Instant, bytes: impl Into<BytesMut>) {
        self.now = now;
        self.keepalive.heard(now);
        self.age.begin(now);
        self.pongs = 0;
        if self.input.is_empty() {
            self.input = bytes.into();
        } else {
            self.input.extend_from_slice(&bytes.into());
        }
    }

    /// Takes the end of the peer's stream. Drain the events of earlier bytes first.
    pub fn receive_eof(&mut self, now: Instant) {
        self.now = now;
        self.end(Closed::EndOfStream, Disposition::Close);
    }

    /// Takes the time and the number of output bytes that are not sent yet. If the
    /// [`deadline`](Self::deadline) has passed, does what is due: pings a silent peer, closes a connection
    /// that has been idle or open for too long, or ends one whose peer does not answer.
    pub fn handle_timeout(&mut self, now: Instant, unsent: u64) {
        self.now = now;
        if self.ending.is_some() {
            return;
        }
        match self.state {
            State::Open => {
                self.keep_alive(unsent);
                self.end_in_time(unsent);
            }
            // Our Close frame may be among the unsent bytes, so the peer's time has not begun.
            State::Closing { deadline } if deadline <= now && unsent > 0 => {
                let deadline = now.after(self.limits().close_timeout);
                self.state = State::Closing { deadline };
            }
            State::Closing { deadline } if deadline <= now => {
                self.end(Closed::TimedOut, Disposition::Abort);
            }
            State::Draining { deadline } if deadline <= now => {
                self.state = State::Closed(Disposition::Close);
            }
            _ => {}
        }
    }

    fn keep_alive(&mut self, unsent: u64) {
        match self.keepalive.look(self.now, unsent) {
            Verdict::Wait => {}
            Verdict::Ping => {
                let _ = self.ping(&[]);
            }
            Verdict::GiveUp => self.end(Closed::TimedOut, Disposition::Abort),
        }
    }

    fn end_in_time(&mut self, unsent: u64) {
        if self.is_open()
            && let Some(over) = self.age.look(self.now, unsent)
        {
            let (code, reason) = over.reason();
            let _ = self.close_by(Initiator::Protocol, code, reason);
        }
    }

    /// Takes the time without doing what is due.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.now = now;
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.ending.is_some() {
            return Some(self.now);
        }
        match self.state {
            State::Closing { deadline } | State::Draining { deadline } => Some(deadline),
            State::Open => [self.keepalive.due(), self.age.due()]
                .into_iter()
                .flatten()
                .min(),
            State::Closed(_) => None,
        }
    }

    /// The fate of the socket once all output is sent.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self.state {
            State::Closed(disposition) => disposition,
            _ => Disposition::Open,
        }
    }

    /// Whether messages can be sent: no Close frame has been sent or received.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// The report on the connection so far, without a fault of the app.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            messages_received: self.messages_received,
            messages_sent: self.messages_sent,
            closing: self.closing.clone(),
            fault: None,
        }
    }

    /// The number of bytes that [`take_output`](Self::take_output) would return.
    #[must_use]
    pub fn buffered_output(&self) -> usize {
        self.output.len()
    }

    /// The bytes to send since the last call, in order.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        mem::take(&mut self.output)
    }

    /// The next event in the bytes received so far; `None` when there are no more.
    pub fn next_event(&mut self) -> Option<Event> {
        self.next_event_before_end().or_else(|| self.end_event())
    }

    /// As [`next_event`](Self::next_event), but does not act yet on what ends the connection: it stays open,
    /// and `next_event` is due at once.
    pub(crate) fn next_event_before_end(&mut self) -> Option<Event> {
        while self.ending.is_none() {
            if let State::Draining { .. } | State::Closed(_) = self.state {
                self.input = BytesMut::new();
                return None;
            }
            match self.step() {
                Ok(Step::Event(event)) => {
                    self.messages_received += u64::from(event.ends_message());
                    return Some(event);
                }
                Ok(Step::Progress) => {}
                Ok(Step::Close(payload)) => self.ending = Some(self.receive_close(&payload)),
                Ok(Step::NeedMore) => {
                    self.end_of_input();
                    return None;
                }
                Err(error) => self.ending = Some(Err(error)),
            }
        }
        None
    }
}
