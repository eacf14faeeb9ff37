//! A place on an instance, and what comes of a request there.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use super::instance::{Instance, call};
use super::member::{Connection, Member, Undecided};
use crate::contract::bindings::{Answer, Request, Response, ResponseHead, Verdict};
use crate::guest::handler::Guest;
use crate::pool::Call;

/// A reserved place on an instance, given back when dropped.
#[derive(Debug)]
pub struct Place(pub(super) Rc<Instance>);

impl Place {
    pub(super) fn on(instance: &Rc<Instance>) -> Self {
        instance.places.set(instance.places.get() + 1);
        Self(Rc::clone(instance))
    }

    /// Asks the guest about a request.
    ///
    /// # Errors
    ///
    /// [`Dead`](crate::guest::fault::Dead) when the instance has ended, by this call or before.
    pub fn handle(self, request: Arc<Request>) -> Call<Decided> {
        let instance = Rc::clone(&self.0);
        let handle = call!(guest => guest.handle(&request));
        instance.call(Waker::noop(), handle, move |decision| {
            self.0.wake(&decision.wake_others);
            Decided {
                verdict: self.keep_for(decision.verdict),
                fault: decision.fault,
            }
        })
    }

    fn keep_for(self, verdict: Verdict) -> Ruling {
        match verdict {
            Verdict::Answer(answer) => Ruling::Answer(self.keep_for_answer(answer)),
            Verdict::Later(undecided) => Ruling::Later(Undecided(Member::new(self, undecided))),
        }
    }

    pub(super) fn keep_for_answer(self, answer: Answer) -> Answered {
        match answer {
            Answer::Respond(response) => Answered::Response(response),
            Answer::Takeover(takeover) => Answered::Takeover(Offer {
                response: takeover.response,
                connection: Connection(Member::new(self, takeover.connection)),
                farewell: takeover.farewell,
            }),
        }
    }
}

/// What a guest has said to a request.
#[derive(Debug)]
pub struct Decided {
    /// Its decision.
    pub verdict: Ruling,
    /// What its app has done wrong.
    pub fault: Option<String>,
}

/// A guest's decision. What it holds of the guest's is dropped there with it.
#[derive(Debug)]
pub enum Ruling {
    /// There is one.
    Answer(Answered),
    /// It takes its time.
    Later(Undecided),
}

/// A guest's answer to a request.
#[derive(Debug)]
pub enum Answered {
    /// Plain HTTP.
    Response(Response),
    /// The socket is to be the guest's.
    Takeover(Offer),
}

/// What a guest takes a socket over with. Dropped, the guest's connection is.
#[derive(Debug)]
pub struct Offer {
    /// The head that goes before; none for a raw takeover.
    pub response: Option<ResponseHead>,
    /// What the socket is for.
    pub connection: Connection,
    /// What is sent if the guest dies.
    pub farewell: Vec<u8>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.places.set(self.0.places.get().saturating_sub(1));
    }
}
