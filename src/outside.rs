//! Waiting for what is outside of the instance, and no socket of its own.
//!
//! A host that is asked whether something is ready, and says no, wakes the connection in whose call it
//! was asked, when it is (`websocket-handler.wit`, `wake`). See `docs/design/outside.md`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::mem;
use core::task::{Context, Poll, Waker};

use spin::Mutex;
use wasi::io::poll::Pollable;

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

/// Asks whether something is ready; if not, the waker is woken when the host next wakes the connection
/// whose future is being polled. Never blocks.
///
/// In wasmtime, to read or to write forgets who is to be woken: so that comes first, and this last.
pub(crate) fn poll_ready(pollable: &Pollable, context: &Context<'_>) -> Poll<()> {
    if pollable.ready() {
        return Poll::Ready(());
    }
    if let Some(calling) = &*UNDER_WAY.lock() {
        register(&mut calling.watchers.0.lock(), context.waker());
    }
    Poll::Pending
}

/// As [`poll_ready`], awaited.
pub(crate) async fn ready(pollable: &Pollable) {
    poll_fn(|context| poll_ready(pollable, context)).await;
}
