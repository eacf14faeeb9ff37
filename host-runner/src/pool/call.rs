//! A call into an instance, from the caller's side.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::guest::fault::Dead;

/// The result of a call, nearly always available at once. The call continues even if this future is dropped.
pub enum Call<T> {
    /// The call is done. `None` once the result has been taken.
    Done(Option<Result<T, Dead>>),
    /// The instance is busy with another call, or this one takes long.
    Later(Pin<Box<dyn Future<Output = Result<T, Dead>>>>),
}

impl<T> Call<T> {
    pub(crate) fn done(outcome: Result<T, Dead>) -> Self {
        Self::Done(Some(outcome))
    }

    pub(crate) fn later(outcome: impl Future<Output = Result<T, Dead>> + 'static) -> Self {
        Self::Later(Box::pin(outcome))
    }
}

impl<T: Unpin> Future for Call<T> {
    type Output = Result<T, Dead>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            // If it is polled again after its end, it stays pending.
            Self::Done(outcome) => outcome.take().map_or(Poll::Pending, Poll::Ready),
            Self::Later(outcome) => outcome.as_mut().poll(context),
        }
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done(_) => "Done",
            Self::Later(_) => "Later",
        })
    }
}
