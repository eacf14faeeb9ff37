//! Traces for OpenTelemetry: a span for each request, and for each connection that an app takes over.
//!
//! ```text
//!   context: traceparent ──▶ Span ──▶ queue, bounded ──▶ export: a thread of its own ──▶ a collector
//! ```
//!
//! What a span costs a worker is a place in the queue. The rest (JSON, the network, a collector that does not answer)
//! is the thread's. When the queue is full spans are dropped, and counted.
//!
//! The format is OTLP/HTTP with JSON, which is one POST; the official exporter brings protocol buffers and an HTTP
//! client of its own, a multiple of this runner's own code, to send the same.

mod context;
mod endpoint;
mod export;
mod post;
pub(crate) mod span;

pub use endpoint::Endpoint;
pub(crate) use span::begin;
use span::{DROPPED, IS_ENDING, Item, QUEUE_IN, SENT};

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread::{self, Thread};
use std::time::Duration;

/// How many spans may wait to be sent: what the specification of OpenTelemetry proposes.
const QUEUE: usize = 2048;

/// How long the last spans may take, when the runner ends.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// Sends spans to a collector from now on, until the process ends. Once only: what is said later is not heard.
///
/// # Errors
///
/// When the system has no thread for it.
pub fn start(endpoint: Endpoint) -> io::Result<Traces> {
    let (sender, receiver) = mpsc::sync_channel(QUEUE);
    let exporter = export::Exporter::new(endpoint);
    let thread = thread::Builder::new()
        .name("otlp".into())
        .spawn(move || exporter.run(&receiver))?;
    // Only a second call finds it taken.
    let _ = QUEUE_IN.set(sender);
    Ok(Traces {
        exporter: thread.thread().clone(),
    })
}

/// Sends what is left when it is dropped, for a short time.
#[derive(Debug)]
pub struct Traces {
    exporter: Thread,
}

impl Drop for Traces {
    fn drop(&mut self) {
        IS_ENDING.store(true, Ordering::Release);
        self.exporter.unpark();
        let (done, flushed) = mpsc::sync_channel(1);
        let queue = QUEUE_IN.get();
        if queue.is_some_and(|queue| queue.try_send(Item::Flush(done)).is_ok()) {
            // If that is not enough, they are lost.
            let _ = flushed.recv_timeout(FLUSH_TIME);
        }
    }
}

/// How many spans were sent, and how many dropped: the queue was full, or the collector did not take them. None
/// if there is no collector.
pub(crate) fn counts() -> Option<(u64, u64)> {
    QUEUE_IN.get()?;
    Some((
        SENT.load(Ordering::Relaxed),
        DROPPED.load(Ordering::Relaxed),
    ))
}

#[cfg(test)]
mod tests {
    use super::span::{Span, put};
    use super::*;

    #[test]
    fn what_finds_no_place_is_dropped_and_counted() {
        let (queue, waiting) = mpsc::sync_channel(2);
        for _ in 0..5 {
            Span::new(&[])
                .into_iter()
                .for_each(|span| put(&queue, span));
        }
        assert_eq!(DROPPED.load(Ordering::Relaxed), 3);
        assert_eq!(waiting.try_iter().count(), 2);
    }

    #[test]
    fn without_a_collector_there_are_no_spans() {
        assert!(begin(&[]).is_none() && counts().is_none());
    }
}
