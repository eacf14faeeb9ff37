//! Wakeups that a connection receives from sources other than its socket.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::contract::bindings::ShutdownReason;

/// A signal to a connection, in order of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The instance died, possibly in a call of another connection.
    Died,
    /// The connection is to close cleanly.
    Stop(ShutdownReason),
    /// The connection has had its time to close, and is cut off.
    Cut,
    /// The connection is to move to an instance of another version of the component.
    Move,
    /// The connection has had its time to move, and is to close cleanly unless it has.
    Overdue,
    /// Another connection of the instance wants this one to be called, or something outside that it waits for is ready.
    Woken,
}

impl Signal {
    const ALL: [Self; 7] = [
        Self::Died,
        Self::Stop(ShutdownReason::GoingAway),
        Self::Stop(ShutdownReason::ServiceRestart),
        Self::Cut,
        Self::Woken,
        Self::Move,
        Self::Overdue,
    ];

    fn bit(self) -> u8 {
        match self {
            Self::Died => 1,
            Self::Stop(ShutdownReason::GoingAway) => 2,
            Self::Stop(ShutdownReason::ServiceRestart) => 4,
            Self::Woken => 8,
            Self::Cut => 16,
            Self::Move => 32,
            Self::Overdue => 64,
        }
    }
}

/// The pending signals of one connection: one bit each, so that repeated signals count once, and one waker for all, so
/// that an idle connection costs next to nothing.
#[derive(Default)]
pub struct Signals(Mutex<State>);

#[derive(Default)]
struct State {
    raised: u8,
    waker: Option<Waker>,
}

impl Signals {
    /// Raises a signal. Raising it again while it is pending has no effect.
    pub fn raise(&self, signal: Signal) {
        let mut state = self.state();
        state.raised |= signal.bit();
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether nothing is pending that the connection must look after before it moves.
    pub(super) fn are_quiet(&self) -> bool {
        let of_moves = Signal::Move.bit() | Signal::Overdue.bit();
        self.state().raised & !of_moves == 0
    }

    /// Raises the signals that are pending here at the connection that takes the place of this one.
    pub(super) fn pass_on(&self, successor: &Self) {
        let raised = self.state().raised;
        for signal in Signal::ALL {
            // That its instance is dead does not matter any more.
            let is_over = matches!(signal, Signal::Died | Signal::Move | Signal::Overdue);
            if raised & signal.bit() != 0 && !is_over {
                successor.raise(signal);
            }
        }
    }

    /// Takes the most urgent pending signal.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<Signal> {
        let mut state = self.state();
        let raised = |signal: &Signal| state.raised & signal.bit() != 0;
        if let Some(signal) = Signal::ALL.into_iter().find(raised) {
            state.raised &= !signal.bit();
            return Poll::Ready(signal);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Signals {
    fn wake(self: Arc<Self>) {
        self.raise(Signal::Woken);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.raise(Signal::Woken);
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signals({:#b})", self.state().raised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(signals: &Signals) -> Poll<Signal> {
        signals.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn returns_each_signal_once_and_the_most_urgent_first() {
        let signals = Signals::default();
        assert_eq!(poll(&signals), Poll::Pending);
        for signal in Signal::ALL.into_iter().rev().chain([Signal::Woken]) {
            signals.raise(signal);
        }
        for signal in Signal::ALL {
            assert_eq!(poll(&signals), Poll::Ready(signal));
        }
        assert_eq!(poll(&signals), Poll::Pending);
    }

    #[test]
    fn raising_wakes_the_poller() {
        let (listener, signals) = (Arc::new(Signals::default()), Signals::default());
        let waker = Waker::from(Arc::clone(&listener));
        assert_eq!(
            signals.poll(&mut Context::from_waker(&waker)),
            Poll::Pending
        );
        assert_eq!(poll(&listener), Poll::Pending);
        signals.raise(Signal::Died);
        assert_eq!(poll(&listener), Poll::Ready(Signal::Woken));
    }
}
