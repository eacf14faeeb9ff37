//! Wakers that wait for the same thing.

use alloc::vec::Vec;
#[cfg(all(feature = "outside", target_family = "wasm"))]
use core::mem;
use core::task::Waker;

#[cfg(all(feature = "outside", target_family = "wasm"))]
use spin::Mutex;

/// Adds a waker, unless it is there already.
pub(crate) fn register(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|own| own.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}

/// The futures of a connection that wait for something outside the instance. The host does not say which of them can
/// go on, so all are woken.
#[cfg(all(feature = "outside", target_family = "wasm"))]
#[derive(Debug, Default)]
pub(super) struct Watchers(Mutex<Vec<Waker>>);

#[cfg(all(feature = "outside", target_family = "wasm"))]
impl Watchers {
    pub(super) fn add(&self, waker: &Waker) {
        register(&mut self.0.lock(), waker);
    }

    pub(super) fn wake(&self) {
        let watchers = mem::take(&mut *self.0.lock());
        watchers.into_iter().for_each(Waker::wake);
    }

    /// Drops the wakers. They own the connection that owns them, so a connection that ends has to release
    /// them.
    pub(super) fn forget(&self) {
        drop(mem::take(&mut *self.0.lock()));
    }
}
