//! The raw socket that an app's function uses.

mod error;
mod session;
mod shared;

pub use error::RawError;

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use core::fmt;
use core::future::{Future, poll_fn};
use core::time::Duration;

use bytes::Bytes;

use crate::app::{Answer, App, Takeover};
use crate::head::Request;
use crate::protocol::Instant;
use crate::session::{Elapsed, Task, first_of};
use shared::Shared;

/// A socket that an app has taken over, for its function. The app owns every byte in both directions,
/// beginning with those that came right after the request. No response has been sent.
///
/// When the function returns, everything written is sent, and the socket is closed. A function need not
/// handle a stopping host: reads and writes fail then, and it returns.
///
/// ```
/// use wasocket::{RawError, RawStream, Request, Router, takeover};
///
/// async fn say_hi(stream: RawStream) -> Result<(), RawError> {
///     stream.write("Now we're speaking raw TCP. Say hi: ").await?;
///     if let Some(line) = stream.read_line(1024).await? {
///         stream.write(format!("You said: {line:?}\nBye.\n")).await?;
///     }
///     Ok(())
/// }
///
/// wasocket::export!(Router::new().get("/hijack", takeover(say_hi)));
/// ```
#[derive(Clone)]
pub struct RawStream(Rc<Shared>);

/// An app that takes over the socket of every request, and has a function converse on it, as with Go's
/// `http.Hijacker`.
///
/// The host refuses requests with a body, and requests in HTTP/2.
pub fn takeover<C, F, E>(converse: C) -> impl App
where
    C: Fn(RawStream) -> F + 'static,
    F: Future<Output = Result<(), E>> + 'static,
{
    move |request: &Request| Answer::converse_raw(request, &converse)
}

impl Answer {
    /// Takes over the socket of a request, and has a function converse on it. See [`RawStream`].
    ///
    /// An error of the function ends the connection like any other result: a raw socket has no way to report
    /// it.
    #[must_use]
    pub fn converse_raw<F, E>(request: &Request, converse: impl FnOnce(RawStream) -> F) -> Self
    where
        F: Future<Output = Result<(), E>> + 'static,
    {
        let shared = Shared::new(request.clone());
        let future = converse(RawStream(Rc::clone(&shared)));
        let future = Box::pin(async { drop(future.await) });
        Self::Takeover(Takeover {
            response: None,
            session: Box::new(Task::new(shared, future)),
            final_bytes: &[],
        })
    }
}

impl RawStream {
    /// The request whose socket this is.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.0.request
    }

    /// Reads the available bytes, at least one; `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// [`RawError::Lost`] when the socket has failed; [`RawError::Stopped`], once, when the host is stopping.
    pub async fn read(&self) -> Result<Option<Bytes>, RawError> {
        poll_fn(|context| self.0.poll_read(context)).await
    }

    /// Reads exactly `size` bytes; `None` at the end of the stream. Takes memory only for bytes that have
    /// arrived.
    ///
    /// # Errors
    ///
    /// [`RawError::UnexpectedEnd`] when the stream ends before that; [`read`](Self::read) returns the bytes
    /// that did arrive. Otherwise as [`read`](Self::read).
    pub async fn read_exact(&self, size: usize) -> Result<Option<Bytes>, RawError> {
        poll_fn(|context| self.0.poll_exact(size, context)).await
    }

    /// Reads a line, and returns it with its `\n`, which the last line may lack. `None` at the end of the
    /// stream.
    ///
    /// # Errors
    ///
    /// [`RawError::LineTooLong`] when there are more than `limit` bytes without an end of line;
    /// [`RawError::NotUtf8`]; or as [`read`](Self::read).
    pub async fn read_line(&self, limit: usize) -> Result<Option<String>, RawError> {
        let line = poll_fn(|context| self.0.poll_line(limit, context)).await?;
        line.map(|line| String::from_utf8(line.into()).map_err(|_| RawError::NotUtf8))
            .transpose()
    }

    /// Writes all bytes. Waits while 64 KiB are on their way.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read). Nothing has been written then.
    pub async fn write(&self, bytes: impl AsRef<[u8]>) -> Result<(), RawError> {
        let bytes = bytes.as_ref();
        poll_fn(|context| self.0.poll_room(context)).await?;
        self.0.write(bytes);
        Ok(())
    }

    /// The current time of this socket.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.now()
    }

    /// Waits for a duration.
    pub async fn sleep(&self, duration: Duration) {
        let timer = PendingTimer {
            shared: &self.0,
            number: self.0.add_timer(self.0.now().after(duration)),
        };
        poll_fn(|context| self.0.poll_timer(timer.number, context)).await;
    }

    /// Waits for a future, but no longer than `limit`. Bytes that an abandoned read has not returned are
    /// there for the next one.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when the time is up; the future is dropped.
    pub async fn timeout<F: Future>(
        &self,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        first_of(future, self.sleep(limit)).await
    }
}

impl fmt::Debug for RawStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawStream").finish_non_exhaustive()
    }
}

struct PendingTimer<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for PendingTimer<'_> {
    fn drop(&mut self) {
        self.shared.remove_timer(self.number);
    }
}
