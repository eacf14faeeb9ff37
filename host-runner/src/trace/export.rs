//! The thread that sends spans: OTLP over HTTP/1.1, as JSON.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::endpoint::Endpoint;
use super::{DROPPED, Item, SENT, Span};

/// How many spans are sent at once, at most.
const MAX_BATCH: usize = 512;

/// How long the first of them waits for others.
const DELAY: Duration = Duration::from_secs(1);

/// How long the collector may take for anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// `SPAN_KIND_SERVER`, and `STATUS_CODE_ERROR`, of the OTLP protocol: in JSON these are numbers.
const SERVER: u8 = 2;
const ERROR: u8 = 2;

/// What sends spans.
pub(super) struct Exporter {
    endpoint: Endpoint,
    /// Whether it was last said that it does not work.
    is_failing: bool,
}

impl Exporter {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            is_failing: false,
        }
    }

    /// Until nobody makes spans any more.
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
                // Who waited may have given up.
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
        match post(&self.endpoint, body.as_bytes()) {
            Ok(()) => {
                SENT.fetch_add(number, Ordering::Relaxed);
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("traces are sent again");
                }
            }
            Err(error) => {
                DROPPED.fetch_add(number, Ordering::Relaxed);
                self.complain(&error);
            }
        }
    }

    /// Once, until it works again: a collector that is away is no reason to fill the log.
    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_failing, true) {
            let Endpoint {
                authority, path, ..
            } = &self.endpoint;
            tracing::warn!("traces are dropped: http://{authority}{path}: {error}");
        }
    }
}

/// A connection for each batch: one in a second at most, and never a stale one.
fn post(endpoint: &Endpoint, body: &[u8]) -> io::Result<()> {
    let mut stream = connect(&endpoint.authority)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let Endpoint {
        authority, path, ..
    } = endpoint;
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(body)?;
    let mut status = [0; b"HTTP/1.1 200".len()];
    stream.read_exact(&mut status)?;
    match &status {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            _,
            b' ',
            b'2',
            _,
            _,
        ] => Ok(()),
        other => {
            let answer = String::from_utf8_lossy(other).replace(char::is_control, " ");
            Err(io::Error::other(format!("it answers {answer:?}")))
        }
    }
}

fn connect(authority: &str) -> io::Result<TcpStream> {
    let mut outcome = Err(io::ErrorKind::NotFound.into());
    for address in authority.to_socket_addrs()? {
        outcome = TcpStream::connect_timeout(&address, PATIENCE);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
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

/// 64-bit numbers are texts in this JSON.
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
