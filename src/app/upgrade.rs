use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::mem;

use super::{Answer, Takeover};
use crate::head::{Request, Response};
use crate::protocol::extension::DeflateOptions;
use crate::protocol::handshake::{self, Accepted, Handshake, HandshakeError, Origins};
use crate::protocol::{Connection, Limits};
use crate::session::{Handler, Session, WebSocketSession};
use crate::web_socket::{self, Outcome, WebSocket};

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
    refusal: Option<Refusal>,
}

/// The app's own refusal of a handshake.
#[derive(Clone)]
struct Refusal(Rc<Refuse>);

type Refuse = dyn Fn(&Request, HandshakeError, Response) -> Response;

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal").finish_non_exhaustive()
    }
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

    /// The subprotocols that the app speaks, in order of preference (RFC 6455 §1.9). Case matters. The first
    /// one that the client offers is selected. Default: none.
    #[must_use]
    pub fn subprotocols(mut self, subprotocols: &'static [&'static str]) -> Self {
        self.handshake.subprotocols = subprotocols;
        self
    }

    /// Compresses messages if the client wants it, too (permessage-deflate, RFC 7692). Default: no
    /// compression. [`DeflateOptions`] says what it costs, and what to watch for if messages hold secrets.
    #[must_use]
    pub fn compression(mut self, options: DeflateOptions) -> Self {
        self.handshake.compression = Some(options);
        self
    }

    /// Selects this subprotocol, if the client offers it, instead of one of
    /// [`subprotocols`](Self::subprotocols): for an app that makes its own choice from
    /// [`Request::subprotocols`].
    #[must_use]
    pub fn select_subprotocol(mut self, name: impl Into<String>) -> Self {
        self.handshake.selected = Some(name.into());
        self
    }

    /// Adds a field to the response of a successful handshake, such as `Set-Cookie`. May be called several
    /// times. Do not add the fields of the handshake itself (`Upgrade`, `Connection`, `Sec-WebSocket-*`):
    /// clients refuse what they did not ask for.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.handshake.fields.append(name, value);
        self
    }

    /// The limits of the connection.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the response to a failed handshake. The function takes the request, the rule that it breaks, and
    /// the default response ([`HandshakeError::response`]), which it may change or replace.
    ///
    /// Some of the default fields matter to clients: `Sec-WebSocket-Version` (RFC 6455 §4.4), `Allow`, and
    /// those that announce the close, which the host does in any case.
    ///
    /// ```
    /// use wasocket::{HandshakeError, Request, Response, Upgrade};
    ///
    /// fn refuse(request: &Request, error: HandshakeError, mut response: Response) -> Response {
    ///     eprintln!("{}: {error}", request.path());
    ///     if error == HandshakeError::OriginForbidden {
    ///         response.body = b"Come to our own page.\n".to_vec();
    ///     }
    ///     response
    /// }
    ///
    /// let upgrade = Upgrade::new().on_refusal(refuse);
    /// ```
    #[must_use]
    pub fn on_refusal(
        mut self,
        refuse: impl Fn(&Request, HandshakeError, Response) -> Response + 'static,
    ) -> Self {
        self.refusal = Some(Refusal(Rc::new(refuse)));
        self
    }

    /// Answers the opening handshake (RFC 6455 §4.2) with a connection on which a function converses, or with
    /// a refusal and its status.
    ///
    /// The function is polled inside the calls of the host; when it returns, the connection is closed, with
    /// the code of its result ([`Outcome`]).
    #[must_use]
    pub fn converse<F>(self, request: &Request, converse: impl FnOnce(WebSocket) -> F) -> Answer
    where
        F: Future<Output: Outcome> + 'static,
    {
        self.answer(request, |accepted, limits| {
            web_socket::session(request.clone(), accepted, limits, converse)
        })
    }

    /// Answers the opening handshake (RFC 6455 §4.2) with a connection served by `handler`, or with a refusal
    /// and its status.
    #[must_use]
    pub fn accept(self, request: &Request, handler: impl Handler + 'static) -> Answer {
        self.accept_session(request, |connection| {
            WebSocketSession::new(connection, handler)
        })
    }

    /// As [`accept`](Self::accept), with the session that the host calls.
    pub(crate) fn accept_session<S: Session + 'static>(
        self,
        request: &Request,
        session: impl FnOnce(Connection) -> S,
    ) -> Answer {
        self.answer(request, |accepted, limits| {
            let connection = Connection::server(limits).with_extensions(accepted.extensions);
            Box::new(session(connection))
        })
    }

    /// As [`accept`](Self::accept), for a WebSocket that a proxy holds. Returns the fields of the response to
    /// the proxy.
    #[cfg(feature = "grip")]
    pub(crate) fn accept_proxied(self, request: &Request) -> Result<crate::Fields, HandshakeError> {
        handshake::accept_proxied(request, &self.handshake)
    }

    fn answer(
        self,
        request: &Request,
        session: impl FnOnce(Accepted, Limits) -> Box<dyn Session>,
    ) -> Answer {
        match handshake::accept(request, &self.handshake) {
            Ok(mut accepted) => Answer::Takeover(Takeover {
                response: Some(mem::take(&mut accepted.response)),
                session: session(accepted, self.limits),
                final_bytes: WebSocketSession::<()>::FINAL_BYTES,
            }),
            Err(error) => {
                let mut response = error.response_over(request.version);
                if let Some(Refusal(refuse)) = self.refusal {
                    response = refuse(request, error, response);
                }
                let reason = || error.reason(request).into();
                response.reason.get_or_insert_with(reason);
                Answer::Respond(response)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{App, Verdict};
    use crate::head::ResponseHead;
    use alloc::format;

    fn request() -> Request {
        let mut request = Request {
            method: "GET".into(),
            target: "/".into(),
            ..Request::default()
        };
        for (name, value) in [
            ("Host", "a.test"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Protocol", "v1, v2"),
        ] {
            request.fields.append(name, value);
        }
        request
    }

    fn accept(upgrade: Upgrade) -> ResponseHead {
        match upgrade.converse(&request(), |_| async {}) {
            Answer::Takeover(takeover) => takeover.response.expect("a WebSocket has a response"),
            Answer::Respond(response) => panic!("{response:?}"),
        }
    }

    #[test]
    fn the_app_refuses_in_its_own_words() {
        let upgrade = Upgrade::new().on_refusal(|request, error, mut response| {
            assert_eq!(error.status(), response.head.status);
            response.head.fields.set("Content-Type", "text/html");
            response.body = format!("<p>{}: {error:?}", request.path()).into();
            response
        });
        accept(upgrade.clone());
        let mut request = request();
        request.fields.set("Sec-WebSocket-Version", "8");
        let converse = upgrade.clone().converse(&request, |_| async {});
        let handler = |_: &mut Connection, _| Ok(());
        let accept = upgrade.clone().accept(&request, handler);
        let serve = upgrade.serve(|_| async {}).handle(request);
        let Verdict::Answer(serve) = serve else {
            panic!("{serve:?}");
        };
        for answer in [converse, accept, serve] {
            let Answer::Respond(response) = answer else {
                panic!("{answer:?}");
            };
            assert_eq!(response.body, b"<p>/: VersionUnsupported");
            let fields = &response.head.fields;
            assert_eq!(response.head.status, 426);
            assert_eq!(fields.text("Sec-WebSocket-Version"), Some("13"));
            assert_eq!(fields.text("Content-Type"), Some("text/html"));
        }
    }

    #[test]
    fn the_app_selects_the_subprotocol() {
        let subprotocol = |upgrade| {
            let head = accept(upgrade);
            let value = head.fields.single("Sec-WebSocket-Protocol");
            value.ok().map(<[u8]>::to_vec)
        };
        let upgrade = Upgrade::new().subprotocols(&["v1"]);
        assert_eq!(subprotocol(upgrade.clone()), Some(b"v1".to_vec()));
        let own = upgrade.clone().select_subprotocol("v2");
        assert_eq!(subprotocol(own), Some(b"v2".to_vec()));
        assert_eq!(subprotocol(upgrade.select_subprotocol("v3")), None);
    }

    #[test]
    fn the_app_adds_fields() {
        let head = accept(
            Upgrade::new()
                .field("Set-Cookie", "a=b")
                .field("set-cookie", "c=d"),
        );
        let cookies: Vec<_> = head.fields.values("Set-Cookie").collect();
        assert_eq!(cookies, [b"a=b", b"c=d"]);
    }
}
