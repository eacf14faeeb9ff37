use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use super::Effects;
use super::refusal_body::RefusalBody;
use crate::head::{Fields, Response, ResponseHead};
use crate::protocol::frame::MaskingKeys;
use crate::protocol::handshake::{
    ClientError, ClientHandshake, ClientRequest, ClientRequestError, read_response_head,
};
use crate::protocol::{Connection, Disposition, Event, Instant, Limits};

/// How long to wait for the rest of a refusal once its head is there: its body may never end.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// The most interim responses before the final one: a server could send them forever.
const MAX_INTERIM: u32 = 16;

/// A client's connection from the first byte of the request to the end, without I/O: the
/// `client-connection` resource of the WIT package.
///
/// After each call, call [`take_events`](Self::take_events) and then [`effects`](Self::effects).
/// `docs/porting-from-go.md` shows the loop over a blocking socket.
#[derive(Debug)]
pub struct ClientSession {
    phase: Phase,
    limits: Limits,
    /// When the opening handshake must be complete.
    deadline: Instant,
    events: Vec<ClientEvent>,
    /// Whether messages are delivered in pieces.
    streams: bool,
    /// The number of interim responses so far.
    interim: u32,
}

#[derive(Debug)]
enum Phase {
    Connecting {
        handshake: ClientHandshake,
        masking_keys: Box<MaskingKeys>,
        input: Vec<u8>,
    },
    /// The server has refused; the body of its response is being read.
    Refused {
        reason: ClientError,
        head: ResponseHead,
        body: RefusalBody,
    },
    Open(Box<Connection>),
    Ended(Disposition),
}

/// Something that happened on a client's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The opening handshake has succeeded.
    Opened {
        /// The subprotocol in use.
        subprotocol: Option<String>,
        /// Whether messages may be compressed.
        compress: bool,
        /// The fields of the server's 101, such as `Set-Cookie`.
        fields: Fields,
    },
    /// There is no WebSocket. The last event.
    Refused(Refused),
    /// Something on the open connection.
    Connection(Event),
}

/// Why the server did not open a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The reason, for people to read.
    pub reason: String,
    /// The response, if one arrived, with at most the first 4,096 bytes of its body.
    pub response: Option<Response>,
}

impl ClientSession {
    /// Begins the opening handshake. Returns the session, and the request to send.
    ///
    /// `entropy` must come from a secure source and serve this connection only (RFC 6455 §4.1, §5.3).
    /// The server has [`Limits::handshake_timeout`] to answer.
    ///
    /// # Errors
    ///
    /// The part of the request that cannot be sent.
    pub fn connect(
        now: Instant,
        request: ClientRequest,
        limits: Limits,
        entropy: &[u8; 48],
    ) -> Result<(Self, Effects), ClientRequestError> {
        let (nonce, seed) = entropy.split_at(16);
        let nonce = nonce.first_chunk().copied().unwrap_or_default();
        let seed = seed.first_chunk().copied().unwrap_or_default();
        let handshake = ClientHandshake::new(request, nonce)?;
        let output = handshake.request();
        let session = Self {
            phase: Phase::Connecting {
                handshake,
                masking_keys: Box::new(MaskingKeys::from_seed(seed)),
                input: Vec::new(),
            },
            limits,
            deadline: now.after(limits.handshake_timeout),
            events: Vec::new(),
            streams: false,
            interim: 0,
        };
        let effects = Effects {
            topics: Vec::new(),
            output,
            wake_at: Some(session.deadline),
            next: Disposition::Open,
        };
        Ok((session, effects))
    }

    /// Sets whether messages are delivered in pieces: see [`Connection::stream_messages`].
    pub fn stream_messages(&mut self, streams: bool) {
        self.streams = streams;
        if let Phase::Open(connection) = &mut self.phase {
            connection.stream_messages(streams);
        }
    }

    /// The connection to send on, while it is open. Then call [`effects`](Self::effects).
    pub fn connection(&mut self, now: Instant) -> Option<&mut Connection> {
        match &mut self.phase {
            Phase::Open(connection) => {
                connection.advance(now);
                connection.is_open().then_some(connection)
            }
            _ => None,
        }
    }

    /// Bytes arrived.
    pub fn receive(&mut self, now: Instant, bytes: Vec<u8>) {
        match &mut self.phase {
            Phase::Connecting { input, .. } => {
                input.extend_from_slice(&bytes);
                self.receive_head(now);
            }
            Phase::Refused { body, .. } => {
                body.push(&bytes);
                if body.is_complete() {
                    self.refuse();
                }
            }
            Phase::Open(connection) => connection.receive_bytes(now, bytes::Bytes::from(bytes)),
            Phase::Ended(_) => {}
        }
    }

