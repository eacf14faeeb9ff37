use alloc::boxed::Box;
use core::fmt;

/// The app of an instance: made at the first request.
pub struct Once<A: ?Sized>(spin::Once<OnlyThread<Box<A>>>);

impl<A: ?Sized> Once<A> {
    /// Not made yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(spin::Once::new())
    }

    /// The app, which `make` makes at the first call.
    pub fn get(&self, make: impl FnOnce() -> Box<A>) -> &A {
        let app = self.0.call_once(|| OnlyThread(make()));
        &app.0
    }
}

impl<A: ?Sized> Default for Once<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: ?Sized> fmt::Debug for Once<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

/// A value that only one thread uses, since there is only one.
struct OnlyThread<T>(T);

// SAFETY: an instance has one thread: neither this target nor the component model has more, and the contract
// forbids entering an instance while a call is in progress.
#[allow(
    unsafe_code,
    reason = "apps need not be Send or Sync, but statics must"
)]
unsafe impl<T> Send for OnlyThread<T> {}
// SAFETY: as above.
#[allow(unsafe_code, reason = "as above")]
unsafe impl<T> Sync for OnlyThread<T> {}
