use alloc::boxed::Box;

use crate::extension::DeflateOptions;
use crate::handshake::{self, Handshake};
use crate::session::{RawSession, WebSocketSession};
use crate::{
    Connection, Handler, Limits, Origins, RawHandler, Request, Response, ResponseHead, Session,
};

/// What an app answers to a request.
pub enum Answer {
    /// Plain HTTP.
    Respond(Response),
    /// The socket becomes the app's.
    Takeover(Takeover),
}

/// A socket taken over.
pub struct Takeover {
    /// The head that the host sends first; none for a raw takeover.
    pub response: Option<ResponseHead>,
    /// What receives the bytes of the socket.
    pub session: Box<dyn Session>,
    /// What the host writes if the component dies.
    pub farewell: &'static [u8],
}

impl Answer {
    /// Takes the raw socket over: no response is sent, and every byte in both directions is the
    /// handler's. This is what Go's `http.Hijacker` does.
    #[must_use]
    pub fn takeover(handler: impl RawHandler + 'static) -> Self {
        Self::Takeover(Takeover {
            response: None,
            session: Box::new(RawSession::new(handler)),
            farewell: &[],
        })
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Respond(response)
    }
}

/// Upgrades a request to a WebSocket. The defaults are safe: browsers may connect from the server's
/// own pages only, no subprotocol, the [default limits](Limits::default).
///
/// ```
/// use wasocket::{Answer, Connection, Message, Request, Upgrade};
///
/// fn echo(request: &Request) -> Answer {
///     Upgrade::new()
///         .subprotocols(&["chat", "superchat"])
///         .accept(request, |ws: &mut Connection, message: Message| ws.send(message))
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Upgrade {
    handshake: Handshake,
    limits: Limits,
}

impl Upgrade {
    /// An upgrade with the default settings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The browser origins that may connect. Default: [`Origins::Same`].
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.handshake.origins = origins;
        self
    }

    /// The subprotocols that the app speaks, the preferred one first (RFC 6455 §1.9). Case matters.
    /// The first that the client offers too is selected. Default: none.
    #[must_use]
    pub fn subprotocols(mut self, subprotocols: &'static [&'static str]) -> Self {
        self.handshake.subprotocols = subprotocols;
        self
    }

    /// Compresses messages where the client wants it too (permessage-deflate, RFC 7692). Default: no
    /// compression; [`DeflateOptions`] says what it costs, and what to mind where messages hold secrets.
    #[must_use]
    pub fn compression(mut self, options: DeflateOptions) -> Self {
        self.handshake.compression = Some(options);
        self
    }

    /// The limits of the connection.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Answers the opening handshake (RFC 6455 §4.2): a connection that is served by `handler`, or
    /// the refusal with the right status.
    #[must_use]
    pub fn accept(self, request: &Request, handler: impl Handler + 'static) -> Answer {
        match handshake::accept(request, &self.handshake) {
            Ok(accepted) => Answer::Takeover(Takeover {
                response: Some(accepted.response),
                session: Box::new(WebSocketSession::new(
                    Connection::server(self.limits).with_extensions(accepted.extensions),
                    handler,
                )),
                farewell: WebSocketSession::<()>::FAREWELL,
            }),
            Err(error) => Answer::Respond(error.response()),
        }
    }
}
