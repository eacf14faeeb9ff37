//! The WIT adapter: translates between the exports of world `handler` and [`Session`]. The sole home
//! of wit-bindgen; no decisions here.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::marker::PhantomData;

use crate::{
    Answer, Disposition, HttpVersion, Instant, Request, Response, ResponseHead, Session,
    ShutdownReason,
};
use bindings::exports::wasocket::websocket::websocket_handler as wit;
use bindings::wasocket::websocket::types as wit_types;

#[allow(
    unsafe_code,
    missing_docs,
    clippy::all,
    reason = "generated: the canonical ABI reads and writes linear memory"
)]
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        world: "handler",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_handler",
        default_bindings_module: "::wasocket::component::bindings",
    });
}

/// An app: what `export!` makes of a function.
pub trait App: 'static {
    /// Answers a request.
    fn handle(request: &Request) -> Answer;
}

/// Exports an [`App`] as `websocket-handler`.
#[derive(Debug)]
pub struct Adapter<A>(PhantomData<A>);

/// The `connection` resource.
pub struct Connection(RefCell<Box<dyn Session>>);

impl<A: App> wit::Guest for Adapter<A> {
    type Connection = Connection;

    fn handle(request: wit::Request) -> wit::Verdict {
        match A::handle(&request.into()) {
            Answer::Respond(response) => wit::Verdict::Respond(response.into()),
            Answer::Takeover(takeover) => wit::Verdict::Takeover(wit::Takeover {
                response: takeover.response.map(Into::into),
                connection: wit::Connection::new(Connection(RefCell::new(takeover.session))),
                farewell: takeover.farewell.into(),
            }),
        }
    }
}

impl wit::GuestConnection for Connection {
    fn open(&self, now: u64, residual: Vec<u8>) -> wit::Effects {
        let now = Instant::from_nanos(now);
        self.0.borrow_mut().open(now, residual).into()
    }

    fn receive(&self, now: u64, bytes: Vec<u8>) -> wit::Effects {
        let now = Instant::from_nanos(now);
        self.0.borrow_mut().receive(now, bytes).into()
    }

    fn receive_eof(&self, now: u64) -> wit::Effects {
        self.0
            .borrow_mut()
            .receive_eof(Instant::from_nanos(now))
            .into()
    }

    fn wake(&self, now: u64) -> wit::Effects {
        self.0.borrow_mut().wake(Instant::from_nanos(now)).into()
    }

    fn shutdown(&self, now: u64, reason: wit::ShutdownReason) -> wit::Effects {
        let reason = match reason {
            wit::ShutdownReason::GoingAway => ShutdownReason::GoingAway,
            wit::ShutdownReason::ServiceRestart => ShutdownReason::ServiceRestart,
        };
        let now = Instant::from_nanos(now);
        self.0.borrow_mut().shutdown(now, reason).into()
    }
}

impl From<wit::Request> for Request {
    fn from(request: wit::Request) -> Self {
        Self {
            method: request.method,
            target: request.target,
            version: match request.version {
                wit_types::HttpVersion::Http10 => HttpVersion::Http10,
                wit_types::HttpVersion::Http11 => HttpVersion::Http11,
                wit_types::HttpVersion::Http2 => HttpVersion::Http2,
                wit_types::HttpVersion::Http3 => HttpVersion::Http3,
            },
            authority: request.authority,
            fields: request.fields.into(),
            secure: request.secure,
            remote: request.remote,
        }
    }
}

impl From<ResponseHead> for wit::ResponseHead {
    fn from(head: ResponseHead) -> Self {
        let fields: Vec<(String, Vec<u8>)> = head.fields.into();
        Self {
            status: head.status,
            fields,
        }
    }
}

impl From<Response> for wit::Response {
    fn from(response: Response) -> Self {
        Self {
            head: response.head.into(),
            body: response.body,
        }
    }
}

impl From<crate::Effects> for wit::Effects {
    fn from(effects: crate::Effects) -> Self {
        Self {
            output: effects.output,
            wake_at: effects.wake_at.map(Instant::as_nanos),
            next: match effects.next {
                Disposition::Open => wit::Next::Open,
                Disposition::Close => wit::Next::Close,
                Disposition::Abort => wit::Next::Abort,
            },
        }
    }
}
