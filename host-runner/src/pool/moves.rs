//! Connections that move from one instance to another: as a value, between two calls. The peer notices nothing.
//!
//! ```text
//!   suspend ──▶ state ──▶ Place::resume ──▶ the connection, on another instance
//!      │                       │
//!      └── none: not at rest   └── an error, or a trap: the connection that was suspended goes on
//! ```

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{self, Duration};

use super::instance::{Instance, call};
use super::member::{Connection, Member, Own};
use super::place::Place;
use crate::contract::bindings::{Effects, Instant, ResumeError, ShutdownReason};
use crate::guest::handler::Guest;
use crate::pool::Call;
use crate::pool::backoff::Cause;
use crate::pool::wakeups::{Signal, Signals};
use crate::topics::subscriber::Subscriber;

/// The most connections that are asked to move before other tasks run.
const WAVE: usize = 16;

/// A connection as a value: what its guest has to know of it, and what the pool keeps meanwhile. Whoever has it keeps
/// the socket, the final bytes and the time at which to wake it.
pub(crate) struct Suspended {
    /// As secret as what the app knows about its user.
    state: Vec<u8>,
    at: Instant,
    subscriber: Rc<Subscriber<Instance>>,
}

/// A connection that has been resumed.
#[derive(Debug)]
pub(crate) struct Resumed {
    pub(crate) connection: Connection,
    /// The bytes to send if the guest dies, from now on.
    pub(crate) final_bytes: Vec<u8>,
    pub(crate) effects: Effects,
}

/// Where a connection is to be.
#[derive(Debug)]
pub(crate) enum Destination {
    /// Where it is.
    Here,
    /// In this place.
    There(Place),
    /// There is no place for it yet. It will be asked again to move.
    Full,
    /// There is no place for it where the others of its key are.
    Nowhere,
}

impl Connection {
    /// Whether its version of the component has been replaced.
    pub(crate) fn is_outdated(&self) -> bool {
        self.0.place.instance.is_left.get()
    }

    /// Closes the connection cleanly, so that the client connects to the version that has replaced its own.
    pub(crate) fn close_for_restart(&self) {
        let restart = Signal::Stop(ShutdownReason::ServiceRestart);
        self.0.signals.raise(restart);
    }

    /// Where the connection is to be, if it is asked to move.
    pub(crate) fn destination(&self) -> Destination {
        let instance = &self.0.place.instance;
        let Some(places) = instance.shared.places.upgrade() else {
            return Destination::Here;
        };
        let version = places.next();
        if instance.version.number == version.number {
            return Destination::Here;
        }
        let key = self.0.place.owner.as_ref().map(|owner| &owner.key);
        match places.vacancy(&version, self.0.place.client, key) {
            Ok(Some(place)) => Destination::There(place),
            Ok(None) => {
                instance.shared.moves.add([Arc::clone(&self.0.signals)]);
                Destination::Full
            }
            Err(_) => Destination::Nowhere,
        }
    }

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
        self.0.call(suspend, move |_, state: Option<Vec<u8>>| {
            let state = state?;
            Some(Suspended {
                state,
                at: now,
                subscriber,
            })
        })
    }

    /// The connection has been resumed elsewhere. What is pending here is passed on, and the connection is dropped in its
    /// old instance; its topics remain.
    pub(crate) fn succeed(&mut self, successor: Self) {
        self.0.signals.pass_on(&successor.0.signals);
        let mut old = mem::replace(self, successor);
        // It is the successor's.
        old.0.subscriber = Rc::default();
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
            subscriber,
        } = suspended;
        let suspended_for = Duration::from_nanos(now.saturating_sub(at));
        let limits = self.instance.message_limits;
        let (id, signals) = self.instance.admit();
        let resume = move |mut guest: Box<Guest>| async move {
            let resumed = guest.resume(now, id, suspended_for, &state).await;
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
                instance.version.trial.count_refused();
            })?;
            instance.version.trial.count_moved();
            let handle = resumed.connection;
            let topics = &instance.shared.topics;
            topics.suspend(&subscriber);
            topics.settle(&subscriber, &instance, handle);
            let own = Own {
                subscriber: Rc::clone(&subscriber),
                handle,
            };
            let effects = own.settle(&instance, resumed.effects);
            let member = Member::admitted(self, handle, id, signals, subscriber);
            Ok(Resumed {
                connection: Connection(member),
                final_bytes: resumed.final_bytes,
                effects,
            })
        })
    }
}

/// The connections that are to be asked to move, and those that have been.
#[derive(Default)]
pub(super) struct Moves {
    due: RefCell<VecDeque<Arc<Signals>>>,
    /// When they must have moved, and the oldest first.
    asked: RefCell<VecDeque<(time::Instant, Weak<Signals>)>>,
    waker: Cell<Option<Waker>>,
}

impl Moves {
    /// Adds connections.
    pub(super) fn add(&self, connections: impl IntoIterator<Item = Arc<Signals>>) {
        self.due.borrow_mut().extend(connections);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Ready when there are connections to be asked.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.due.borrow().is_empty() {
            self.waker.set(Some(context.waker().clone()));
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Asks the next connections, which must move within this time.
    pub(super) fn ask_some(&self, grace: Duration) {
        let mut due = self.due.borrow_mut();
        let some = due.len().min(WAVE);
        let until = time::Instant::now().checked_add(grace);
        for signals in due.drain(..some) {
            signals.raise(Signal::Move);
            if let Some(until) = until {
                let asked = (until, Arc::downgrade(&signals));
                self.asked.borrow_mut().push_back(asked);
            }
        }
    }

    /// The time at which a connection must have moved, if there is one.
    pub(super) fn deadline(&self) -> Option<time::Instant> {
        self.asked.borrow().front().map(|(until, _)| *until)
    }

    /// Tells the next connections whose time is over. Those that have moved do not mind.
    pub(super) fn expire_some(&self) {
        let now = time::Instant::now();
        let mut asked = self.asked.borrow_mut();
        for _ in 0..WAVE {
            match asked.front() {
                Some((until, _)) if *until <= now => {}
                _ => return,
            }
            if let Some(signals) = asked.pop_front().and_then(|(_, signals)| signals.upgrade()) {
                signals.raise(Signal::Overdue);
            }
        }
    }
}

impl fmt::Debug for Moves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Moves({})", self.due.borrow().len())
    }
}

impl fmt::Debug for Suspended {
    /// Without the state, which is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Suspended({} bytes)", self.state.len())
    }
}
