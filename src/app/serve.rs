use core::future::Future;

use super::{Answer, App, Upgrade, Verdict};
use crate::head::Request;
use crate::session::Handler;
use crate::web_socket::{Outcome, WebSocket};

/// An app that upgrades every request to a WebSocket with the default settings, and has a function
/// converse on it.
///
/// ```
/// use wasocket::{Error, WebSocket, websocket};
///
/// async fn echo(ws: WebSocket) -> Result<(), Error> {
///     while let Some(text) = ws.receive::<String>().await? {
///         ws.send(text).await?;
///     }
///     Ok(())
/// }
///
/// wasocket::export!(websocket(echo));
/// ```
pub fn websocket<C, F>(converse: C) -> impl App
where
    C: Fn(WebSocket) -> F + Clone + 'static,
    F: Future<Output: Outcome> + 'static,
{
    Upgrade::new().serve(converse)
}

impl Upgrade {
    /// An app that upgrades every request with these settings, and has a function converse on it.
    pub fn serve<C, F>(self, converse: C) -> impl App
    where
        C: Fn(WebSocket) -> F + Clone + 'static,
        F: Future<Output: Outcome> + 'static,
    {
        Served {
            upgrade: self,
            answer: move |upgrade: Upgrade, request: Request| {
                upgrade.converse(&request, converse.clone())
            },
        }
    }

    /// An app that upgrades every request with these settings, and makes a handler for it.
    pub fn serve_handler<M, H>(self, make: M) -> impl App
    where
        M: Fn(&Request) -> H + 'static,
        H: Handler + 'static,
    {
        Served {
            upgrade: self,
            answer: move |upgrade: Upgrade, request: Request| {
                let handler = make(&request);
                upgrade.accept(&request, handler)
            },
        }
    }
}

struct Served<A> {
    upgrade: Upgrade,
    answer: A,
}

impl<A: Fn(Upgrade, Request) -> Answer> App for Served<A> {
    fn handle(&self, request: Request) -> Verdict {
        (self.answer)(self.upgrade.clone(), request).into()
    }
}
