//! The connections that are asked to move, a few at a time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{self, Duration};

use crate::pool::wakeups::{Signal, Signals};

/// The most connections that are asked to move before other tasks run.
pub(crate) const MOVES_AT_ONCE: usize = 16;

/// The connections that are to be asked to move, and those that have been.
#[derive(Default)]
pub(crate) struct Moves {
    due: RefCell<VecDeque<Arc<Signals>>>,
    /// When they must have moved, and the oldest first.
    asked: RefCell<VecDeque<(time::Instant, Weak<Signals>)>>,
    waker: Cell<Option<Waker>>,
}

impl Moves {
    /// Adds connections.
    pub(crate) fn add(&self, connections: impl IntoIterator<Item = Arc<Signals>>) {
        self.due.borrow_mut().extend(connections);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Ready when there are connections to be asked.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.due.borrow().is_empty() {
            self.waker.set(Some(context.waker().clone()));
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Asks the next connections, at most this number, which must move within this time.
    pub(crate) fn ask_some(&self, most: usize, grace: Duration) {
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
    pub(crate) fn deadline(&self) -> Option<time::Instant> {
        self.asked.borrow().front().map(|(until, _)| *until)
    }

    /// Tells the next connections whose time is over. Those that have moved do not mind.
    pub(crate) fn expire_some(&self) {
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
