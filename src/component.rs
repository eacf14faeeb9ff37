//! The WIT adapter: translates between the exports of the worlds and [`Session`] and
//! [`ClientSession`]; and between the interface `app` and [`EventApp`](crate::events::EventApp). The sole
//! home of wit-bindgen; no decisions here.

mod app;

pub use app::{AppAdapter, ExportedApp, ImportedApp, boxed_events};

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;

use spin::LazyLock;

use crate::decision::failure;
use crate::extension::DeflateOptions;
use crate::report::shortened;
use crate::{
    Answer, App, Ceiling, ClientEvent, ClientRequest, ClientSession, CloseCode, Closed,
    Disposition, Event, HttpVersion, Initiator, Instant, Limits, Message, ReadyList, Report,
    Request, Response, ResponseHead, ResumeError, Session, ShutdownReason, Undecided, UsageError,
    Verdict,
};
use bindings::client::exports::wasocket::websocket::websocket_client as wit_client;
use bindings::handler::exports::wasocket::websocket::websocket_handler as wit;
use bindings::handler::wasocket::websocket::types as wit_types;

#[allow(
    unsafe_code,
    missing_docs,
    clippy::all,
    reason = "generated: the canonical ABI reads and writes linear memory"
)]
#[doc(hidden)]
pub mod bindings {
    pub mod handler {
        wit_bindgen::generate!({
            world: "handler",
            path: "wit",
            pub_export_macro: true,
            export_macro_name: "export_handler",
            default_bindings_module: "::wasocket::component::bindings::handler",
        });
    }

    /// The import of the world `protocol`; its export is that of `handler`.
    pub mod protocol {
        wit_bindgen::generate!({
            inline: "package wasocket:adapter; world imports { import wasocket:websocket/app@0.1.0; }",
            path: "wit",
            with: {
                "wasocket:websocket/app@0.1.0": generate,
                "wasocket:websocket/types@0.1.0": super::handler::wasocket::websocket::types,
            },
        });
    }

    pub mod application {
        wit_bindgen::generate!({
            world: "application",
            path: "wit",
            pub_export_macro: true,
            export_macro_name: "export_application",
            default_bindings_module: "::wasocket::component::bindings::application",
            with: {
                "wasocket:websocket/types@0.1.0": super::handler::wasocket::websocket::types,
            },
        });
    }

    pub mod client {
        wit_bindgen::generate!({
            world: "client",
            path: "wit",
            pub_export_macro: true,
            export_macro_name: "export_client",
            default_bindings_module: "::wasocket::component::bindings::client",
            with: {
                "wasocket:websocket/types@0.1.0": super::handler::wasocket::websocket::types,
            },
        });
    }
}

/// What `export!` makes of an expression.
pub trait Exported: 'static {
    /// The app of this instance.
    fn app() -> &'static dyn App;
}

/// An app as one that is no longer known by its type.
pub fn boxed<A: App + 'static>(app: A) -> Box<dyn App> {
    Box::new(app)
}

/// The app of an instance: made at the first request.
pub struct Once<A: ?Sized>(spin::Once<OnlyThread<Box<A>>>);

impl<A: ?Sized> Once<A> {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(spin::Once::new())
    }

    /// The app; `make` makes it, the first time.
    pub fn get(&self, make: impl FnOnce() -> Box<A>) -> &A {
        let app = self.0.call_once(|| OnlyThread(make()));
        &app.0
    }
}

impl<A: ?Sized> Default for Once<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: ?Sized> fmt::Debug for Once<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

/// Something of the only thread that there is.
struct OnlyThread<T>(T);

// SAFETY: an instance has one thread: neither this target nor the component model has more, and the
// contract forbids to enter an instance while a call is under way.
#[allow(
    unsafe_code,
    reason = "apps need not be Send or Sync, but statics must"
)]
unsafe impl<T> Send for OnlyThread<T> {}
// SAFETY: as above.
#[allow(unsafe_code, reason = "as above")]
unsafe impl<T> Sync for OnlyThread<T> {}

/// Exports an [`App`](crate::App) as `websocket-handler`.
#[derive(Debug)]
pub struct Adapter<E>(PhantomData<E>);

/// The connections of the instance that want to be called.
static READY: LazyLock<ReadyList> = LazyLock::new(ReadyList::default);

/// The `connection` resource, of an exported app.
pub struct Connection<E>(RefCell<Box<dyn Session>>, PhantomData<E>);

impl<E: Exported> wit::Guest for Adapter<E> {
    type Connection = Connection<E>;

    type Undecided = UndecidedRequest<E>;

