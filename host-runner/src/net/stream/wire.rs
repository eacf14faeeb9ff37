//! A stream that carries others, which ask how far its peer is.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::net::stream::Stream;

/// A stream under several others, and the number of bytes written to it.
#[derive(Debug)]
pub(crate) struct Carrier<S> {
    pub(crate) stream: S,
    pub(crate) written: u64,
}

/// The stream under an HTTP/2 stream, as long as that lasts.
#[derive(Clone, Debug)]
pub(crate) struct Wire(Weak<dyn Carries>);

trait Carries: fmt::Debug + Send + Sync {
    /// The number of bytes written, and how many of them the peer has not acknowledged.
    fn progress(&self) -> Option<(u64, u64)>;
}

impl<S: Stream> Carries for Mutex<Carrier<S>> {
    fn progress(&self) -> Option<(u64, u64)> {
        let carrier = self.lock().unwrap_or_else(PoisonError::into_inner);
        let left = carrier.stream.unacknowledged()?;
        Some((carrier.written, left as u64))
    }
}

impl Wire {
    pub(crate) fn of<S: Stream + 'static>(carrier: &Arc<Mutex<Carrier<S>>>) -> Self {
        let carrier: Weak<Mutex<Carrier<S>>> = Arc::downgrade(carrier);
        Self(carrier)
    }

    /// The number of bytes written so far, and the number of those that the peer has acknowledged.
    pub(crate) fn progress(&self) -> Option<(u64, u64)> {
        let (written, left) = self.0.upgrade()?.progress()?;
        Some((written, written.saturating_sub(left)))
    }
}
