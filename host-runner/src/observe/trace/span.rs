//! A span, and the queue in which spans wait to be exported.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::contract::bindings::Field;
use crate::observe::trace::context::Context;

/// There is one collector for the process, whatever threads it has.
pub(super) static QUEUE_IN: OnceLock<SyncSender<Item>> = OnceLock::new();

/// Whether the runner ends: then nothing is tried again.
pub(super) static IS_ENDING: AtomicBool = AtomicBool::new(false);

pub(super) static SENT: AtomicU64 = AtomicU64::new(0);

pub(super) static DROPPED: AtomicU64 = AtomicU64::new(0);

/// What the exporter is told.
pub(super) enum Item {
    Span(Box<Span>),
    /// All spans before this one are to be sent now; and then this is.
    Flush(SyncSender<()>),
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
    pub(super) context: Context,
    pub(super) name: String,
    pub(super) began: SystemTime,
    pub(super) since: Instant,
    pub(super) took: Duration,
    /// By the semantic conventions of OpenTelemetry, where they have a name.
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// When it was taken over, since it began.
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
pub(super) fn put(queue: &SyncSender<Item>, span: Box<Span>) {
    if queue.try_send(Item::Span(span)).is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}
