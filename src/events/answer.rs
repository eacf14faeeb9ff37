//! An app of the event form as an [`App`], which answers requests.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::cell::Cell;

use super::fault::{Fault, check_size};
use super::judge::{Reply, publications, split};
use super::session::EventSession;
use super::{Action, Event, EventApp};
use crate::app::{Answer, App, Verdict};
use crate::head::{Request, Response};
use crate::protocol::handshake::accept_key;
use crate::protocol::{Instant, ResumeError};
use crate::session::{ConnectionId, ReadyList, Resumer, Session, Suspended};
use crate::topics::Publication;

/// Makes an [`App`] of an app of the event form.
///
/// ```
/// use wasocket::Message;
/// use wasocket::events::{Context, EventHandler, events};
///
/// struct Echo;
///
/// impl EventHandler for Echo {
///     type State = ();
///
///     fn message(&self, message: Message, cx: &mut Context<'_, ()>) {
///         cx.send(message);
///     }
/// }
///
/// wasocket::export!(events(Echo));
/// ```
pub fn events(app: impl EventApp + 'static) -> impl App {
    Served(Rc::new(Shared {
        app,
        connections: Cell::default(),
    }))
}

struct Served<A>(Rc<Shared<A>>);

/// State that the connections of an app share.
pub(super) struct Shared<A> {
    pub(super) app: A,
    /// The number of connections so far.
    connections: Cell<u64>,
}

impl<A: EventApp + 'static> App for Served<A> {
    fn handle(&self, request: Request) -> Verdict {
        let id = self.0.next_name(&request);
        let mut published = Vec::new();
        let answer = if request.wants_websocket() {
            self.open(&id, request, &mut published)
        } else {
            self.0.respond(&id, request, &mut published)
        };
        let verdict = match answer {
            Ok(answer) => answer.into(),
            Err(fault) => {
                self.0.tell(&id, &fault, &mut published);
                Verdict::Failed(fault.to_string())
            }
        };
        verdict.publishing(published)
    }

    fn resumer(&self, _: &str) -> Option<&dyn Resumer> {
        Some(self)
    }
}

impl<A: EventApp + 'static> Resumer for Served<A> {
    fn resume(
        &self,
        at: Instant,
        _: ConnectionId,
        _: &ReadyList,
        suspended: Suspended,
    ) -> Result<Box<dyn Session>, ResumeError> {
        let session = EventSession::resume(Rc::clone(&self.0), at, suspended)?;
        Ok(Box::new(session))
    }
}

impl<A: EventApp + 'static> Served<A> {
    fn open(
        &self,
        id: &str,
        request: Request,
        published: &mut Vec<Publication>,
    ) -> Result<Answer, Fault> {
        let event = Event::Open(request.clone());
        let (reply, actions) = split(self.0.app.handle(id, &[], vec![event]))?;
        match reply {
            Reply::Accept(accept) => {
                let session = |connection| {
                    let path = request.path().into();
                    EventSession::new(Rc::clone(&self.0), id.into(), path, connection, actions)
                };
                Ok(accept.into_upgrade().accept_session(&request, session))
            }
            Reply::Respond(response) => refuse(response, actions, published),
        }
    }
}

impl<A: EventApp> Shared<A> {
    /// A name for a connection: a number that is unique in this instance, and the client's unpredictable
    /// nonce (RFC 6455 §4.1, item 7), because a connection may move to another instance ([`Resumer`]) where
    /// another connection has the same number.
    fn next_name(&self, request: &Request) -> String {
        let number = self.connections.get().wrapping_add(1);
        self.connections.set(number);
        match request.fields.single("Sec-WebSocket-Key") {
            Ok(nonce) => format!("{number}-{}", accept_key(nonce)),
            Err(_) => format!("{number}"),
        }
    }

    fn respond(
        &self,
        id: &str,
        request: Request,
        published: &mut Vec<Publication>,
    ) -> Result<Answer, Fault> {
        let (reply, actions) = split(self.app.handle(id, &[], vec![Event::Request(request)]))?;
        match reply {
            Reply::Accept(_) => Err(Fault::AcceptMisplaced),
            Reply::Respond(response) => refuse(response, actions, published),
        }
    }

    /// Tells the app about its fault, before there is a WebSocket.
    fn tell(&self, id: &str, fault: &Fault, published: &mut Vec<Publication>) {
        let answer = self.app.handle(id, &[], vec![fault.as_event()]);
        // It has been told once. There is no way to report another fault.
        let _ = check_size(&answer).and_then(|()| publish_all(answer, published));
    }
}

fn refuse(
    response: Response,
    actions: Vec<Action>,
    published: &mut Vec<Publication>,
) -> Result<Answer, Fault> {
    publish_all(actions, published)?;
    Ok(response.into())
}

/// Carries out the actions that are allowed without a WebSocket.
fn publish_all(actions: Vec<Action>, published: &mut Vec<Publication>) -> Result<(), Fault> {
    publications(actions, |publication| published.push(publication))
}