    fn handle(request: wit_types::Request) -> wit::Decision {
        let (verdict, fault) = match E::app().handle(request.into()) {
            Verdict::Answer(answer) => (wit::Verdict::Answer(exported::<E>(answer)), None),
            Verdict::Later(undecided) => {
                let undecided = UndecidedRequest::<E>(RefCell::new(undecided), PhantomData);
                (wit::Verdict::Later(wit::Undecided::new(undecided)), None)
            }
            Verdict::Failed(fault) => (wit::Verdict::Answer(exported::<E>(failure())), Some(fault)),
        };
        wit::Decision {
            verdict,
            wake_others: READY.take(),
            fault: fault.map(shortened),
        }
    }

    fn receive_many(now: u64, arrived: Vec<wit::Arrival<'_>>, bytes: Vec<u8>) -> wit::Outcomes {
        let now = Instant::from_nanos(now);
        let (mut rest, mut output) = (&bytes[..], Vec::<u8>::new());
        let receive = |arrival: wit::Arrival<'_>| {
            let connection = arrival.connection.get::<Connection<E>>();
            // More than there is would be the host's fault.
            let length = rest.len().min(arrival.length as usize);
            let (bytes, behind) = rest.split_at(length);
            rest = behind;
            let effects = connection.0.borrow_mut().receive(now, bytes.to_vec());
            // A 32-bit memory holds no more.
            let output_length = effects.output.len() as u32;
            match output.is_empty() {
                true => output = effects.output,
                false => output.extend_from_slice(&effects.output),
            }
            wit::Outcome {
                output_length,
                wake_at: effects.wake_at.map(Instant::as_nanos),
                next: effects.next.into(),
            }
        };
        wit::Outcomes {
            each: arrived.into_iter().map(receive).collect(),
            output,
            wake_others: READY.take(),
        }
    }

    fn resume(
        now: u64,
        id: u64,
        suspended_for: u64,
        state: Vec<u8>,
    ) -> Result<wit::Resumed, wit::ResumeError> {
        let now = Instant::from_nanos(now);
        let suspended_for = Duration::from_nanos(suspended_for);
        let resumed = crate::resume(E::app(), now, id, &READY, suspended_for, &state)?;
        Ok(wit::Resumed {
            connection: wit::Connection::new(Connection::<E>::new(resumed.session)),
            farewell: resumed.farewell.into(),
            effects: resumed.effects.into(),
        })
    }
}

impl From<ResumeError> for wit::ResumeError {
    fn from(error: ResumeError) -> Self {
        match error {
            ResumeError::Unsupported => Self::Unsupported,
            ResumeError::UnknownVersion => Self::UnknownVersion,
            ResumeError::Invalid => Self::Invalid,
        }
    }
}

/// The `undecided` resource, of an exported app.
pub struct UndecidedRequest<E>(RefCell<Undecided>, PhantomData<E>);

impl<E: Exported> wit::GuestUndecided for UndecidedRequest<E> {
    fn decide(&self, now: u64, id: u64) -> wit::Deliberation {
        let now = Instant::from_nanos(now);
        let progress = self.0.borrow_mut().decide(now, id, &READY);
        wit::Deliberation {
            answer: progress.answer.map(exported::<E>),
            wake_at: progress.wake_at.map(Instant::as_nanos),
            wake_others: READY.take(),
            fault: progress.fault.map(shortened),
        }
    }
}

/// An answer of this app's.
fn exported<E: Exported>(answer: Answer) -> wit::Answer {
    match answer {
        Answer::Respond(response) => wit::Answer::Respond(response.into()),
        Answer::Takeover(takeover) => wit::Answer::Takeover(wit::Takeover {
            response: takeover.response.map(Into::into),
            connection: wit::Connection::new(Connection::<E>::new(takeover.session)),
            farewell: takeover.farewell.into(),
        }),
    }
}

impl<E> Connection<E> {
    fn new(session: Box<dyn Session>) -> Self {
        Self(RefCell::new(session), PhantomData)
    }
}

impl<E: Exported> wit::GuestConnection for Connection<E> {
    fn open(&self, now: u64, id: u64, residual: Vec<u8>) -> wit_types::Effects {
        let now = Instant::from_nanos(now);
        self.0.borrow_mut().open(now, id, &READY, residual).into()
    }

    fn limit(&self, ceiling: wit::Ceiling) {
        self.0.borrow_mut().limit(Ceiling {
            max_message_size: ceiling.max_message_size,
            max_messages_per_second: ceiling.max_messages_per_second,
        });
    }

    fn receive(&self, now: u64, bytes: Vec<u8>) -> wit_types::Effects {
        let now = Instant::from_nanos(now);
        self.0.borrow_mut().receive(now, bytes).into()
    }

    fn receive_eof(&self, now: u64) -> wit_types::Effects {
        self.0
            .borrow_mut()
            .receive_eof(Instant::from_nanos(now))
            .into()
    }

    fn wake(&self, now: u64, unsent: u64) -> wit_types::Effects {
        let now = Instant::from_nanos(now);
        self.0.borrow_mut().wake(now, unsent).into()
    }

