//! A place on an instance, and the guest's decision on a request there.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use super::instance::{Instance, call};
use super::member::{Connection, Member, PendingRequest};
use super::places::owner::Owner;
use crate::contract::bindings::{self, Request, Response, ResponseHead, Verdict};
use crate::guest::handler::Guest;
use crate::pool::backoff::Cause;
use crate::pool::call::Call;

/// A reserved place on an instance, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(super) instance: Rc<Instance>,
    /// The address of the client that it is for, if it has one.
    pub(super) client: Option<IpAddr>,
    /// Keeps the instance the owner of the request's key, if it has one.
    pub(super) owner: Option<Rc<Owner>>,
}

impl Place {
    pub(super) fn on(
        instance: &Rc<Instance>,
        client: Option<IpAddr>,
        owner: Option<Rc<Owner>>,
    ) -> Self {
        instance.places.set(instance.places.get() + 1);
        Self {
            instance: Rc::clone(instance),
            client,
            owner,
        }
    }

    /// Asks the guest about a request. Returns its decision, or the pending request.
    ///
    /// # Errors
    ///
    /// [`Dead`](crate::guest::fault::Dead) when the instance has ended, by this call or before.
    pub(crate) fn handle(self, request: Arc<Request>) -> Call<Result<Decision, PendingRequest>> {
        let instance = Rc::clone(&self.instance);
        let handle = call!(guest => guest.handle(&request));
        let cause = Cause::Client(self.client);
        instance.call(cause, Waker::noop(), handle, move |decision| {
            self.instance.answered(self.client);
            self.instance.wake(&decision.wake_others);
            self.instance
                .shared
                .topics
                .publish_all(decision.publications);
            match decision.verdict {
                Verdict::Answer(answer) => {
                    Ok(self.decision(answer, decision.fault, decision.refusal))
                }
                Verdict::Pending(handle) => Err(PendingRequest(Member::new(self, handle))),
            }
        })
    }

    /// Converts the guest's decision. A resulting connection keeps the place.
    pub(super) fn decision(
        self,
        answer: bindings::Answer,
        fault: Option<String>,
        refusal: Option<String>,
    ) -> Decision {
        let answer = match answer {
            bindings::Answer::Respond(response) => Answer::Respond(response),
            bindings::Answer::Takeover(takeover) => Answer::TakeOver(Takeover {
                response: takeover.response,
                connection: Connection(Member::new(self, takeover.connection)),
                final_bytes: takeover.final_bytes,
            }),
        };
        Decision {
            answer,
            fault,
            refusal,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let places = &self.instance.places;
        places.set(places.get().saturating_sub(1));
    }
}

/// A guest's decision on a request.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) answer: Answer,
    /// An error that the app reports about itself.
    pub(crate) fault: Option<String>,
    /// Why the answer refuses the request, if it does.
    pub(crate) refusal: Option<String>,
}

/// A guest's answer to a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Plain HTTP.
    Respond(Response),
    /// The socket becomes the guest's.
    TakeOver(Takeover),
}

/// A guest's takeover of a socket. Dropping it drops the guest's connection.
#[derive(Debug)]
pub(crate) struct Takeover {
    /// The head to send first; `None` for a raw takeover.
    pub(crate) response: Option<ResponseHead>,
    /// The guest's side of the socket.
    pub(crate) connection: Connection,
    /// The bytes to send if the guest dies.
    pub(crate) final_bytes: Vec<u8>,
}
