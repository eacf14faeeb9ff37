//! A span, and the queue of spans to export.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::contract::bindings::Field;
use crate::observe::trace::context::Context;

/// The queue of the process's one collector.
pub(super) static QUEUE_IN: OnceLock<SyncSender<Item>> = OnceLock::new();

/// Whether the runner is ending; then nothing is retried.
pub(super) static IS_ENDING: AtomicBool = AtomicBool::new(false);

pub(super) static SENT: AtomicU64 = AtomicU64::new(0);

pub(super) static DROPPED: AtomicU64 = AtomicU64::new(0);

/// An item of the queue.
pub(super) enum Item {
    Span(Box<Span>),
    /// Asks for all earlier spans to be sent now, then for an answer on this channel.
    Flush(SyncSender<()>),
}

/// Starts a span of a request with these fields. `None` if there is no collector, or the client does not record its
/// trace.
pub(crate) fn begin(fields: &[Field]) -> Option<Box<Span>> {
    QUEUE_IN.get()?;
    Span::new(fields)
}

/// A span: an operation with a start, an end and a parent.
#[derive(Debug)]
pub(crate) struct Span {
    pub(super) context: Context,
    pub(super) name: String,
    pub(super) began: SystemTime,
    pub(super) since: Instant,
    pub(super) took: Duration,
    /// Named by OpenTelemetry's semantic conventions where those have a name.
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// When the socket was taken over, since the start.
    pub(super) opened: Option<Duration>,
    pub(super) error: Option<String>,
}

impl Span {
    pub(super) fn new(fields: &[Field]) -> Option<Box<Self>> {
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

    /// Sets the name, one of a small set.
    pub(crate) fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    /// Sets an attribute.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.attributes.push((name, value.into()));
    }

    /// Records that the socket was handed to the app.
    pub(crate) fn open(&mut self) {
        self.opened = Some(self.since.elapsed());
    }

    /// Records an error.
    pub(crate) fn fail(&mut self, error: &str) {
        self.error = Some(error.to_owned());
    }

    /// Ends the span and queues it.
    pub(crate) fn end(mut self: Box<Self>) {
        self.took = self.since.elapsed();
        if let Some(queue) = QUEUE_IN.get() {
            put(queue, self);
        }
    }
}

/// Drops the span if the queue is full.
pub(super) fn put(queue: &SyncSender<Item>, span: Box<Span>) {
    if queue.try_send(Item::Span(span)).is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}
