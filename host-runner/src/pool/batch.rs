//! What several connections of an instance have received in a turn of the event loop, given to it in one call.
//!
//! A call costs more than a short message. So a session that has read one leaves it here, and waits; the task of
//! [`Batches`] comes behind all the sessions that were ready in this turn, and makes one call for each instance. What
//! the guest answers it sends by itself: to wake the sessions for it would be one more turn for each.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use wasmtime::component::ResourceAny;

use crate::contract::bindings::{Arrival, Instant, Outcome, Outcomes};
use crate::guest::fault::{FaultReason, GuestFault};
use crate::pool::wakeups::Signals;

/// The most bytes of a batch; what is left is given to the guest by itself.
const MAX_BYTES: usize = 64 * 1024;

/// From this time for each connection on, a batch is a bad bargain: what its last connection waits for the
/// others is more than a call costs.
const SLOW: Duration = Duration::from_micros(50);

/// After a slow batch so many readings are given to the guest each by itself.
const ALONE: u32 = 1000;

/// Who has left something in a batch.
pub(crate) trait Receiver {
    /// What the guest says to it, in a call that was made at this instant.
    fn deliver(&self, now: Instant, outcome: &Outcome, output: &[u8]);
    /// The guest says nothing: the instance is dead.
    fn forsake(&self);
}

/// What is left for one instance.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) left: Left,
    pub(crate) waiting: Waiting,
    signals: Vec<Arc<Signals>>,
}

/// Whether an instance is given batches.
#[derive(Debug, Default)]
pub(crate) struct Bargain(Cell<u32>);

impl Bargain {
    /// Whether the next reading may join a batch.
    pub(crate) fn is_good(&self) -> bool {
        let alone = self.0.get();
        self.0.set(alone.saturating_sub(1));
        alone == 0
    }

    /// A batch of so many connections has taken so long.
    pub(crate) fn learn(&self, connections: usize, took: Duration) {
        let connections = u32::try_from(connections).unwrap_or(u32::MAX);
        if took > SLOW.saturating_mul(connections) {
            self.0.set(ALONE);
        }
    }
}

/// What the guest is given.
#[derive(Default)]
pub(crate) struct Left {
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) bytes: Vec<u8>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.0.is_empty()
    }

    /// Adds what one connection has received, if there is room. It is in no batch yet.
    pub(crate) fn join(
        &mut self,
        connection: ResourceAny,
        bytes: &[u8],
        receiver: Rc<dyn Receiver>,
        signals: &Arc<Signals>,
    ) -> bool {
        let left = &mut self.left;
        if left.bytes.len().saturating_add(bytes.len()) > MAX_BYTES {
            return false;
        }
        left.arrivals.push(Arrival {
            connection,
            length: bytes.len() as u32,
        });
        left.bytes.extend_from_slice(bytes);
        self.waiting.0.push(receiver);
        self.signals.push(Arc::clone(signals));
        true
    }

    /// Wakes all whose call it is.
    pub(crate) fn waker(&mut self) -> Waker {
        Waker::from(Arc::new(All(mem::take(&mut self.signals))))
    }
}

impl Left {
    /// Checks that there is an outcome for each arrival, and output for each outcome.
    pub(crate) fn check(&self, outcomes: Outcomes) -> Result<Outcomes, GuestFault> {
        let results = &outcomes.results;
        let lengths = results.iter().map(|one| u64::from(one.output_length));
        let fits = results.len() == self.arrivals.len()
            && lengths.sum::<u64>() == outcomes.output.len() as u64;
        match fits {
            true => Ok(outcomes),
            false => Err(GuestFault {
                reason: FaultReason::Trap("receive-many has too few outcomes, or too many".into()),
                backtrace: None,
            }),
        }
    }
}

/// Those who wait for what comes of a batch: each hears of it, whatever happens.
#[derive(Default)]
pub(crate) struct Waiting(Vec<Rc<dyn Receiver>>);

