//! How a socket is closed: the peer gets the last bytes at its own speed.
//!
//! RFC 9112 §9.6: closing with unread input makes the system send a reset, which can erase "the server's last response" at
//! the client before it is read. So our direction ends first, and what the peer still sends is discarded until it has
//! acknowledged everything, and for a short time after that.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::time::timeout;
use wasocket_host_core::http1::limits::{LINGER_TIMEOUT, MAX_LINGERED};

use crate::net::stream::Stream;
use crate::net::stream::progress::Progress;

/// What TLS and TCP add to the end of a stream, which is no loss: close_notify and its record, and FIN.
pub(crate) const END: usize = 64;

/// The end of a socket whose peer has not acknowledged everything.
#[derive(Debug)]
pub(crate) struct Lost {
    /// The number of bytes that the peer may not have received.
    pub(crate) bytes: usize,
    pub(crate) error: io::Error,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, error } = self;
        write!(f, "{error}; {bytes} bytes were not acknowledged")
    }
}

impl Lost {
    /// The failure of a socket to which nothing has been sent.
    pub(crate) fn nothing(error: &io::Error) -> Self {
        Self {
            bytes: 0,
            error: io::Error::new(error.kind(), error.to_string()),
        }
    }
}

impl From<Lost> for io::Error {
    fn from(lost: Lost) -> Self {
        Self::new(lost.error.kind(), lost.to_string())
    }
}

/// Closes a stream on which nothing is unsent. The peer may acknowledge nothing for this long.
///
/// # Errors
///
/// If the socket failed, or the peer has stopped reading.
pub(crate) fn close<S: Stream>(
    stream: S,
    send_timeout: Duration,
) -> impl Future<Output = io::Result<()>> {
    // Boxed: needed only at the end, and inline it would enlarge every connection's task.
    Box::pin(async move {
        let stream = deliver(stream, Progress::new(send_timeout)).await?;
        linger(stream).await;
        Ok(())
    })
}

/// Ends our direction, and waits until the peer has acknowledged everything.
///
/// # Errors
///
/// If the socket failed before that, or the peer has stopped reading.
pub(super) async fn deliver<S: Stream>(mut stream: S, mut progress: Progress) -> Result<S, Lost> {
    let mut discarded = Discarded::default();
    let delivered = poll_fn(|context| {
        let ended = Pin::new(&mut stream).poll_shutdown(context);
        progress.check(context, || stream.unacknowledged(), ended)
    });
    let mut outcome = delivered.await;
    if outcome.is_ok() {
        outcome = poll_fn(|context| {
            if let Poll::Ready(Err(error)) = discarded.poll(context, &mut stream) {
                return Poll::Ready(Err(error));
            }
            progress.poll_delivered(context, || stream.unacknowledged())
        })
        .await;
    }
    let bytes = stream.unacknowledged().unwrap_or(0);
    match outcome {
        Err(error) if bytes > END => Err(Lost { bytes, error }),
        _ => Ok(stream),
    }
}

/// Discards for a short time what the peer still sends.
pub(crate) async fn linger<S: Stream>(mut stream: S) {
    let mut discarded = Discarded::default();
    // A peer that is slow to close is no error, nor is one that resets what it has read.
    let ended = poll_fn(|context| discarded.poll(context, &mut stream));
    let _ = timeout(LINGER_TIMEOUT, ended).await;
}

/// The number of bytes that the peer has sent after the end.
#[derive(Default)]
struct Discarded(u64);

impl Discarded {
    /// Reads to the end of the peer's stream. Called again after that, it notices a reset.
    fn poll<S: Stream>(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        while self.0 <= MAX_LINGERED {
            let mut buffer = [0; 1024];
            let mut buffer = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
            let read = buffer.filled().len();
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            self.0 = self.0.saturating_add(read as u64);
        }
        Poll::Ready(Err(io::Error::other(
            "the peer keeps sending after the end",
        )))
    }
}
