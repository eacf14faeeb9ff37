//! Exports an app as `websocket-handler`.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::marker::PhantomData;
use core::time::Duration;

use super::bindings::handler::exports::wasocket::websocket::websocket_handler as wit;
use super::bindings::handler::wasocket::websocket::types as wit_types;
use super::deliveries::outcome;
use super::effects::READY;
use crate::app::{self, Answer, App, Verdict, failure};
use crate::protocol::{Initiator, Instant, MessageLimits, Report, ResumeError, shortened};
use crate::session::{Deliver, Keepalive, Session, ShutdownReason, Suspension};
use crate::topics::Publication;

/// The longest text of a refusal, in bytes.
const MAX_REFUSAL: usize = 1024;

/// The app that `export!` exports.
pub trait Exported: 'static {
    /// The app of this instance.
    fn app() -> &'static dyn App;
}

/// Boxes an app, which erases its type.
pub fn boxed<A: App + 'static>(app: A) -> Box<dyn App> {
    Box::new(app)
}

/// Exports an [`App`](crate::App) as `websocket-handler`.
#[derive(Debug)]
pub struct Adapter<E>(PhantomData<E>);

/// The `connection` resource, of an exported app.
pub struct Connection<E>(RefCell<Box<dyn Session>>, PhantomData<E>);

impl<E: Exported> wit::Guest for Adapter<E> {
    type Connection = Connection<E>;

    type PendingRequest = PendingRequest<E>;

    fn handle(request: wit_types::Request) -> wit::Decision {
        let (publications, verdict) = E::app().handle(request.into()).into_parts();
        let (answer, fault) = match verdict {
            Verdict::Answer(answer) => (answer, None),
            Verdict::Failed(fault) => (failure(), Some(fault)),
            // `into_parts` leaves no publications in the verdict.
            Verdict::Publishing(..) => (failure(), None),
            Verdict::Pending(request) => {
                let request = PendingRequest::<E>(RefCell::new(request), PhantomData);
                return wit::Decision {
                    verdict: wit::Verdict::Pending(wit::PendingRequest::new(request)),
                    wake_others: READY.take(),
                    fault: None,
                    refusal: None,
                    publications: converted(publications),
                };
            }
        };
        wit::Decision {
            refusal: refusal(&answer),
            verdict: wit::Verdict::Answer(exported::<E>(answer)),
            wake_others: READY.take(),
            fault: fault.map(shortened),
            publications: converted(publications),
        }
    }

    fn receive_many(now: u64, arrivals: Vec<wit::Arrival<'_>>, bytes: Vec<u8>) -> wit::Outcomes {
        let now = Instant::from_nanos(now);
        let (mut rest, mut output) = (&bytes[..], Vec::<u8>::new());
        let receive = |arrival: wit::Arrival<'_>| {
            let connection = arrival.connection.get::<Connection<E>>();
            // A length beyond the end would be the host's fault.
            let length = rest.len().min(arrival.length as usize);
            let (bytes, tail) = rest.split_at(length);
            rest = tail;
            let effects = connection.0.borrow_mut().receive(now, bytes.to_vec());
            outcome(effects, &mut output)
        };
        wit::Outcomes {
            results: arrivals.into_iter().map(receive).collect(),
            output,
            wake_others: READY.take(),
        }
    }

    fn deliver(
        now: u64,
        delivery: wit_types::Delivery,
        known: Vec<u32>,
        connections: Vec<wit::ConnectionBorrow<'_>>,
    ) -> wit::Deliveries {
        let now = Instant::from_nanos(now);
        let mut deliver = Deliver::new(now, delivery.into(), known);
        for connection in connections {
            let session = &mut *connection.get::<Connection<E>>().0.borrow_mut();
            deliver.to(&mut **session);
        }
        deliver.finish().into()
    }

    fn resume(
        now: u64,
        id: u64,
        suspension: wit::Suspension,
        state: Vec<u8>,
    ) -> Result<wit::Resumed, wit::ResumeError> {
        let now = Instant::from_nanos(now);
        let suspension = Suspension {
            suspended_for: Duration::from_nanos(suspension.suspended_for),
            answered: suspension.answered.map(Duration::from_nanos),
            pinged: suspension.pinged.map(Duration::from_nanos),
        };
        let resumed = crate::resume(E::app(), now, id, &READY, suspension, &state)?;
        Ok(wit::Resumed {
            connection: wit::Connection::new(Connection::<E>::new(resumed.session)),
            final_bytes: resumed.final_bytes.into(),
            effects: resumed.effects.into(),
        })
    }
}

