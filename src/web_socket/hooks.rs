use alloc::boxed::Box;
use core::cell::RefCell;
use core::fmt;

type Action = Box<dyn FnMut(&[u8])>;

/// What an app does about pings, or about pongs. It may use the connection, and set itself anew.
#[derive(Default)]
pub(super) struct Hook(RefCell<Option<Action>>);

impl Hook {
    pub(super) fn set(&self, hook: impl FnMut(&[u8]) + 'static) {
        drop(self.0.replace(Some(Box::new(hook))));
    }

    /// Lets go of what the hook has, which may be the connection itself.
    pub(super) fn clear(&self) {
        drop(self.0.take());
    }

    pub(super) fn call(&self, payload: &[u8]) {
        let Some(mut hook) = self.0.take() else {
            return;
        };
        hook(payload);
        self.0.borrow_mut().get_or_insert(hook);
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").finish_non_exhaustive()
    }
}
