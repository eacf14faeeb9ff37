use alloc::string::ToString;
use alloc::vec::Vec;
use core::mem;

use bytes::{Bytes, BytesMut};

use crate::frame::{Decoded, Expected, Header, MAX_CONTROL_PAYLOAD, Opcode, apply_mask};
use crate::message::{MessageType, PartialMessage};
use crate::{CloseCode, CloseReason, Instant, Limits, Message, ProtocolError, UsageError};

/// The server's side of one connection after the opening handshake, without I/O: bytes in, events
/// and bytes out.
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
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    state: State,
    now: Instant,
    /// Received and not yet parsed.
    input: BytesMut,
    /// The frame whose payload is being received.
    frame: Option<Frame>,
    /// The data message under way.
    message: Option<PartialMessage>,
    /// The payload of the control frame under way.
    control: BytesMut,
    /// How the connection closed, until the event is taken.
    closed: Option<Closed>,
    output: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Open,
    /// Our Close frame is sent; the peer's must come before the deadline.
    Closing {
        deadline: Instant,
    },
    Closed(Disposition),
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    header: Header,
    /// Payload bytes received so far.
    received: u64,
}

/// Something that happened on the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A whole message.
    Message(Message),
    /// A ping; its pong is already in the output (RFC 6455 §5.5.2).
    Ping(Bytes),
    /// A pong, whether asked for or not (§5.5.3).
    Pong(Bytes),
    /// The connection is closed. The last event, and exactly once.
    Closed(Closed),
}

/// How a connection came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// By the closing handshake (RFC 6455 §7.1.2), whoever began it: what the peer's Close frame said,
    /// none if it said nothing (1005).
    Handshake(Option<CloseReason>),
    /// The peer broke the protocol; it has been told so.
    Failed(ProtocolError),
    /// The stream ended without a Close frame (1006).
    EndOfStream,
    /// The peer did not answer our Close frame in time (1006).
    TimedOut,
}

/// What is to become of the socket once the output is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It stays open.
    Open,
    /// It is to be closed so that the peer can still read all output.
    Close,
    /// It is to be closed at once; the output need not be sent.
    Abort,
}

enum Step {
    Event(Event),
    Progress,
    NeedMore,
}

