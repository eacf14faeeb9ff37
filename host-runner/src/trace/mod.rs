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

pub use endpoint::Endpoint;

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::bindings::Field;
use context::Context;

/// How many spans may wait to be sent: what the specification of OpenTelemetry proposes.
const QUEUE: usize = 2048;

/// How long the last spans may take, when the runner ends.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// There is one collector for the process, whatever threads it has.
static QUEUE_IN: OnceLock<SyncSender<Item>> = OnceLock::new();
/// Whether the runner ends: then nothing is tried again.
static IS_ENDING: AtomicBool = AtomicBool::new(false);
static SENT: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// What the exporter is told.
enum Item {
    Span(Box<Span>),
    /// All spans before this one are to be sent now; and then this is.
    Flush(SyncSender<()>),
}

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

/// A span that has begun: of a request with these fields. None if nobody collects, or the client's own trace is
/// not one to be recorded.
pub(crate) fn begin(fields: &[Field]) -> Option<Box<Span>> {
    QUEUE_IN.get()?;
    Span::new(fields)
}

/// What happened, from when to when, and as a part of what.
#[derive(Debug)]
pub(crate) struct Span {
    context: Context,
    name: String,
    began: SystemTime,
    since: Instant,
    took: Duration,
    /// By the semantic conventions of OpenTelemetry, where they have a name.
    attributes: Vec<(&'static str, Value)>,
    /// When it was taken over, since it began.
    opened: Option<Duration>,
    error: Option<String>,
}

impl Span {
    fn new(fields: &[Field]) -> Option<Box<Self>> {
        let context = Context::of(fields)?;
        Some(Box::new(Self {
            context,
            name: "HTTP".to_owned(),
            began: SystemTime::now(),
            since: Instant::now(),
            took: Duration::ZERO,
            attributes: vec![],
            opened: None,
            error: None,
        }))
    }

    /// What it is called: one of few names.
    pub(crate) fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    /// Notes an attribute.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.attributes.push((name, value.into()));
    }

    /// Notes that the socket is the app's from now on.
    pub(crate) fn open(&mut self) {
        self.opened = Some(self.since.elapsed());
    }

    /// Notes that it went wrong, and how.
    pub(crate) fn fail(&mut self, error: &str) {
        self.error = Some(error.to_owned());
    }

    /// It ends now, and is sent when there is time.
    pub(crate) fn end(mut self: Box<Self>) {
        self.took = self.since.elapsed();
        if let Some(queue) = QUEUE_IN.get() {
            put(queue, self);
        }
    }
}

/// Nobody waits for a place.
fn put(queue: &SyncSender<Item>, span: Box<Span>) {
    if queue.try_send(Item::Span(span)).is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
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
