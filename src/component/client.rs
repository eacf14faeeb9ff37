//! Exports the client's side as `websocket-client`.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;

use super::bindings::client::exports::wasocket::websocket::websocket_client as wit_client;
use super::bindings::handler::wasocket::websocket::types as wit_types;
use crate::protocol::extension::DeflateOptions;
use crate::protocol::handshake::ClientRequest;
use crate::protocol::{
    CloseCode, Closed, Connection, Event, Instant, Limits, Message, MessageType, Piece, UsageError,
};
use crate::session::{ClientEvent, ClientSession};

/// Exports the client's side as `websocket-client`.
#[derive(Debug)]
pub struct ClientAdapter;

/// The `client-connection` resource.
pub struct ClientConnection(RefCell<ClientSession>);

impl wit_client::Guest for ClientAdapter {
    type ClientConnection = ClientConnection;

    fn connect(
        now: u64,
        request: wit_client::ClientRequest,
        entropy: Vec<u8>,
    ) -> Result<wit_client::Connecting, String> {
        let entropy = <&[u8; 48]>::try_from(&entropy[..])
            .map_err(|_| "the entropy is not 48 bytes".to_string())?;
        let (limits, in_pieces) = (limits(&request), request.in_pieces);
        let now = Instant::from_nanos(now);
        let (mut session, effects) = ClientSession::connect(now, request.into(), limits, entropy)
            .map_err(|error| error.to_string())?;
        session.stream_messages(in_pieces);
        Ok(wit_client::Connecting {
            connection: wit_client::ClientConnection::new(ClientConnection(RefCell::new(session))),
            effects: effects.into(),
        })
    }
}

fn limits(request: &wit_client::ClientRequest) -> Limits {
    let size = usize::try_from(request.max_message_size).unwrap_or(usize::MAX);
    let limits = Limits::for_messages(size);
    let ping_interval = request.ping_interval.map(Duration::from_nanos);
    Limits {
        max_streamed_size: request.in_pieces.then_some(request.max_message_size),
        ping_interval,
        ping_timeout: ping_interval.unwrap_or(limits.ping_timeout),
        ..limits
    }
}

impl wit_client::GuestClientConnection for ClientConnection {
    fn receive(&self, now: u64, bytes: Vec<u8>) -> wit_client::Progress {
        let mut session = self.0.borrow_mut();
        session.receive(Instant::from_nanos(now), bytes);
        progress(&mut session)
    }

    fn receive_eof(&self, now: u64) -> wit_client::Progress {
        let mut session = self.0.borrow_mut();
        session.receive_eof(Instant::from_nanos(now));
        progress(&mut session)
    }

    fn wake(&self, now: u64, unsent: u64) -> wit_client::Progress {
        let mut session = self.0.borrow_mut();
        session.wake(Instant::from_nanos(now), unsent);
        progress(&mut session)
    }

    fn send(&self, now: u64, message: wit_client::Message) -> Result<wit_types::Effects, String> {
        self.act(now, |connection| match message {
            wit_client::Message::Text(text) => connection.send_text(&text),
            wit_client::Message::Binary(bytes) => connection.send_binary(&bytes),
        })
    }

    fn ping(&self, now: u64, payload: Vec<u8>) -> Result<wit_types::Effects, String> {
        self.act(now, |connection| connection.ping(&payload))
    }

    fn close(&self, now: u64, code: u16, reason: String) -> Result<wit_types::Effects, String> {
        self.act(now, |connection| {
            connection.close(CloseCode::new(code)?, &reason)
        })
    }
}

impl ClientConnection {
    fn act(
        &self,
        now: u64,
        act: impl FnOnce(&mut Connection) -> Result<(), UsageError>,
    ) -> Result<wit_types::Effects, String> {
        let mut session = self.0.borrow_mut();
        session
            .connection(Instant::from_nanos(now))
            .ok_or(UsageError::NotOpen)
            .and_then(act)
            .map_err(|error| error.to_string())?;
        Ok(session.effects().into())
    }
}

fn progress(session: &mut ClientSession) -> wit_client::Progress {
    wit_client::Progress {
        events: session.take_events().into_iter().map(Into::into).collect(),
        effects: session.effects().into(),
    }
}

impl From<wit_client::ClientRequest> for ClientRequest {
    fn from(request: wit_client::ClientRequest) -> Self {
        Self {
            host: request.host,
            target: request.target,
            subprotocols: request.subprotocols,
            compression: request.compress.then(DeflateOptions::default),
            fields: request.fields.into(),
        }
    }
}

impl From<ClientEvent> for wit_client::Event {
    fn from(event: ClientEvent) -> Self {
        match event {
            ClientEvent::Opened {
                subprotocol,
                compress,
                fields: _,
            } => Self::Opened(wit_client::Opened {
                subprotocol,
                compress,
            }),
            ClientEvent::Refused(refused) => Self::Refused(wit_client::Refused {
                reason: refused.reason,
                response: refused.response.map(Into::into),
            }),
            ClientEvent::Connection(Event::Message(Message::Text(text))) => {
                Self::Message(wit_client::Message::Text(text.into()))
            }
            ClientEvent::Connection(Event::Message(Message::Binary(bytes))) => {
                Self::Message(wit_client::Message::Binary(bytes.into()))
            }
            ClientEvent::Connection(Event::Piece(piece)) => Self::Piece(piece.into()),
            ClientEvent::Connection(Event::Ping(payload)) => Self::Ping(payload.into()),
            ClientEvent::Connection(Event::Pong(payload)) => Self::Pong(payload.into()),
            ClientEvent::Connection(Event::Closed(closed)) => Self::Closed(closed.into()),
        }
    }
}

impl From<Piece> for wit_client::Piece {
    fn from(piece: Piece) -> Self {
        Self {
            is_text: piece.message_type == MessageType::Text,
            bytes: piece.bytes.into(),
            last: piece.last,
        }
    }
}

impl From<Closed> for wit_client::Closed {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Handshake(reason) => {
                Self::Handshake(reason.map(|reason| wit_client::CloseReason {
                    code: reason.code.as_u16(),
                    reason: reason.reason,
                }))
            }
            Closed::Failed(error) => Self::Failed(wit_client::CloseReason {
                code: error.close_code().as_u16(),
                reason: error.to_string(),
            }),
            // This side never aborts.
            Closed::EndOfStream | Closed::Aborted => Self::EndOfStream,
            Closed::TimedOut => Self::TimedOut,
        }
    }
}
