//! Batches: the bytes that several connections of an instance receive in one turn of the event loop, in one call.
//!
//! A call costs more than a short message. So a session that has read one leaves it here and waits; the task of
//! [`Batches`] runs after all the sessions that were ready in this turn, and makes one call for each instance. It sends
//! the guest's output itself: waking the sessions to do so would cost each another turn.

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

/// The most bytes in a batch; reads that do not fit get a call of their own.
const MAX_BYTES: usize = 64 * 1024;

/// Above this time per connection, batching costs the last connection more than a separate call would.
const SLOW: Duration = Duration::from_micros(50);

/// The number of reads that get separate calls after a slow batch.
const SEPARATE_READS: u32 = 1000;

/// A session whose bytes are in a batch.
pub(crate) trait Receiver {
    /// Delivers the guest's answer to a call made at `now`.
    fn deliver(&self, now: Instant, outcome: Outcome, output: &[u8]);
    /// Called instead if there is no answer, as the instance is dead.
    fn cancel(&self);
}

/// The batch of one instance.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) input: Input,
    pub(crate) receivers: Receivers,
    signals: Vec<Arc<Signals>>,
}

/// Whether batching pays off for an instance.
#[derive(Debug, Default)]
pub(crate) struct BatchPolicy {
    /// Reads that still get separate calls.
    separate: Cell<u32>,
}

impl BatchPolicy {
    /// Whether the next read may join a batch; counts it.
    pub(crate) fn allows_next(&self) -> bool {
        let separate = self.separate.get();
        self.separate.set(separate.saturating_sub(1));
        separate == 0
    }

    /// Records how long a batch of this number of connections took.
    pub(crate) fn record(&self, connections: usize, took: Duration) {
        let connections = u32::try_from(connections).unwrap_or(u32::MAX);
        if took > SLOW.saturating_mul(connections) {
            self.suspend();
        }
    }

    /// Gives the next reads separate calls.
    pub(crate) fn suspend(&self) {
        self.separate.set(SEPARATE_READS);
    }
}

/// The arguments of the call.
#[derive(Default)]
pub(crate) struct Input {
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) bytes: Vec<u8>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.receivers.0.is_empty()
    }

    /// Adds the bytes of one connection, which is in no batch yet. Returns whether there was room.
    pub(crate) fn join(
        &mut self,
        connection: ResourceAny,
        bytes: &[u8],
        receiver: Rc<dyn Receiver>,
        signals: &Arc<Signals>,
    ) -> bool {
        let input = &mut self.input;
        if input.bytes.len().saturating_add(bytes.len()) > MAX_BYTES {
            return false;
        }
        input.arrivals.push(Arrival {
            connection,
            length: bytes.len() as u32,
        });
        input.bytes.extend_from_slice(bytes);
        self.receivers.0.push(receiver);
        self.signals.push(Arc::clone(signals));
        true
    }

    /// The waker of the call, which wakes every connection of the batch.
    pub(crate) fn waker(&mut self) -> Waker {
        Waker::from(Arc::new(BatchWaker(mem::take(&mut self.signals))))
    }
}

impl Input {
    /// Checks that there is an outcome for each arrival, and output for each outcome.
    pub(crate) fn check(&self, outcomes: Outcomes) -> Result<Outcomes, GuestFault> {
        let results = &outcomes.results;
        let lengths = results.iter().map(|one| u64::from(one.output_length));
        let fits = results.len() == self.arrivals.len()
            && lengths.sum::<u64>() == outcomes.output.len() as u64;
        if fits {
            Ok(outcomes)
        } else {
            Err(GuestFault {
                reason: FaultReason::Trap(
                    "the outcomes of receive-many do not match its arrivals".into(),
                ),
                backtrace: None,
            })
        }
    }
}

/// The sessions waiting for a batch. Each is told the outcome; on drop, the rest are cancelled.
#[derive(Default)]
pub(crate) struct Receivers(Vec<Rc<dyn Receiver>>);

impl Receivers {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Delivers to each its outcome and output.
    pub(crate) fn deliver(mut self, now: Instant, outcomes: Outcomes) {
        let mut rest = &outcomes.output[..];
        for (receiver, outcome) in self.0.drain(..).zip(outcomes.results) {
            let length = rest.len().min(outcome.output_length as usize);
            let (output, after) = rest.split_at(length);
            rest = after;
            receiver.deliver(now, outcome, output);
        }
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        self.0.iter().for_each(|receiver| receiver.cancel());
    }
}

/// Wakes every connection of a batch.
struct BatchWaker(Vec<Arc<Signals>>);

impl Wake for BatchWaker {
    fn wake(self: Arc<Self>) {
        for signals in &self.0 {
            Wake::wake_by_ref(signals);
        }
    }
}

/// The instances of a worker that have a batch to be called.
pub(crate) struct Batches<I> {
    due: RefCell<Vec<Rc<I>>>,
    waker: Cell<Option<Waker>>,
}

impl<I> Batches<I> {
    /// Adds an instance, and wakes the task.
    pub(crate) fn add(&self, instance: Rc<I>) {
        self.due.borrow_mut().push(instance);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Returns the instances to be called.
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
        write!(f, "Batch({})", self.receivers.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::bindings::Next;

    #[derive(Default)]
    struct Log(RefCell<Vec<String>>);

    impl Receiver for Log {
        fn deliver(&self, now: Instant, _: Outcome, output: &[u8]) {
            let output = String::from_utf8_lossy(output);
            self.0.borrow_mut().push(format!("{output} at {now}"));
        }

        fn cancel(&self) {
            self.0.borrow_mut().push("cancelled".to_owned());
        }
    }

    fn outcomes(lengths: &[u32], output: &[u8]) -> Outcomes {
        let outcome = |length: &u32| Outcome {
            output_length: *length,
            wake_at: None,
            next: Next::Open,
            topics: Vec::new(),
        };
        Outcomes {
            results: lengths.iter().map(outcome).collect(),
            output: output.to_vec(),
            wake_others: Vec::new(),
        }
    }

    #[test]
    fn delivers_to_each_its_own_output() {
        let log = Rc::new(Log::default());
        let receivers = Receivers(vec![log.clone(), log.clone(), log.clone()]);
        receivers.deliver(7, outcomes(&[2, 0, 3], b"abcde"));
        assert_eq!(*log.0.borrow(), ["ab at 7", " at 7", "cde at 7"]);
    }

    #[test]
    fn a_dropped_batch_cancels_its_receivers() {
        let log = Rc::new(Log::default());
        drop(Receivers(vec![log.clone(), log.clone()]));
        assert_eq!(*log.0.borrow(), ["cancelled", "cancelled"]);
    }

    #[test]
    fn outcomes_that_do_not_match_are_a_fault() {
        let none = Input::default();
        assert!(none.check(outcomes(&[], b"")).is_ok());
        for (lengths, output) in [(&[][..], &b"a"[..]), (&[0], b""), (&[u32::MAX], b"")] {
            assert!(none.check(outcomes(lengths, output)).is_err());
        }
    }

    #[test]
    fn a_slow_batch_suspends_batching() {
        let policy = BatchPolicy::default();
        policy.record(10, SLOW * 10);
        assert!(policy.allows_next());
        policy.record(10, SLOW * 11);
        let separate = (0..SEPARATE_READS)
            .filter(|_| !policy.allows_next())
            .count();
        assert_eq!(separate, SEPARATE_READS as usize);
        assert!(policy.allows_next());
    }
}
