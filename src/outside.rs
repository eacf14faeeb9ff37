//! Waiting for what is outside of the instance, and no socket of its own.
//!
//! A host that is asked whether something is ready, and says no, wakes the connection in whose call it
//! was asked, when it is (`websocket-handler.wit`, `wake`). See `docs/design/outside.md`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::task::Waker;

use spin::Mutex;

use crate::ready::Calling;
use crate::task::register;

/// Those of a connection who wait for something outside. The host does not say which of them it is for.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<Vec<Waker>>);

impl Watchers {
    pub(crate) fn wake(&self) {
        let watchers = mem::take(&mut *self.0.lock());
        watchers.into_iter().for_each(Waker::wake);
    }

    /// They hold what holds them: a connection that ends has to let go.
    pub(crate) fn forget(&self) {
        drop(mem::take(&mut *self.0.lock()));
    }
}

/// Whose future is being polled. One for all: an instance has one thread.
static UNDER_WAY: Mutex<Option<Arc<Calling>>> = Mutex::new(None);

/// The future of a connection is being polled, for as long as this lives.
pub(crate) struct UnderWay(Option<Arc<Calling>>);

impl UnderWay {
    pub(crate) fn begin(calling: &Arc<Calling>) -> Self {
        Self(UNDER_WAY.lock().replace(Arc::clone(calling)))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        *UNDER_WAY.lock() = self.0.take();
    }
}

/// Has the waker woken when the host next wakes the connection whose future is being polled. To be
/// called after the host has said that something is not ready.
pub(crate) fn watch(waker: &Waker) {
    if let Some(calling) = &*UNDER_WAY.lock() {
        register(&mut calling.watchers.0.lock(), waker);
    }
}
