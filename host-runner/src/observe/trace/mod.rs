//! Traces for OpenTelemetry: a span for each request, and for each connection that an app takes over.
//!
//! ```text
//!   context: traceparent ──▶ Span ──▶ queue, bounded ──▶ export: a thread of its own ──▶ a collector
//! ```
//!
//! For a worker, a span costs a place in the queue. The rest (JSON, the network, an unresponsive collector) is left to
//! the thread. When the queue is full, spans are dropped and counted.
//!
//! The format is OTLP/HTTP with JSON, which is a single POST. The official exporter brings protocol buffers and an HTTP
//! client, several times the size of this runner, to send the same.

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

/// The most spans that wait to be sent, as OpenTelemetry's specification proposes.
const QUEUE: usize = 2048;

/// How long to wait for the last spans to be sent when the runner ends.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// Starts to send spans to a collector. Only the first call in a process has an effect.
///
/// # Errors
///
/// If the thread cannot be started.
pub fn start(endpoint: Endpoint) -> io::Result<Traces> {
    let (sender, receiver) = mpsc::sync_channel(QUEUE);
    let exporter = export::Exporter::new(endpoint);
    let thread = thread::Builder::new()
        .name("otlp".into())
        .spawn(move || exporter.run(&receiver))?;
    // Already set in a second call only.
    let _ = QUEUE_IN.set(sender);
    Ok(Traces {
        exporter: thread.thread().clone(),
    })
}

/// Sends the remaining spans on drop, for up to two seconds.
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
            // Spans that are not sent by then are lost.
            let _ = flushed.recv_timeout(FLUSH_TIME);
        }
    }
}

/// Numbers of spans sent, and dropped because the queue was full or the collector did not accept them; `None` without a
/// collector.
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
    fn spans_are_dropped_and_counted_when_the_queue_is_full() {
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
