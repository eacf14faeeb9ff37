//! The exporter: a thread that sends spans by OTLP over HTTP/1.1, as JSON.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::endpoint::Endpoint;
use super::post::{Failure, post};
use super::span::{DROPPED, IS_ENDING, Item, SENT, Span};

/// The most spans to send at once.
const MAX_BATCH: usize = 512;

/// How long the first span of a batch waits for more.
const DELAY: Duration = Duration::from_secs(1);

/// The first and the last pause between attempts; each is twice as long as the one before. After the attempt that
/// follows the last pause, the spans are dropped.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(16);

/// `SPAN_KIND_SERVER` and `STATUS_CODE_ERROR` of the OTLP protocol; numbers in JSON.
const SERVER: u8 = 2;
const ERROR: u8 = 2;

/// Sends spans.
pub(super) struct Exporter {
    endpoint: Endpoint,
    /// Whether the last message logged was of a failure.
    is_failing: bool,
}

impl Exporter {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            is_failing: false,
        }
    }

    /// Runs until the queue is closed.
    pub(super) fn run(mut self, queue: &Receiver<Item>) {
        while let Ok(first) = queue.recv() {
            let mut spans = vec![];
            let mut flushed = None;
            let until = Instant::now() + DELAY;
            let mut item = Ok(first);
            loop {
                match item {
                    Ok(Item::Span(span)) => spans.push(span),
                    Ok(Item::Flush(done)) => flushed = Some(done),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
                if spans.len() >= MAX_BATCH || flushed.is_some() {
                    break;
                }
                item = queue.recv_timeout(until.saturating_duration_since(Instant::now()));
            }
            self.export(&spans);
            if let Some(done) = flushed {
                // The other side may have stopped waiting.
                let _ = done.send(());
            }
        }
    }

    fn export(&mut self, spans: &[Box<Span>]) {
        if spans.is_empty() {
            return;
        }
        let number = spans.len() as u64;
        let body = document(&self.endpoint.service, spans).to_string();
        match self.deliver(body.as_bytes()) {
            Ok(()) => {
                SENT.fetch_add(number, Ordering::Relaxed);
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("sending traces again");
                }
            }
            Err(_) => {
                DROPPED.fetch_add(number, Ordering::Relaxed);
            }
        }
    }

    /// Tries until it succeeds, cannot succeed, or has been tried often enough. Meanwhile, new spans wait in the queue.
    fn deliver(&mut self, body: &[u8]) -> Result<(), Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            let Err(failure) = post(&self.endpoint, body) else {
                return Ok(());
            };
            self.complain(&failure);
            let may_pass = failure.may_pass() && pause <= LAST_PAUSE;
            if !may_pass || !wait(failure.retry_after().unwrap_or_else(|| jittered(pause))) {
                return Err(failure);
            }
            pause *= 2;
        }
    }

    /// Logs a failure once until the next success, so that an absent collector does not fill the log.
    fn complain(&mut self, failure: &Failure) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!("could not send traces to {}: {failure}", self.endpoint);
        }
    }
}

/// Waits. Returns false, without waiting, if the runner is ending.
fn wait(time: Duration) -> bool {
    let until = Instant::now() + time.min(LAST_PAUSE);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || IS_ENDING.load(Ordering::Acquire) {
            return left.is_zero();
        }
        thread::park_timeout(left);
    }
}

/// A random part of the pause, at least half of it, so that runners that failed together do not retry together.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0];
    // Without random numbers, the whole pause.
    let part = getrandom::fill(&mut random).map_or(1.0, |()| f64::from(random[0]) / 255.0);
    pause.mul_f64(0.5 + part / 2.0)
}

/// `ExportTraceServiceRequest` in OTLP's JSON.
fn document(service: &str, spans: &[Box<Span>]) -> Value {
    let spans: Vec<Value> = spans.iter().map(|span| self::span(span)).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": [attribute("service.name", &service.into())]},
        "scopeSpans": [{
            "scope": {"name": "wasocket", "version": env!("CARGO_PKG_VERSION")},
            "spans": spans,
        }],
    }]})
}

fn span(span: &Span) -> Value {
    let context = &span.context;
    let began = span.began;
    let attributes = span.attributes.iter();
    let attributes = attributes.map(|(name, value)| attribute(name, value));
    let mut json = json!({
        "traceId": hex(&context.trace),
        "spanId": hex(&context.span),
        "name": span.name,
        "kind": SERVER,
        "startTimeUnixNano": nanos(began),
        "endTimeUnixNano": nanos(began + span.took),
        "attributes": attributes.collect::<Vec<_>>(),
    });
    if let Some(parent) = context.parent {
        json["parentSpanId"] = hex(&parent).into();
    }
    if let Some(state) = &context.state {
        json["traceState"] = state.as_str().into();
    }
    if let Some(opened) = span.opened {
        json["events"] = json!([{"name": "open", "timeUnixNano": nanos(began + opened)}]);
    }
    if let Some(error) = &span.error {
        json["status"] = json!({"code": ERROR, "message": error});
    }
    json
}

/// An attribute. 64-bit numbers are strings in this JSON.
fn attribute(name: &str, value: &Value) -> Value {
    let value = match value {
        Value::Number(number) => json!({"intValue": number.to_string()}),
        Value::Bool(bool) => json!({"boolValue": bool}),
        Value::String(text) => json!({"stringValue": text}),
        other => json!({"stringValue": other.to_string()}),
    };
    json!({"key": name, "value": value})
}

fn nanos(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_nanos().to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
