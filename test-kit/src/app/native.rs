//! An app as a function, without WebAssembly.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wasocket::topics::Delivery;
use wasocket::{
    ConnectionId, Deliver, Delivered, Instant, PendingRequest, ReadyList, Report, Request, Session,
};

use crate::Fault;
use crate::app::{App, Call};
use crate::contract::{
    Answer, Decision, Deliveries, Effects, Exception, Handle, LastEffects, PollResult, Takeover,
    Verdict,
};

pub(crate) struct Native {
    app: Box<dyn wasocket::App>,
    sessions: HashMap<Handle, Box<dyn Session>>,
    pending_requests: HashMap<Handle, PendingRequest>,
    /// Shared by all connections of the instance.
    ready: ReadyList,
    last_handle: u64,
}

impl Native {
    pub(crate) fn new(app: impl wasocket::App + 'static) -> Self {
        Self {
            app: Box::new(app),
            sessions: HashMap::new(),
            pending_requests: HashMap::new(),
            ready: ReadyList::default(),
            last_handle: 0,
        }
    }

    fn next_handle(&mut self) -> Handle {
        self.last_handle += 1;
        Handle(self.last_handle)
    }

    fn keep(&mut self, answer: wasocket::Answer) -> Answer {
        match answer {
            wasocket::Answer::Respond(response) => Answer::Respond(response.into()),
            wasocket::Answer::Takeover(takeover) => {
                let connection = self.next_handle();
                self.sessions.insert(connection, takeover.session);
                Answer::Takeover(Takeover {
                    response: takeover.response.map(Into::into),
                    connection,
                    final_bytes: takeover.final_bytes.into(),
                })
            }
        }
    }

    /// Calls the app. A panic ends its instance, as a trap ends a component's.
    fn guard<T>(&mut self, call: impl FnOnce(&mut Self) -> T) -> Result<T, Fault> {
        let outcome = catch_unwind(AssertUnwindSafe(|| call(self)));
        outcome.map_err(|payload| {
            // The sessions may be in any state, so their destructors must not run.
            std::mem::forget(std::mem::take(&mut self.sessions));
            std::mem::forget(std::mem::take(&mut self.pending_requests));
            self.ready = ReadyList::default();
            Fault {
                reason: format!("it panicked: {}", message(payload.as_ref())),
                backtrace: None,
            }
        })
    }
}

fn converted(effects: wasocket::Effects, wake_others: Vec<ConnectionId>) -> Effects {
    Effects {
        output: effects.output,
        wake_at: effects.wake_at.map(Instant::as_nanos),
        next: effects.next,
        wake_others,
        topics: effects.topics,
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

impl App for Native {
    fn handle(&mut self, request: &Request) -> Result<Decision, Fault> {
        let verdict = self.guard(|native| native.app.handle(request.clone()))?;
        let (publications, verdict) = verdict.into_parts();
        let verdict = match verdict {
            wasocket::Verdict::Answer(answer) => Verdict::Answer(self.keep(answer)),
            wasocket::Verdict::Pending(pending_request) => {
                let handle = self.next_handle();
                self.pending_requests.insert(handle, pending_request);
                Verdict::Pending(handle)
            }
            wasocket::Verdict::Failed(_) | wasocket::Verdict::Publishing(..) => {
                let failure = wasocket::Response::text(500, "Internal Server Error\n");
                Verdict::Answer(Answer::Respond(failure.into()))
            }
        };
        Ok(Decision {
            verdict,
            wake_others: self.ready.take(),
            publications,
        })
    }

    fn poll(&mut self, handle: Handle, now: u64, id: ConnectionId) -> Result<PollResult, Fault> {
        let now = Instant::from_nanos(now);
        let progress = self.guard(|app| {
            let pending_request = app.pending_requests.get_mut(&handle)?;
            Some(pending_request.poll(now, id, &app.ready))
        })?;
        let progress =
            progress.unwrap_or_else(|| panic!("the kit asks about a request that is answered"));
        Ok(PollResult {
            answer: progress.answer.map(|answer| self.keep(answer)),
            wake_at: progress.wake_at.map(Instant::as_nanos),
            wake_others: self.ready.take(),
            publications: progress.publications,
        })
    }

    fn drop_pending_request(&mut self, handle: Handle) -> Result<(), Fault> {
        self.guard(|app| drop(app.pending_requests.remove(&handle)))
    }

    fn call(&mut self, handle: Handle, now: u64, call: Call<'_>) -> Result<Effects, Fault> {
        let now = Instant::from_nanos(now);
        let effects = self.guard(|app| {
            let session = app.sessions.get_mut(&handle)?;
            Some(match call {
                Call::Open { id, residual } => session.open(now, id, &app.ready, residual.to_vec()),
                Call::Receive(bytes) => session.receive(now, bytes.to_vec()),
                Call::ReceiveEof => session.receive_eof(now),
                Call::Wake { unsent } => session.wake(now, unsent as u64),
                Call::Shutdown(reason) => session.shutdown(now, reason),
                Call::Tell(event) => session.tell(now, event),
            })
        })?;
        let effects = effects.unwrap_or_else(|| panic!("the kit calls a connection that is gone"));
        Ok(converted(effects, self.ready.take()))
    }

    fn lost(&mut self, handle: Handle, now: u64) -> Result<LastEffects, Fault> {
        let publications = self.guard(|app| {
            let session = app.sessions.get_mut(&handle)?;
            Some(session.lost(Instant::from_nanos(now)))
        })?;
        Ok(LastEffects {
            wake_others: self.ready.take(),
            publications: publications.unwrap_or_default(),
        })
    }

    fn deliver(
        &mut self,
        handles: &[Handle],
        now: u64,
        delivery: &Delivery,
    ) -> Result<Deliveries, Fault> {
        let now = Instant::from_nanos(now);
        let deliveries = self.guard(|app| {
            let mut deliver = Deliver::new(now, delivery.clone(), Vec::new());
            for handle in handles {
                deliver.to(&mut **app.sessions.get_mut(handle)?);
            }
            Some(deliver.finish())
        })?;
        let deliveries =
            deliveries.unwrap_or_else(|| panic!("the kit calls a connection that is gone"));
        let exceptions = deliveries.exceptions.into_iter();
        let exceptions = exceptions.map(|(index, delivered)| match delivered {
            Delivered::Form(number) => (index, Exception::Form(number)),
            Delivered::Effects(effects) => {
                (index, Exception::Effects(converted(effects, Vec::new())))
            }
        });
        Ok(Deliveries {
            forms: deliveries.forms,
            shared: deliveries.shared,
            exceptions: exceptions.collect(),
            wake_others: self.ready.take(),
        })
    }

    fn report(&mut self, handle: Handle) -> Result<Report, Fault> {
        let report = self.guard(|app| Some(app.sessions.get(&handle)?.report()))?;
        Ok(report.unwrap_or_else(|| panic!("the kit asks for a connection that is gone")))
    }

    fn drop_connection(&mut self, handle: Handle) -> Result<(), Fault> {
        self.guard(|app| drop(app.sessions.remove(&handle)))
    }
}