    fn shutdown(&self, now: u64, reason: wit::ShutdownReason) -> wit_types::Effects {
        let reason = match reason {
            wit::ShutdownReason::GoingAway => ShutdownReason::GoingAway,
            wit::ShutdownReason::ServiceRestart => ShutdownReason::ServiceRestart,
        };
        let now = Instant::from_nanos(now);
        self.0.borrow_mut().shutdown(now, reason).into()
    }

    fn lost(&self, now: u64) -> Vec<u64> {
        self.0.borrow_mut().lost(Instant::from_nanos(now));
        READY.take()
    }

    fn report(&self) -> wit::Report {
        self.0.borrow().report().into()
    }

    fn suspend(&self, now: u64) -> Option<Vec<u8>> {
        crate::suspend(E::app(), &**self.0.borrow(), Instant::from_nanos(now))
    }
}

impl From<Report> for wit::Report {
    fn from(report: Report) -> Self {
        Self {
            messages_received: report.messages_received,
            messages_sent: report.messages_sent,
            closing: report.closing.map(|closing| wit::Closing {
                initiator: match closing.initiator {
                    Initiator::Peer => wit::Initiator::Peer,
                    Initiator::App => wit::Initiator::App,
                    Initiator::Protocol => wit::Initiator::Protocol,
                    Initiator::Host => wit::Initiator::Host,
                },
                code: closing.code,
                reason: closing.reason,
            }),
            fault: report.fault,
        }
    }
}

impl From<wit_types::Request> for Request {
    fn from(request: wit_types::Request) -> Self {
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
            protocol: request.protocol,
            fields: request.fields.into(),
            secure: request.secure,
            remote: request.remote,
            params: Vec::new(),
        }
    }
}

impl From<Request> for wit_types::Request {
    fn from(request: Request) -> Self {
        Self {
            method: request.method,
            target: request.target,
            version: match request.version {
                HttpVersion::Http10 => wit_types::HttpVersion::Http10,
                HttpVersion::Http11 => wit_types::HttpVersion::Http11,
                HttpVersion::Http2 => wit_types::HttpVersion::Http2,
                HttpVersion::Http3 => wit_types::HttpVersion::Http3,
            },
            authority: request.authority,
            protocol: request.protocol,
            fields: request.fields.into(),
            secure: request.secure,
            remote: request.remote,
        }
    }
}

impl From<wit_types::Response> for Response {
    fn from(response: wit_types::Response) -> Self {
        Self {
            head: ResponseHead {
                status: response.head.status,
                fields: response.head.fields.into(),
            },
            body: response.body,
        }
    }
}

impl From<ResponseHead> for wit_types::ResponseHead {
    fn from(head: ResponseHead) -> Self {
        let fields: Vec<(String, Vec<u8>)> = head.fields.into();
        Self {
            status: head.status,
            fields,
        }
    }
}

impl From<Response> for wit_types::Response {
    fn from(response: Response) -> Self {
        Self {
            head: response.head.into(),
            body: response.body,
        }
    }
}

impl From<crate::Effects> for wit_types::Effects {
    fn from(effects: crate::Effects) -> Self {
        Self {
            output: effects.output,
            wake_at: effects.wake_at.map(Instant::as_nanos),
            next: effects.next.into(),
            wake_others: READY.take(),
        }
    }
}

impl From<Disposition> for wit_types::Next {
    fn from(next: Disposition) -> Self {
        match next {
            Disposition::Open => Self::Open,
            Disposition::Pause => Self::Pause,
            Disposition::Close => Self::Close,
            Disposition::Abort => Self::Abort,
        }
    }
}

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
        let size = usize::try_from(request.max_message_size).unwrap_or(usize::MAX);
        let limits = Limits::for_messages(size);
        let now = Instant::from_nanos(now);
        let (session, effects) = ClientSession::connect(now, request.into(), limits, entropy)
            .map_err(|error| error.to_string())?;
        Ok(wit_client::Connecting {
            connection: wit_client::ClientConnection::new(ClientConnection(RefCell::new(session))),
            effects: effects.into(),
        })
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
        act: impl FnOnce(&mut crate::Connection) -> Result<(), UsageError>,
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
            // Never: nobody asks for pieces here.
            ClientEvent::Connection(Event::Piece(piece)) => {
                Self::Message(wit_client::Message::Binary(piece.bytes.into()))
            }
            ClientEvent::Connection(Event::Ping(payload)) => Self::Ping(payload.into()),
            ClientEvent::Connection(Event::Pong(payload)) => Self::Pong(payload.into()),
            ClientEvent::Connection(Event::Closed(closed)) => Self::Closed(closed.into()),
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
            // Nobody aborts here.
            Closed::EndOfStream | Closed::Aborted => Self::EndOfStream,
            Closed::TimedOut => Self::TimedOut,
        }
    }
}
