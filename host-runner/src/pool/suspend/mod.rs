//! Connections as values: suspended between two calls, and resumed on another instance, at once or later. The peer notices
//! nothing.
//!
//! ```text
//!   suspend ──▶ state ──▶ Place::resume ──▶ the connection, on another instance
//!                              └── an error, or a trap: the state can be resumed elsewhere
//! ```

pub(super) mod away;
mod destination;
pub(super) mod elsewhere;
pub(super) mod moves;
mod sleep;
pub(super) mod sleepers;

pub(crate) use destination::Destination;
pub(crate) use sleep::{Asleep, Woken};

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use super::instance::{Instance, call};
use super::member::{Connection, Member, Own};
use super::place::Place;
use crate::contract::bindings::{
    self, ConnectionId, Effects, Instant, Keepalive, ResumeError, Suspension,
};
use crate::contract::clock::NEVER;
use crate::guest::handler::Guest;
use crate::observe::metrics::sleep::Reason;
use crate::pool::backoff::Cause;
use crate::pool::call::Call;
use crate::pool::wakeups::Signals;
use crate::topics::subscriber::Subscriber;

/// A connection as a value: what its guest has to know of it, and what the pool keeps meanwhile. Whoever has it keeps
/// the socket, the final bytes and the time at which to wake it.
pub(crate) struct Suspended {
    /// As secret as what the app knows about its user.
    pub(super) state: Vec<u8>,
    /// How to keep its peer alive.
    pub(crate) keepalive: Option<Keepalive>,
    pub(super) at: Instant,
    /// The number of the version of the component that has made it.
    pub(super) version: u64,
    pub(super) subscriber: Rc<Subscriber<Instance>>,
    pub(super) kept: Kept,
}

/// How a suspended connection was kept alive: when its peer last answered, and when it was sent a ping that it has not
/// answered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) answered: Option<Instant>,
    pub(crate) pinged: Option<Instant>,
}

impl Kept {
    /// The same for a connection that is woken for this. It may have to wait until it is resumed, and its peer may have
    /// answered by then: so the time for the answer begins again, unless the connection is woken because it is over.
    pub(crate) fn woken(self, reason: Reason) -> Self {
        let at_resume = Some(NEVER);
        match reason {
            Reason::Time => self,
            Reason::Input => Self {
                answered: at_resume,
                pinged: None,
            },
            Reason::Topic | Reason::Stop => Self {
                pinged: self.pinged.and(at_resume),
                ..self
            },
        }
    }

    /// What has happened to a connection that was suspended at `at`.
    fn until(self, now: Instant, at: Instant) -> Suspension {
        Suspension {
            suspended_for: now.saturating_sub(at),
            answered: self.answered.map(|then| now.saturating_sub(then)),
            pinged: self.pinged.map(|then| now.saturating_sub(then)),
        }
    }
}

/// The longest ping and the longest answer, in bytes, and the shortest interval and timeout, in nanoseconds
/// (`websocket-handler.wit`, `keepalive`).
const MAX_PING: usize = 256;
const MIN_TIME: u64 = 1_000_000_000;

/// Whether a component has kept to the rules. One that has not is woken for its pings.
fn is_sane(keepalive: &Keepalive) -> bool {
    let sizes = 1..=MAX_PING;
    keepalive.interval >= MIN_TIME
        && keepalive.timeout >= MIN_TIME
        && sizes.contains(&keepalive.ping.len())
        && sizes.contains(&keepalive.answer.len())
        && keepalive.answer.len() == keepalive.answer_mask.len()
}

/// A connection that has been resumed.
#[derive(Debug)]
pub(crate) struct Resumed {
    pub(crate) connection: Connection,
    /// The bytes to send if the guest dies, from now on.
    pub(crate) final_bytes: Vec<u8>,
    pub(crate) effects: Effects,
}

/// What an instance has of a member that it has admitted.
type Admitted = (ConnectionId, Arc<Signals>);

impl Connection {
    /// Whether nothing is pending that the connection must look after before it moves.
    pub(crate) fn is_quiet(&self) -> bool {
        self.0.signals.are_quiet()
    }

