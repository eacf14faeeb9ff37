//! The output that waits for all clients together.
//!
//! Each may owe as much as an instance's memory; many who do not read would take more than there is. Once all
//! together owe the limit, who owes more than an equal share of it must not owe more: its connection is lost.
//! Who owes less is not touched, so that those who read are served beside those who do not. A share is never
//! more than the limit, so that the sum stays below twice that.
//!
//! All are those of all workers. Who is sent everything at once owes nothing, and touches nothing here.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What all owe, in bytes.
#[derive(Debug)]
pub(crate) struct Debts {
    most: usize,
    sum: AtomicUsize,
    debtors: AtomicUsize,
}

impl Debts {
    /// No debts, and at most so many.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            sum: AtomicUsize::new(0),
            debtors: AtomicUsize::new(0),
        })
    }

    /// What all owe.
    pub(crate) fn sum(&self) -> usize {
        self.sum.load(Relaxed)
    }

    /// Whether one that owes this owes too much.
    fn is_too_much(&self, owed: usize) -> bool {
        self.sum.load(Relaxed) > self.most && owed > self.most / self.debtors.load(Relaxed).max(1)
    }
}

/// What one client owes: nothing any more, when this is dropped.
#[derive(Debug)]
pub(crate) struct Debt {
    debts: Arc<Debts>,
    owed: usize,
}

impl Debt {
    pub(crate) fn new(debts: &Arc<Debts>) -> Self {
        Self {
            debts: Arc::clone(debts),
            owed: 0,
        }
    }

    /// So much is unsent now.
    ///
    /// # Errors
    ///
    /// When it is more than before, and too much.
    pub(crate) fn set(&mut self, unsent: usize) -> io::Result<()> {
        if unsent == self.owed {
            return Ok(());
        }
        let before = self.owed;
        self.settle(unsent);
        match unsent > before && self.debts.is_too_much(unsent) {
            true => Err(io::Error::other(
                "too much output is unsent to all clients together (--max-unsent)",
            )),
            false => Ok(()),
        }
    }

    fn settle(&mut self, unsent: usize) {
        let Debts { sum, debtors, .. } = &*self.debts;
        change(sum, self.owed, unsent);
        change(debtors, (self.owed > 0).into(), (unsent > 0).into());
        self.owed = unsent;
    }
}

/// Counts a part of a sum anew. It wraps with its parts, and so never in the end.
fn change(sum: &AtomicUsize, before: usize, now: usize) {
    sum.fetch_add(now.wrapping_sub(before), Relaxed);
}

impl Drop for Debt {
    fn drop(&mut self) {
        self.settle(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_owes_more_than_its_share_must_not_owe_more() {
        let debts = Debts::new(100);
        let [mut small, mut large, mut larger] = [(); 3].map(|()| Debt::new(&debts));
        assert!(small.set(10).is_ok() && large.set(45).is_ok());
        assert!(larger.set(45).is_ok(), "the limit itself");
        assert!(larger.set(46).is_err());
        assert!(small.set(20).is_ok(), "less than a third");
        assert!(large.set(44).is_ok(), "less than before");
        assert_eq!(debts.sum(), 110);
        drop(larger);
        assert_eq!((debts.sum(), debts.debtors.load(Relaxed)), (64, 2));
        assert!(large.set(80).is_ok());
        assert!(large.set(0).is_ok() && small.set(0).is_ok());
        assert_eq!((debts.sum(), debts.debtors.load(Relaxed)), (0, 0));
    }

    #[test]
    fn the_sum_stays_below_twice_the_limit() {
        let debts = Debts::new(1000);
        let mut all: Vec<Debt> = (0..100).map(|_| Debt::new(&debts)).collect();
        for round in 1..1000 {
            all.retain_mut(|debt| debt.set(round).is_ok());
            assert!(debts.sum() <= 2000, "{}", debts.sum());
        }
        assert!(!all.is_empty(), "somebody is served");
    }
}
