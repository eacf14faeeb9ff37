//! What a connection learns of otherwise than from its socket.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::contract::bindings::ShutdownReason;

/// Something that happened elsewhere, the more urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The instance has ended, whichever connection's fault it was.
    Died,
    /// The connection is to end, and to end well.
    Stop(ShutdownReason),
    /// Another connection of the instance wants this one to be called, or something outside is ready that it
    /// has asked about.
    Woken,
}

impl Signal {
    const ALL: [Self; 4] = [
        Self::Died,
        Self::Stop(ShutdownReason::GoingAway),
        Self::Stop(ShutdownReason::ServiceRestart),
        Self::Woken,
    ];

    fn bit(self) -> u8 {
        match self {
            Self::Died => 1,
            Self::Stop(ShutdownReason::GoingAway) => 2,
            Self::Stop(ShutdownReason::ServiceRestart) => 4,
            Self::Woken => 8,
        }
    }
}

/// The signals of one connection that it has not yet heard: one bit each, so that many are no more than one,
/// and one waker for all, so that an idle connection costs next to nothing.
#[derive(Default)]
pub struct Signals(Mutex<State>);

#[derive(Default)]
struct State {
    raised: u8,
    waker: Option<Waker>,
}

impl Signals {
    /// Raises a signal. Raising it again before it is heard changes nothing.
    pub fn raise(&self, signal: Signal) {
        let mut state = self.state();
        state.raised |= signal.bit();
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The most urgent signal that is raised, which is heard by this.
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
    fn signals_are_heard_once_each_and_the_urgent_first() {
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
    fn raising_wakes_who_has_polled() {
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
