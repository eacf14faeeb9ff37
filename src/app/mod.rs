//! What answers requests, and how apps are put together from smaller ones.

mod cookies;
#[cfg(feature = "router")]
mod router;

#[cfg(feature = "router")]
pub use router::Router;

use alloc::boxed::Box;
use core::future::Future;

use crate::{Answer, Handler, Outcome, Request, Resumer, Upgrade, Verdict, WebSocket};

/// What answers requests: a function from a request to an [`Answer`](crate::Answer), or to a
/// [`Response`](crate::Response); one that awaits something before it answers ([`decide`](crate::decide));
/// a WebSocket ([`websocket`], [`Upgrade::serve`]); a `Router` of such.
pub trait App {
    /// Answers a request, or says that the answer comes later.
    fn handle(&self, request: Request) -> Verdict;

    /// What resumes the connections to this path that were suspended ([`resume`](crate::resume)). Unless
    /// implemented otherwise there is none, and so they cannot be suspended: apps of the
    /// [event form](crate::events) have one, and routers hand on that of the app at the path.
    fn resumer(&self, path: &str) -> Option<&dyn Resumer> {
        let _ = path;
        None
    }
}

impl<F, A> App for F
where
    F: Fn(&Request) -> A,
    A: Into<Verdict>,
{
    fn handle(&self, request: Request) -> Verdict {
        self(&request).into()
    }
}

impl App for Box<dyn App> {
    fn handle(&self, request: Request) -> Verdict {
        (**self).handle(request)
    }

    fn resumer(&self, path: &str) -> Option<&dyn Resumer> {
        (**self).resumer(path)
    }
}

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
