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
    Ceiling, CloseReason, Closing, Initiator, Instant, Limits, ProtocolError, Report,
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
/// [`handle_timeout`](Self::handle_timeout), call [`next_event`](Self::next_event) until it returns
/// none; then send what [`take_output`](Self::take_output) returns, do with the socket what
/// [`disposition`](Self::disposition) says, and call `handle_timeout` at
/// [`deadline`](Self::deadline).
///
/// ```text
///            close()                     Close received, time out, violation, end of stream
///   Open ─────────────► Closing ────────────────────────────────────────► Closed
///    └──────────── Close received, violation, end of stream ────────────────┘
/// ```
///
/// A client is `Draining` before `Closed` when the closing handshake is complete: the server is to
/// close the socket first (RFC 6455 §7.1.1).
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
    /// The data message under way.
    message: Option<PartialMessage>,
    /// The same, where it is delivered in pieces.
    pieces: Option<Box<Pieces>>,
    /// Whether messages are, from the next on.
    streams: bool,
    /// The message that is being sent in fragments.
    outgoing: Option<Outgoing>,
    /// The payload of the control frame under way.
    control: BytesMut,
    /// Pings of the current input that have been answered.
    pongs: usize,
    /// The payload of the last ping that has not been answered, there being too many.
    late_pong: Option<Bytes>,
    /// What ends the connection, received and not acted on: what a Close frame says, or a violation.
    ending: Option<Result<Option<CloseReason>, ProtocolError>>,
    /// What began the end.
    closing: Option<Closing>,
    /// How the connection closed, until the event is taken.
    closed: Option<Closed>,
    messages_received: u64,
    messages_sent: u64,
    output: Vec<u8>,
}

/// Which end of the connection this is.
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

    /// Whether messages are delivered in pieces while they arrive, from the next one that begins: with
    /// [`Event::Piece`], except those that come in one piece, which are [`Event::Message`] as ever.
    /// Default false: they are kept until they are whole.
    ///
    /// The pieces take no more memory than the bytes that were received last, or 32 KiB of a compressed
    /// message at a time (and the decompressor's 47 KiB and up to 96 KiB of its past). How long such a
    /// message may be: [`Limits::max_streamed_size`]. What is found to be wrong with a message is found
    /// behind the pieces before.
    pub fn stream_messages(&mut self, streams: bool) {
        self.streams = streams;
    }

    /// Whether the peer is not read from for now, which is no fault of its own: see
    /// [`Limits::max_messages_per_second`].
    pub(crate) fn hold(&mut self, held: bool) {
        self.bounds.hold(held, self.now);
    }

    /// Sets how long a message may be, from the next one that begins to arrive:
    /// [`Limits::max_message_size`], and with it `max_frame_size` and `max_fragments`, as
    /// [`Limits::for_messages`] has them; but not above the [ceiling](Self::limit). For peers that may send more
    /// once they have logged in, or less.
    pub fn set_max_message_size(&mut self, size: usize) {
        self.bounds.set_max_message_size(size);
    }

    /// Lowers the limits to those of whoever runs the app, from the next message on. None is ever raised by it.
    pub fn limit(&mut self, ceiling: Ceiling) {
        self.bounds.lower(ceiling);
    }

    /// The limits of the connection, as they are now.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.bounds.limits()
    }

    /// Takes bytes from the peer, cut anywhere. They are unmasked in place and not copied where they
    /// hold whole messages.
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

    /// The peer has finished sending. Bytes received before must have been drained.
    pub fn receive_eof(&mut self, now: Instant) {
        self.now = now;
        self.end(Closed::EndOfStream, Disposition::Close);
    }

    /// The time is now `now`, and so many bytes of the output are not sent yet: does what was to be done
    /// at the [`deadline`](Self::deadline), if it has passed. That is to ping a silent peer, to close a
    /// connection that has been idle or open for too long, or to end one that does not answer.
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
            // What is unsent may include our Close: the peer's time has not begun.
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

    /// Notes the time without doing what is due.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.now = now;
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called next.
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

    /// What is to become of the socket once all output is sent.
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

    /// What became of the connection so far. It knows of no fault.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            messages_received: self.messages_received,
            messages_sent: self.messages_sent,
            closing: self.closing.clone(),
            fault: None,
        }
    }

    /// How many bytes [`take_output`](Self::take_output) would return.
    #[must_use]
    pub fn buffered_output(&self) -> usize {
        self.output.len()
    }

    /// The bytes to send since the last call, in order.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        mem::take(&mut self.output)
    }

    /// The next event of the bytes received so far; none when they hold no further one.
    pub fn next_event(&mut self) -> Option<Event> {
        self.next_event_before_end().or_else(|| self.end_event())
    }

    /// As [`next_event`](Self::next_event), but nothing is done yet about what ends the connection: it
    /// stays open, and `next_event` is due at once.
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
