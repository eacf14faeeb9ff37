//! Connections that move from one instance to another. One that cannot be resumed there goes on where it is.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{self, Duration};

use crate::contract::bindings::ShutdownReason;
use crate::pool::member::Connection;
use crate::pool::place::Place;
use crate::pool::places::Seeker;
use crate::pool::wakeups::{Signal, Signals};

/// The most connections that are asked to move before other tasks run.
pub(in crate::pool) const MOVES_AT_ONCE: usize = 16;

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
        match places.vacancy(&version, &Seeker::Newcomer(self.0.place.client, key)) {
            Ok(Some(place)) => Destination::There(place),
            Ok(None) => {
                self.ask_again();
                Destination::Full
            }
            Err(_) => Destination::Nowhere,
        }
    }

    /// Asks the connection again to move, once there is room.
    pub(crate) fn ask_again(&self) {
        let moves = &self.0.place.instance.shared.moves;
        moves.add([Arc::clone(&self.0.signals)]);
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

/// The connections that are to be asked to move, and those that have been.
#[derive(Default)]
pub(in crate::pool) struct Moves {
    due: RefCell<VecDeque<Arc<Signals>>>,
    /// When they must have moved, and the oldest first.
    asked: RefCell<VecDeque<(time::Instant, Weak<Signals>)>>,
    waker: Cell<Option<Waker>>,
}

impl Moves {
    /// Adds connections.
    pub(in crate::pool) fn add(&self, connections: impl IntoIterator<Item = Arc<Signals>>) {
        self.due.borrow_mut().extend(connections);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Ready when there are connections to be asked.
    pub(in crate::pool) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.due.borrow().is_empty() {
            self.waker.set(Some(context.waker().clone()));
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Asks the next connections, at most this number, which must move within this time.
    pub(in crate::pool) fn ask_some(&self, most: usize, grace: Duration) {
        let mut due = self.due.borrow_mut();
        let some = due.len().min(most);
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
    pub(in crate::pool) fn deadline(&self) -> Option<time::Instant> {
        self.asked.borrow().front().map(|(until, _)| *until)
    }

    /// Tells the next connections whose time is over. Those that have moved do not mind.
    pub(in crate::pool) fn expire_some(&self) {
        let now = time::Instant::now();
        let mut asked = self.asked.borrow_mut();
        for _ in 0..MOVES_AT_ONCE {
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
