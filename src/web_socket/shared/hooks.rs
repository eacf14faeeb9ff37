use alloc::boxed::Box;
use core::cell::RefCell;
use core::fmt;

use crate::protocol::CloseReason;

/// A hook for pings or pongs.
pub(crate) type OnPayload = dyn FnMut(&[u8]);

/// A hook that answers the peer's Close frame.
pub(crate) type OnClose = dyn FnMut(Option<&CloseReason>) -> Option<CloseReason>;

/// The app's reaction to an event. It may use the connection, and replace itself.
pub(crate) struct Hook<F: ?Sized>(RefCell<Option<Box<F>>>);

impl<F: ?Sized> Hook<F> {
    pub(crate) fn set(&self, hook: Box<F>) {
        drop(self.0.replace(Some(hook)));
    }

    /// Drops the hook, which may own the connection itself.
    pub(crate) fn clear(&self) {
        drop(self.0.take());
    }

    /// Calls the hook, if there is one.
    pub(crate) fn call<R>(&self, call: impl FnOnce(&mut F) -> R) -> Option<R> {
        let mut hook = self.0.take()?;
        let result = call(&mut hook);
        self.0.borrow_mut().get_or_insert(hook);
        Some(result)
    }
}

impl<F: ?Sized> Default for Hook<F> {
    fn default() -> Self {
        Self(RefCell::new(None))
    }
}

impl<F: ?Sized> fmt::Debug for Hook<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").finish_non_exhaustive()
    }
}
