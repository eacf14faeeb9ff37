//! Apps, which answer requests, and how to build them from smaller ones.

mod answer;
mod decide;
mod decision;
#[cfg(feature = "router")]
mod router;
mod serve;
mod suspend;
mod upgrade;

pub use answer::{Answer, Takeover};
pub use decide::decide;
#[cfg(target_family = "wasm")]
pub(crate) use decision::failure;
pub use decision::{PendingRequest, PollResult, Verdict};
#[cfg(feature = "router")]
pub use router::Router;
pub use serve::websocket;
pub use suspend::{resume, suspend};
pub use upgrade::Upgrade;

use alloc::boxed::Box;

use crate::head::Request;
use crate::session::Resumer;

/// Answers requests: a function from a request to an [`Answer`](crate::Answer), or to a
/// [`Response`](crate::Response); one that awaits something before it answers ([`decide`](crate::decide)); a
/// WebSocket ([`websocket`], [`Upgrade::serve`](crate::Upgrade::serve)); or a `Router` of such apps.
pub trait App {
    /// Answers a request, or says that the answer comes later.
    fn handle(&self, request: Request) -> Verdict;

    /// Resumes the suspended connections to this path ([`resume`](crate::resume)). The default is `None`, so
    /// connections cannot be suspended. Apps of the [event form](crate::events) have a resumer, and routers
    /// pass on the resumer of the app at the path.
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