/// The `pending-request` resource, of an exported app.
pub struct PendingRequest<E>(RefCell<app::PendingRequest>, PhantomData<E>);

impl<E: Exported> wit::GuestPendingRequest for PendingRequest<E> {
    fn poll(&self, now: u64, id: u64) -> wit::PollResult {
        let now = Instant::from_nanos(now);
        let progress = self.0.borrow_mut().poll(now, id, &READY);
        wit::PollResult {
            refusal: progress.answer.as_ref().and_then(refusal),
            answer: progress.answer.map(exported::<E>),
            wake_at: progress.wake_at.map(Instant::as_nanos),
            wake_others: READY.take(),
            fault: progress.fault.map(shortened),
            publications: converted(progress.publications),
        }
    }
}

fn converted(publications: Vec<Publication>) -> Vec<wit_types::Publication> {
    publications.into_iter().map(Into::into).collect()
}

/// Why the app refuses the request, if it says so.
fn refusal(answer: &Answer) -> Option<String> {
    match answer {
        Answer::Respond(response) => {
            let mut reason = String::from(response.reason.clone()?);
            reason.truncate(reason.floor_char_boundary(MAX_REFUSAL));
            Some(reason)
        }
        Answer::Takeover(_) => None,
    }
}

/// Converts an answer of this app.
fn exported<E: Exported>(answer: Answer) -> wit::Answer {
    match answer {
        Answer::Respond(response) => wit::Answer::Respond(response.into()),
        Answer::Takeover(takeover) => wit::Answer::Takeover(wit::Takeover {
            response: takeover.response.map(Into::into),
            connection: wit::Connection::new(Connection::<E>::new(takeover.session)),
            final_bytes: takeover.final_bytes.into(),
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

    fn set_limits(&self, limits: wit::MessageLimits) {
        self.0.borrow_mut().set_limits(MessageLimits {
            max_message_size: limits.max_message_size,
            max_messages_per_second: limits.max_messages_per_second,
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

    fn lost(&self, now: u64) -> wit::LastEffects {
        let publications = self.0.borrow_mut().lost(Instant::from_nanos(now));
        wit::LastEffects {
            wake_others: READY.take(),
            publications: converted(publications),
        }
    }

    fn tell(&self, now: u64, event: wit_types::TopicEvent) -> wit_types::Effects {
        let now = Instant::from_nanos(now);
        self.0.borrow_mut().tell(now, event.into()).into()
    }

    fn report(&self) -> wit::Report {
        self.0.borrow().report().into()
    }

    fn suspend(&self, now: u64) -> Option<wit::Suspended> {
        let session = self.0.borrow();
        let state = crate::suspend(E::app(), &**session, Instant::from_nanos(now))?;
        Some(wit::Suspended {
            state,
            keepalive: session.keepalive().map(Into::into),
        })
    }
}

impl From<Keepalive> for wit::Keepalive {
    fn from(keepalive: Keepalive) -> Self {
        Self {
            ping_at: keepalive.ping_at.as_nanos(),
            interval: nanos(keepalive.interval),
            timeout: nanos(keepalive.timeout),
            ping: keepalive.ping.into(),
            answer: keepalive.answer.into(),
            answer_mask: keepalive.answer_mask.into(),
            wake_at: keepalive.wake_at.map(Instant::as_nanos),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
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
