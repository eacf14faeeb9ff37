use core::future::poll_fn;
use core::task::{Context, Poll};

use wasi::io::poll::Pollable;

use crate::session::watch;

/// Asks whether a pollable is ready; if not, the waker is woken when the host next wakes the connection whose future
/// is being polled. Never blocks.
///
/// In wasmtime, reading or writing forgets which waker to wake: so do that first, and this last.
pub(super) fn poll_ready(pollable: &Pollable, context: &Context<'_>) -> Poll<()> {
    if pollable.ready() {
        return Poll::Ready(());
    }
    watch(context.waker());
    Poll::Pending
}

/// As [`poll_ready`], awaited.
pub(super) async fn ready(pollable: &Pollable) {
    poll_fn(|context| poll_ready(pollable, context)).await;
}