    /// The server has finished sending.
    pub fn receive_eof(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Connecting { .. } => self.give_up("the server closed without an answer"),
            Phase::Refused { .. } => self.refuse(),
            Phase::Open(connection) => {
                // Only the end may be left of what came before.
                let last = connection.next_event().map(ClientEvent::Connection);
                self.events.extend(last);
                connection.receive_eof(now);
            }
            Phase::Ended(_) => {}
        }
    }

    /// The requested instant has come; `unsent` bytes of the output are not sent yet.
    pub fn wake(&mut self, now: Instant, unsent: u64) {
        match &mut self.phase {
            Phase::Open(connection) => connection.handle_timeout(now, unsent),
            Phase::Ended(_) => {}
            _ if now < self.deadline => {}
            Phase::Connecting { .. } => self.give_up("the server did not answer in time"),
            Phase::Refused { .. } => self.refuse(),
        }
    }

    /// The events since the last call, in order.
    #[must_use]
    pub fn take_events(&mut self) -> Vec<ClientEvent> {
        if let Phase::Open(connection) = &mut self.phase {
            let mut has_message = false;
            while let Some(event) = connection.next_event_before_end() {
                has_message |= matches!(event, Event::Message(_) | Event::Piece(_));
                self.events.push(ClientEvent::Connection(event));
            }
            // A message that came with the end can be answered first: the end waits for the next call.
            if !(has_message && connection.is_open()) {
                let last = connection.next_event().map(ClientEvent::Connection);
                self.events.extend(last);
            }
        }
        mem::take(&mut self.events)
    }

    /// The host's next actions. Call it after [`take_events`](Self::take_events).
    #[must_use]
    pub fn effects(&mut self) -> Effects {
        let (output, wake_at, next) = match &mut self.phase {
            Phase::Connecting { .. } | Phase::Refused { .. } => {
                (Vec::new(), Some(self.deadline), Disposition::Open)
            }
            Phase::Open(connection) => (
                connection.take_output(),
                connection.deadline(),
                connection.disposition(),
            ),
            Phase::Ended(next) => (Vec::new(), None, *next),
        };
        Effects {
            topics: Vec::new(),
            output,
            wake_at,
            next,
        }
    }

    fn receive_head(&mut self, now: Instant) {
        let phase = mem::replace(&mut self.phase, Phase::Ended(Disposition::Close));
        let Phase::Connecting {
            handshake,
            masking_keys,
            mut input,
        } = phase
        else {
            self.phase = phase;
            return;
        };
        let (head, size) = match self.final_head(&mut input) {
            Ok(Some(read)) => read,
            Ok(None) => {
                self.phase = Phase::Connecting {
                    handshake,
                    masking_keys,
                    input,
                };
                return;
            }
            Err(error) => return self.give_up(&error.to_string()),
        };
        let rest = input.split_off(size);
        match handshake.check(&head) {
            Ok(negotiated) => {
                self.events.push(ClientEvent::Opened {
                    subprotocol: negotiated.subprotocol,
                    compress: negotiated.extensions.compress(),
                    fields: head.fields,
                });
                let mut connection = Connection::client(self.limits, *masking_keys)
                    .with_extensions(negotiated.extensions);
                connection.stream_messages(self.streams);
                self.phase = Phase::Open(Box::new(connection));
                self.receive(now, rest);
            }
            Err(reason) => {
                let body = RefusalBody::after(&head);
                self.phase = Phase::Refused { reason, head, body };
                self.deadline = self.deadline.min(now.after(BODY_TIMEOUT));
                self.receive(now, rest);
            }
        }
    }

    /// Reads the head of the final response, and drops those before it. RFC 9110 §15.2: "A client MUST be able to parse
    /// one or more 1xx responses received prior to a final response". 101 is final here.
    fn final_head(
        &mut self,
        input: &mut Vec<u8>,
    ) -> Result<Option<(ResponseHead, usize)>, ClientError> {
        loop {
            let read = read_response_head(input)?;
            let size = match &read {
                Some((head, size)) if is_interim(head.status) => *size,
                _ => return Ok(read),
            };
            self.interim = self.interim.saturating_add(1);
            if self.interim > MAX_INTERIM {
                return Err(ClientError::InterimResponses);
            }
            input.drain(..size);
        }
    }

    /// Reports that the server did not open a WebSocket, once enough of its response has arrived.
    fn refuse(&mut self) {
        let phase = mem::replace(&mut self.phase, Phase::Ended(Disposition::Close));
        if let Phase::Refused { reason, head, body } = phase {
            let body = body.into_bytes();
            self.events.push(ClientEvent::Refused(Refused {
                reason: reason.to_string(),
                response: Some(Response {
                    head,
                    body,
                    reason: None,
                }),
            }));
        }
    }

    fn give_up(&mut self, reason: &str) {
        self.phase = Phase::Ended(Disposition::Abort);
        self.events.push(ClientEvent::Refused(Refused {
            reason: reason.into(),
            response: None,
        }));
    }
}

fn is_interim(status: u16) -> bool {
    (100..200).contains(&status) && status != 101
}
