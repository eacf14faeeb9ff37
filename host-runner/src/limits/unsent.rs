//! The budget for output that waits to be sent, over all clients together.
//!
//! A single connection's unsent output may be as large as an instance's memory; many clients that do not read
//! would take more memory than there is. Once total unsent output exceeds the budget, a connection that holds more
//! than an equal share and adds to it is dropped. Connections below their share are left alone, so clients that
//! read are served while others do not. A share is never more than the budget, so the total stays below twice
//! the budget.
//!
//! The body of a plain HTTP response counts until all of it is sent, or is refused: a stream of HTTP/2 costs its client
//! next to nothing, and so does a window that never opens.
//!
//! The budget covers all workers. A connection whose output is sent at once never touches these counters.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;

/// The unsent output of all connections.
#[derive(Debug)]
pub(crate) struct UnsentBudget {
    /// The budget, in bytes.
    max: usize,
    /// Bytes unsent now.
    total: AtomicUsize,
    /// Connections that have unsent output now.
    holders: AtomicUsize,
}

impl UnsentBudget {
    /// A budget of `max` bytes, of which nothing is used.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            total: AtomicUsize::new(0),
            holders: AtomicUsize::new(0),
        })
    }

    /// Bytes unsent on all connections.
    pub(crate) fn total(&self) -> usize {
        self.total.load(Relaxed)
    }

    /// Counts the body of a response until the last reference to it is gone.
    ///
    /// # Errors
    ///
    /// If the budget is exceeded.
    pub(crate) fn hold(self: &Arc<Self>, body: Vec<u8>) -> io::Result<Bytes> {
        let mut share = UnsentShare::new(self);
        share.set(body.len())?;
        Ok(Bytes::from_owner(Held {
            body,
            _share: share,
        }))
    }

    /// Whether more is unsent than there should be.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.total() > self.max
    }

    /// Whether a connection that holds this many bytes must not hold more.
    fn is_exceeded_by(&self, held: usize) -> bool {
        self.is_exceeded() && held > self.max / self.holders.load(Relaxed).max(1)
    }
}

/// A body with its part of the budget.
struct Held {
    body: Vec<u8>,
    _share: UnsentShare,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// One connection's part of the budget, returned on drop.
#[derive(Debug)]
pub(crate) struct UnsentShare {
    budget: Arc<UnsentBudget>,
    held: usize,
}

impl UnsentShare {
    pub(crate) fn new(budget: &Arc<UnsentBudget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            held: 0,
        }
    }

    /// Sets the number of bytes that are unsent now.
    ///
    /// # Errors
    ///
    /// If the number grew and the budget is exceeded.
    pub(crate) fn set(&mut self, unsent: usize) -> io::Result<()> {
        if unsent == self.held {
            return Ok(());
        }
        let before = self.held;
        self.update(unsent);
        if unsent > before && self.budget.is_exceeded_by(unsent) {
            return Err(io::Error::other(
                "too much output is unsent to all clients together (--max-unsent)",
            ));
        }
        Ok(())
    }

    fn update(&mut self, unsent: usize) {
        let UnsentBudget { total, holders, .. } = &*self.budget;
        replace(total, self.held, unsent);
        replace(holders, (self.held > 0).into(), (unsent > 0).into());
        self.held = unsent;
    }
}

/// Replaces one summand of a sum. Wrapping in between does not matter, as every summand is taken out again.
fn replace(sum: &AtomicUsize, before: usize, now: usize) {
    sum.fetch_add(now.wrapping_sub(before), Relaxed);
}

impl Drop for UnsentShare {
    fn drop(&mut self) {
        self.update(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_above_its_share_may_not_add_to_it() {
        let budget = UnsentBudget::new(100);
        let [mut small, mut large, mut larger] = [(); 3].map(|()| UnsentShare::new(&budget));
        assert!(small.set(10).is_ok() && large.set(45).is_ok());
        assert!(larger.set(45).is_ok(), "the budget itself");
        assert!(larger.set(46).is_err());
        assert!(small.set(20).is_ok(), "less than a third");
        assert!(large.set(44).is_ok(), "less than before");
        assert_eq!(budget.total(), 110);
        drop(larger);
        assert_eq!((budget.total(), budget.holders.load(Relaxed)), (64, 2));
        assert!(large.set(80).is_ok());
        assert!(large.set(0).is_ok() && small.set(0).is_ok());
        assert_eq!((budget.total(), budget.holders.load(Relaxed)), (0, 0));
    }

    #[test]
    fn a_body_counts_until_its_last_part_is_gone() -> io::Result<()> {
        let budget = UnsentBudget::new(100);
        let mut body = budget.hold(vec![0; 80])?;
        let rest = body.split_off(70);
        assert!(budget.hold(vec![0; 60]).is_err());
        assert_eq!(budget.total(), 80);
        drop(body);
        assert_eq!(budget.total(), 80);
        drop(rest);
        assert_eq!(budget.total(), 0);
        budget.hold(vec![0; 60]).map(drop)
    }

    #[test]
    fn total_stays_below_twice_the_budget() {
        let budget = UnsentBudget::new(1000);
        let mut all: Vec<UnsentShare> = (0..100).map(|_| UnsentShare::new(&budget)).collect();
        for round in 1..1000 {
            all.retain_mut(|share| share.set(round).is_ok());
            assert!(budget.total() <= 2000, "{}", budget.total());
        }
        assert!(!all.is_empty(), "some are served");
    }
}