impl Waiting {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives each its part.
    pub(crate) fn deliver(mut self, now: Instant, outcomes: &Outcomes) {
        let mut rest = &outcomes.output[..];
        for (receiver, outcome) in self.0.drain(..).zip(&outcomes.results) {
            let length = rest.len().min(outcome.output_length as usize);
            let (output, behind) = rest.split_at(length);
            rest = behind;
            receiver.deliver(now, outcome, output);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.iter().for_each(|receiver| receiver.forsake());
    }
}

/// The signals of all whose call it is.
struct All(Vec<Arc<Signals>>);

impl Wake for All {
    fn wake(self: Arc<Self>) {
        for signals in &self.0 {
            Wake::wake_by_ref(signals);
        }
    }
}

/// The instances of a worker for which something is left.
pub(crate) struct Batches<I> {
    due: RefCell<Vec<Rc<I>>>,
    waker: Cell<Option<Waker>>,
}

impl<I> Batches<I> {
    /// Has the task come to this instance.
    pub(crate) fn add(&self, instance: Rc<I>) {
        self.due.borrow_mut().push(instance);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The instances to be called.
    pub(crate) fn poll_due(&self, context: &mut Context<'_>) -> Poll<Vec<Rc<I>>> {
        match self.due.take() {
            due if due.is_empty() => {
                self.waker.set(Some(context.waker().clone()));
                Poll::Pending
            }
            due => Poll::Ready(due),
        }
    }
}

impl<I> Default for Batches<I> {
    fn default() -> Self {
        Self {
            due: RefCell::default(),
            waker: Cell::default(),
        }
    }
}

impl<I> fmt::Debug for Batches<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").finish_non_exhaustive()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({})", self.waiting.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::bindings::Next;

    #[derive(Default)]
    struct Log(RefCell<Vec<String>>);

    impl Receiver for Log {
        fn deliver(&self, now: Instant, _: &Outcome, output: &[u8]) {
            let output = String::from_utf8_lossy(output);
            self.0.borrow_mut().push(format!("{output} at {now}"));
        }

        fn forsake(&self) {
            self.0.borrow_mut().push("forsaken".to_owned());
        }
    }

    fn outcomes(lengths: &[u32], output: &[u8]) -> Outcomes {
        let outcome = |length: &u32| Outcome {
            output_length: *length,
            wake_at: None,
            next: Next::Open,
        };
        Outcomes {
            results: lengths.iter().map(outcome).collect(),
            output: output.to_vec(),
            wake_others: Vec::new(),
        }
    }

    #[test]
    fn each_is_given_its_own() {
        let log = Rc::new(Log::default());
        let waiting = Waiting(vec![log.clone(), log.clone(), log.clone()]);
        waiting.deliver(7, &outcomes(&[2, 0, 3], b"abcde"));
        assert_eq!(*log.0.borrow(), ["ab at 7", " at 7", "cde at 7"]);
    }

    #[test]
    fn who_waits_is_told_when_nothing_comes() {
        let log = Rc::new(Log::default());
        drop(Waiting(vec![log.clone(), log.clone()]));
        assert_eq!(*log.0.borrow(), ["forsaken", "forsaken"]);
    }

    #[test]
    fn outcomes_that_do_not_fit_are_a_fault() {
        let none = Left::default();
        assert!(none.check(outcomes(&[], b"")).is_ok());
        for (lengths, output) in [(&[][..], &b"a"[..]), (&[0], b""), (&[u32::MAX], b"")] {
            assert!(none.check(outcomes(lengths, output)).is_err());
        }
    }

    #[test]
    fn a_slow_instance_is_left_alone_for_a_time() {
        let bargain = Bargain::default();
        bargain.learn(10, SLOW * 10);
        assert!(bargain.is_good());
        bargain.learn(10, SLOW * 11);
        let alone = (0..ALONE).filter(|_| !bargain.is_good()).count();
        assert_eq!(alone, ALONE as usize);
        assert!(bargain.is_good());
    }
}