    /// See [`Guest::suspend`]. The connection stays as it is: it is to be dropped before any other call on it, or the state
    /// is.
    ///
    /// # Errors
    ///
    /// [`Dead`](crate::guest::fault::Dead) if the instance died, in this call or before.
    pub(crate) fn suspend(&self, now: Instant) -> Call<Option<Suspended>> {
        let handle = self.0.handle;
        let subscriber = Rc::clone(&self.0.subscriber);
        let suspend = call!(guest => guest.suspend(handle, now));
        self.0.call(
            suspend,
            move |instance, suspended: Option<bindings::Suspended>| {
                let bindings::Suspended { state, keepalive } = suspended?;
                Some(Suspended {
                    state,
                    keepalive: keepalive.filter(is_sane),
                    at: now,
                    version: instance.version.number,
                    subscriber,
                    kept: Kept::default(),
                })
            },
        )
    }

    /// What is pending for the connection.
    pub(super) fn signals(&self) -> &Signals {
        &self.0.signals
    }
}

impl Place {
    /// The number of the version of the component that it is on.
    pub(crate) fn version(&self) -> u64 {
        self.instance.version.number
    }

    /// See [`Guest::resume`]. With success, the topics of the connection are those of the new one.
    ///
    /// # Errors
    ///
    /// [`Dead`](crate::guest::fault::Dead) if the instance died, in this call or before.
    pub(crate) fn resume(
        self,
        now: Instant,
        suspended: Suspended,
    ) -> Call<Result<Resumed, ResumeError>> {
        let Suspended {
            state,
            at,
            version,
            subscriber,
            kept,
            ..
        } = suspended;
        let suspension = kept.until(now, at);
        let has_moved = self.version() != version;
        self.call_resume(
            now,
            suspension,
            has_moved,
            state,
            move |place, admitted, resumed| {
                let instance = Rc::clone(&place.instance);
                let handle = resumed.connection;
                let topics = &instance.shared.topics;
                topics.suspend(&subscriber);
                topics.settle(&subscriber, &instance, handle);
                let own = Own {
                    subscriber: Rc::clone(&subscriber),
                    handle,
                };
                let effects = own.settle(&instance, resumed.effects);
                let (id, signals) = admitted;
                let member = Member::admitted(place, handle, id, signals, subscriber);
                Resumed {
                    connection: Connection(member),
                    final_bytes: resumed.final_bytes,
                    effects,
                }
            },
        )
    }

    /// Makes the call, and `then` what has been resumed. `has_moved`: whether it comes from another version.
    fn call_resume<T: Unpin + 'static>(
        self,
        now: Instant,
        suspension: Suspension,
        has_moved: bool,
        state: Vec<u8>,
        then: impl FnOnce(Self, Admitted, bindings::Resumed) -> T + 'static,
    ) -> Call<Result<T, ResumeError>> {
        let limits = self.instance.message_limits;
        let (id, signals) = self.instance.admit();
        let resume = move |mut guest: Box<Guest>| async move {
            let resumed = guest.resume(now, id, suspension, &state).await;
            let handle = match &resumed {
                Ok(Ok(resumed)) => resumed.connection,
                _ => return (guest, resumed),
            };
            if let Some(limits) = limits
                && let Err(fault) = guest.set_limits(handle, limits).await
            {
                return (guest, Err(fault));
            }
            (guest, resumed)
        };
        let cause = Cause::Client(self.client);
        let waker = Waker::from(Arc::clone(&signals));
        let instance = Rc::clone(&self.instance);
        instance.call(cause, &waker, resume, move |resumed| {
            let instance = Rc::clone(&self.instance);
            let resumed = resumed.inspect_err(|_| {
                instance.members.borrow_mut().remove(&id);
                if has_moved {
                    instance.version.trial.count_refused();
                }
            })?;
            if has_moved {
                instance.version.trial.count_moved();
            }
            Ok(then(self, (id, signals), resumed))
        })
    }
}

impl fmt::Debug for Suspended {
    /// Without the state, which is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Suspended({} bytes)", self.state.len())
    }
}