impl Connection {
    /// A connection whose opening handshake has just succeeded, on the server's side.
    #[must_use]
    pub fn server(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Open,
            now: Instant::default(),
            input: BytesMut::new(),
            frame: None,
            message: None,
            control: BytesMut::new(),
            closed: None,
            output: Vec::new(),
        }
    }

    /// Takes bytes from the peer, cut anywhere. They are unmasked in place and not copied where they
    /// hold whole messages.
    pub fn receive_bytes(&mut self, now: Instant, bytes: impl Into<BytesMut>) {
        self.now = now;
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

    /// The time is now `now`: ends the connection if its [`deadline`](Self::deadline) has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.end(Closed::TimedOut, Disposition::Abort);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Closing { deadline } => Some(deadline),
            _ => None,
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

    /// The bytes to send since the last call, in order.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        mem::take(&mut self.output)
    }

    /// The next event of the bytes received so far; none when they hold no further one.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(closed) = self.closed.take() {
                return Some(Event::Closed(closed));
            }
            if let State::Closed(_) = self.state {
                self.input = BytesMut::new();
                return None;
            }
            match self.step() {
                // §7.1.1 allows us to drop what comes behind our own Close frame.
                Ok(Step::Event(event)) if self.is_open() => return Some(event),
                Ok(Step::Event(_) | Step::Progress) => {}
                Ok(Step::NeedMore) => {
                    self.compact();
                    return None;
                }
                Err(error) => self.fail(error),
            }
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// [`UsageError::NotOpen`] once either side has begun the closing handshake.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), UsageError> {
        match message.into() {
            Message::Text(text) => self.send_text(&text),
            Message::Binary(bytes) => self.send_binary(&bytes),
        }
    }

    /// Sends a text message, in one frame.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_text(&mut self, text: &str) -> Result<(), UsageError> {
        self.send_frame(Opcode::Text, text.as_bytes())
    }

    /// Sends a binary message, in one frame.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_binary(&mut self, bytes: &[u8]) -> Result<(), UsageError> {
        self.send_frame(Opcode::Binary, bytes)
    }

    /// Sends a ping with a payload of up to 125 bytes; the peer's pong carries the same.
    ///
    /// # Errors
    ///
    /// [`UsageError::PingTooLong`], or as [`send`](Self::send).
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), UsageError> {
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(UsageError::PingTooLong);
        }
        self.send_frame(Opcode::Ping, payload)
    }

    /// Begins the closing handshake (RFC 6455 §7.1.2): sends a Close frame and waits, at most
    /// [`Limits::close_timeout`], for the peer's. Messages that still arrive are dropped.
    ///
    /// # Errors
    ///
    /// [`UsageError::ReasonTooLong`] above 123 bytes, or as [`send`](Self::send).
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), UsageError> {
        if reason.len() > MAX_CONTROL_PAYLOAD - 2 {
            return Err(UsageError::ReasonTooLong);
        }
        let mut payload = Vec::with_capacity(2 + reason.len());
        payload.extend_from_slice(&code.as_u16().to_be_bytes());
        payload.extend_from_slice(reason.as_bytes());
        self.send_frame(Opcode::Close, &payload)?;
        let deadline = self.now.after(self.limits.close_timeout);
        self.state = State::Closing { deadline };
        Ok(())
    }

    fn send_frame(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), UsageError> {
        // RFC 6455 §5.5.1: no frames "after sending a Close frame".
        if !self.is_open() {
            return Err(UsageError::NotOpen);
        }
        let header = Header {
            fin: true,
            opcode,
            masking_key: None,
            payload_len: payload.len() as u64,
        };
        header.encode(&mut self.output);
        self.output.extend_from_slice(payload);
        Ok(())
    }

    fn step(&mut self) -> Result<Step, ProtocolError> {
        match self.frame.take() {
            None => self.receive_header(),
            Some(frame) => self.receive_payload(frame),
        }
    }

    fn receive_header(&mut self) -> Result<Step, ProtocolError> {
        let under_way = self.message.as_ref().map(PartialMessage::len);
        let max_size = self.limits.max_message_size;
        let max_payload = max_size.saturating_sub(under_way.unwrap_or(0));
        let expected = Expected {
            masked: true,
            continuation: under_way.is_some(),
            max_payload: max_payload as u64,
        };
        let Decoded::Done { header, consumed } = Header::decode(&self.input, expected)? else {
            return Ok(Step::NeedMore);
        };
        let _ = self.input.split_to(consumed);
        self.receive_payload(Frame {
            header,
            received: 0,
        })
    }

    fn receive_payload(&mut self, mut frame: Frame) -> Result<Step, ProtocolError> {
        let header = frame.header;
        let missing = header.payload_len - frame.received;
        let available = self.input.len();
        let size = usize::try_from(missing).map_or(available, |missing| missing.min(available));
        let mut piece = self.input.split_to(size);
        if let Some(key) = header.masking_key {
            apply_mask(key, frame.received, &mut piece);
        }
        frame.received += size as u64;
        let complete = frame.received == header.payload_len;
        if !complete {
            self.frame = Some(frame);
        }
        if header.opcode.is_control() {
            self.control.unsplit(piece);
            if complete {
                let payload = mem::take(&mut self.control).freeze();
                return self.control_frame(header.opcode, payload);
            }
        } else if let Some(message) = self.data_piece(header, piece, complete)? {
            return Ok(Step::Event(Event::Message(message)));
        }
        Ok(if complete {
            Step::Progress
        } else {
            Step::NeedMore
        })
    }

    /// Adds a piece of a data frame's payload to the message; the message, if that was the last one.
    fn data_piece(
        &mut self,
        header: Header,
        piece: BytesMut,
        complete: bool,
    ) -> Result<Option<Message>, ProtocolError> {
        let last = complete && header.fin;
        let mut message = match (self.message.take(), header.opcode) {
            (Some(message), _) => message,
            (None, opcode) => {
                let message_type = match opcode {
                    Opcode::Text => MessageType::Text,
                    _ => MessageType::Binary,
                };
                if last {
                    return message_type.whole(piece.freeze()).map(Some);
                }
                PartialMessage::new(message_type, self.limits.max_message_size)
            }
        };
        message.push(&piece)?;
        if last {
            return message.finish().map(Some);
        }
        self.message = Some(message);
        Ok(None)
    }

    fn control_frame(&mut self, opcode: Opcode, payload: Bytes) -> Result<Step, ProtocolError> {
        Ok(match opcode {
            Opcode::Close => {
                let reason = CloseReason::decode(&payload)?;
                // RFC 6455 §5.5.1: "When sending a Close frame in response, the endpoint typically
                // echos the status code it received." After our own Close this sends nothing.
                let code = payload.get(..2).unwrap_or_default();
                let _ = self.send_frame(Opcode::Close, code);
                // §7.1.1: "the server MUST close the TCP connection" first, immediately.
                self.end(Closed::Handshake(reason), Disposition::Close);
                Step::Progress
            }
            Opcode::Ping => {
                // §5.5.2: a pong in answer "unless it already received a Close frame"; after our own
                // Close this sends nothing.
                let _ = self.send_frame(Opcode::Pong, &payload);
                Step::Event(Event::Ping(payload))
            }
            _ => Step::Event(Event::Pong(payload)),
        })
    }

    /// Fails the connection (RFC 6455 §7.1.7): a Close frame with the code, and no more reading.
    fn fail(&mut self, error: ProtocolError) {
        let _ = self.close(error.close_code(), &error.to_string());
        self.end(Closed::Failed(error), Disposition::Close);
    }

    fn end(&mut self, closed: Closed, disposition: Disposition) {
        if !matches!(self.state, State::Closed(_)) {
            self.state = State::Closed(disposition);
            self.closed = Some(closed);
            self.frame = None;
            self.message = None;
            self.control = BytesMut::new();
        }
    }

    /// Lets go of the read buffer: at most an incomplete header is left of it.
    fn compact(&mut self) {
        self.input = BytesMut::from(&self.input[..]);
    }
}
