//! The access log: one line for each connection when it ends, and one for each request that is answered. Each has
//! its span in the trace.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::contract::bindings::{Closing, HttpVersion, Initiator, Report, Request, initiator_name};
use crate::net::peer::Peer;
use crate::net::stream::closing::Lost;
use crate::observe::trace;
use crate::observe::trace::span::Span;

/// The most bytes that are logged of a text from outside, such as a path or what a guest reports.
const MAX_TEXT: usize = 1024;

/// The most bytes of a fault, which may be an exception with its stack.
const MAX_FAULT: usize = 4096;

/// The error of connections that have not ended when the runner stops.
pub(crate) const ABORTED: &str = "aborted at shutdown";

/// The target of these lines: `RUST_LOG=info,access=off` leaves them out.
const TARGET: &str = "access";

/// RFC 6455 §7.1.5: stands for an end without a Close frame.
const ABNORMAL_CLOSURE: u16 = 1006;

/// The entry of a connection that a guest has taken over, written when it ends.
#[derive(Debug)]
pub(crate) struct ConnectionEntry {
    remote: Peer,
    path: Box<str>,
    http: HttpVersion,
    since: Instant,
    bytes_received: u64,
    bytes_sent: u64,
    /// Publications that it made, and that it was given.
    published: u64,
    delivered: u64,
    is_websocket: bool,
    /// The guest's report, once there is one.
    report: Option<Box<Report>>,
    is_written: bool,
    span: Option<Box<Span>>,
}

/// Why a connection ended of which the guest gives no report.
#[derive(Clone, Copy)]
struct Unreported {
    by: &'static str,
    code: u16,
}

/// The instance failed, and the client was sent the final bytes: a Close frame with this code.
const INSTANCE_FAILED: Unreported = Unreported {
    by: "app",
    code: 1011,
};

/// The connection was cut off when the runner stopped.
const CUT_OFF: Unreported = Unreported {
    by: "host",
    code: 1006,
};

/// What another process needs to go on with an entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EntryRecord {
    pub(crate) remote: Peer,
    pub(crate) path: String,
    age: Duration,
    bytes_received: u64,
    bytes_sent: u64,
    published: u64,
    delivered: u64,
    is_websocket: bool,
}

impl ConnectionEntry {
    /// What another process needs to go on with the entry. `published`: the publications that are not counted here yet.
    pub(crate) fn record(&self, published: u64) -> EntryRecord {
        EntryRecord {
            remote: self.remote,
            path: self.path.to_string(),
            age: self.age(),
            bytes_received: self.bytes_received,
            bytes_sent: self.bytes_sent,
            published: self.published.saturating_add(published),
            delivered: self.delivered,
            is_websocket: self.is_websocket,
        }
    }

    /// How old the connection is.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Another process goes on with the entry, and writes it. The span ends here: what follows is no part of this trace.
    pub(crate) fn leave(mut self) {
        self.is_written = true;
        if let Some(mut span) = self.span.take() {
            span.set("wasocket.handed_over", true);
            span.end();
        }
    }

    /// Counts bytes received.
    pub(crate) fn received(&mut self, length: usize) {
        self.bytes_received = self.bytes_received.saturating_add(length as u64);
    }

    /// Counts bytes queued for sending.
    pub(crate) fn sent(&mut self, length: usize) {
        self.bytes_sent = self.bytes_sent.saturating_add(length as u64);
    }

    /// Adds the number of publications that the connection has made.
    pub(crate) fn published(&mut self, publications: u64) {
        self.published = self.published.saturating_add(publications);
    }

    /// Counts a publication that the connection was given.
    pub(crate) fn delivered(&mut self) {
        self.delivered = self.delivered.saturating_add(1);
    }

    /// Notes the guest's report on a connection that has ended. An error of the app is a separate warning.
    pub(crate) fn conclude(&mut self, report: Option<Report>) {
        self.report = report.map(Box::new);
        if let Some(fault) = self.report().and_then(|report| report.fault.as_deref()) {
            log_fault(&self.remote, &self.path, fault);
        }
    }

    /// The guest's report.
    pub(crate) fn report(&self) -> Option<&Report> {
        self.report.as_deref()
    }

    /// Logs the end, with the failure of the socket. An end at which output was lost is not the one that the guest reports.
    pub(crate) fn log(&mut self, failure: Option<&Lost>) {
        let error = match (failure, &self.report) {
            (Some(failure), _) => Some(failure.error.to_string()),
            (None, None) => Some("its instance failed".to_owned()),
            (None, Some(_)) => None,
        };
        if let Some(bytes) = failure.map(|lost| lost.bytes).filter(|bytes| *bytes > 0) {
            let reason = format!("{bytes} bytes of the output were lost");
            self.fail(Initiator::Peer, reason);
        }
        self.write(INSTANCE_FAILED, error.as_deref());
    }

    /// Makes the end one without a closing handshake.
    fn fail(&mut self, initiator: Initiator, reason: String) {
        let report = self.report.as_mut();
        if let Some(closing) = report.and_then(|report| report.closing.as_mut()) {
            *closing = Closing {
                initiator,
                code: ABNORMAL_CLOSURE,
                reason,
            };
        }
    }

    /// Writes one line. Texts come from a peer or a guest, so they are quoted and their control characters escaped. Without
    /// a report, a WebSocket has ended for `unreported`.
    fn write(&mut self, unreported: Unreported, error: Option<&str>) {
        self.is_written = true;
        let report = self.report.take();
        let report = report.as_deref();
        let closing = report.and_then(|report| report.closing.as_ref());
        let unreported = (report.is_none() && self.is_websocket).then_some(unreported);
        let by = closing.map(|closing| initiator_name(closing.initiator));
        let by = by.or(unreported.map(|end| end.by));
        let code = closing.map(|closing| closing.code);
        let code = code.or(unreported.map(|end| end.code));
        tracing::info!(
            target: TARGET,
            remote = %self.remote,
            path = &*self.path,
            http = version(self.http),
            duration_ms = millis(self.since),
            bytes_received = self.bytes_received,
            bytes_sent = self.bytes_sent,
            messages_received = report.map(|report| report.messages_received),
            messages_sent = report.map(|report| report.messages_sent),
            published = some(self.published),
            delivered = some(self.delivered),
            by,
            code,
            reason = closing.map(|closing| beginning(&closing.reason)),
            error,
            "ended"
        );
        self.end_span(report, by, code, error);
    }

    /// Attributes that OpenTelemetry has no name for are under `wasocket.`.
    fn end_span(
        &mut self,
        report: Option<&Report>,
        by: Option<&'static str>,
        code: Option<u16>,
        error: Option<&str>,
    ) {
        let Some(mut span) = self.span.take() else {
            return;
        };
        span.set("wasocket.received.bytes", self.bytes_received);
        span.set("wasocket.sent.bytes", self.bytes_sent);
        if let Some(report) = report {
            span.set("wasocket.received.messages", report.messages_received);
            span.set("wasocket.sent.messages", report.messages_sent);
        }
        if self.published > 0 || self.delivered > 0 {
            span.set("wasocket.published.messages", self.published);
            span.set("wasocket.delivered.messages", self.delivered);
        }
        if let (Some(by), Some(code)) = (by, code) {
            span.set("wasocket.close.initiator", by);
            span.set("wasocket.close.code", code);
        }
        if let Some(closing) = report.and_then(|report| report.closing.as_ref()) {
            span.set("wasocket.close.reason", beginning(&closing.reason));
        }
        if let Some(error) = error {
            span.fail(beginning(error));
        }
        span.end();
    }
}

impl From<EntryRecord> for ConnectionEntry {
    /// Goes on with the entry of another process. Only connections of HTTP/1.1 come from there.
    fn from(record: EntryRecord) -> Self {
        let now = Instant::now();
        Self {
            remote: record.remote,
            path: path(&record.path).into(),
            http: HttpVersion::Http11,
            since: now.checked_sub(record.age).unwrap_or(now),
            bytes_received: record.bytes_received,
            bytes_sent: record.bytes_sent,
            published: record.published,
            delivered: record.delivered,
            is_websocket: record.is_websocket,
            report: None,
            is_written: false,
            span: None,
        }
    }
}

impl Drop for ConnectionEntry {
    /// Writes a line for a connection that has not ended when the runner stops.
    fn drop(&mut self) {
        if !self.is_written {
            self.fail(Initiator::Host, ABORTED.to_owned());
            self.write(CUT_OFF, Some(ABORTED));
        }
    }
}

/// The entry of a request, written when it is answered. Nothing is written if it is dropped: the client is gone.
#[derive(Debug)]
pub(crate) struct RequestEntry {
    remote: Peer,
    /// `None` if the head was refused: then there is neither a method nor a path.
    request: Option<Arc<Request>>,
    since: Instant,
    span: Option<Box<Span>>,
}

impl RequestEntry {
    /// The entry of a head that has just arrived and is refused.
    pub(crate) fn of_refused_head(remote: Peer) -> Self {
        Self {
            remote,
            request: None,
            since: Instant::now(),
            span: trace::begin(&[]),
        }
    }

    /// The entry of a request that has just arrived.
    pub(crate) fn of(request: &Arc<Request>, remote: Peer) -> Self {
        let mut span = trace::begin(&request.fields);
        if let Some(span) = &mut span {
            describe(span, request, remote);
        }
        Self {
            remote,
            request: Some(Arc::clone(request)),
            since: Instant::now(),
            span,
        }
    }

    /// Logs the answer, with the number of bytes of its body.
    pub(crate) fn answered(self, status: u16, bytes: usize) {
        self.write(Some(status), Some(bytes), &Details::default());
        self.end_span(status, "");
    }

    /// Logs that the request was refused, and why. `suppressed` refusals of the same client before it were not logged.
    pub(crate) fn refused(self, status: u16, bytes: usize, reason: &str, suppressed: u64) {
        let details = Details::refused(reason, suppressed);
        self.write(Some(status), Some(bytes), &details);
        self.end_span(status, reason);
    }

    /// Logs that a connection was closed without a response, and why; `suppressed` as above.
    pub(crate) fn closed(self, reason: &str, suppressed: u64) {
        self.write(None, None, &Details::refused(reason, suppressed));
    }

    fn end_span(self, status: u16, reason: &str) {
        let Some(mut span) = self.span else {
            return;
        };
        span.set("http.response.status_code", status);
        // OpenTelemetry counts only the server's faults as errors.
        if status >= 500 {
            span.set("error.type", status.to_string());
            span.fail(beginning(reason));
        }
        span.end();
    }

    /// Logs that the stream was reset with this HTTP/2 error code, without a response.
    pub(crate) fn reset(self, code: &'static str) {
        let details = Details {
            reset: Some(code),
            ..Details::default()
        };
        self.write(None, None, &details);
        if let Some(mut span) = self.span {
            span.fail(code);
            span.end();
        }
    }

    fn write(&self, status: Option<u16>, bytes: Option<usize>, details: &Details<'_>) {
        let request = self.request.as_deref();
        tracing::info!(
            target: TARGET,
            remote = %self.remote,
            method = request.map(|request| beginning(&request.method)),
            path = request.map(|request| path(&request.target)),
            http = request.map(|request| version(request.version)),
            status,
            reset = details.reset,
            reason = details.reason,
            suppressed = details.suppressed,
            duration_ms = millis(self.since),
            bytes_sent = bytes,
            "answered"
        );
    }

    /// Converts to the entry of the connection that takes over the request's socket. `status` is that of the response,
    /// which a raw takeover does not have.
    pub(crate) fn into_connection(self, status: Option<u16>) -> ConnectionEntry {
        let request = self.request.as_deref();
        let target = request.map(|request| &*request.target);
        let mut span = self.span;
        if let Some(span) = &mut span {
            span.open();
            span.rename(status.map_or("takeover", |_| "WebSocket"));
            if let Some(status) = status {
                span.set("http.response.status_code", status);
                span.set("network.protocol.name", "websocket");
            }
        }
        ConnectionEntry {
            remote: self.remote,
            // Pages put tokens into the query, as they cannot set fields.
            path: path(target.unwrap_or_default()).into(),
            http: request.map_or(HttpVersion::Http11, |request| request.version),
            since: Instant::now(),
            bytes_received: 0,
            bytes_sent: 0,
            published: 0,
            delivered: 0,
            is_websocket: status.is_some(),
            report: None,
            is_written: false,
            span,
        }
    }
}

/// What a line says about a request that was not simply answered.
#[derive(Default)]
struct Details<'a> {
    reset: Option<&'a str>,
    reason: Option<&'a str>,
    suppressed: Option<u64>,
}

impl<'a> Details<'a> {
    fn refused(reason: &'a str, suppressed: u64) -> Self {
        Self {
            reset: None,
            reason: Some(beginning(reason)),
            suppressed: (suppressed > 0).then_some(suppressed),
        }
    }
}

/// Logs how many refusals of a client were not logged.
pub(crate) fn log_suppressed(address: Option<IpAddr>, suppressed: u64) {
    let remote = address.map_or("unix".to_owned(), |ip| match ip {
        ip if ip.is_unspecified() => "unknown".to_owned(),
        ip => ip.to_string(),
    });
    tracing::info!(target: TARGET, remote, suppressed, "refusals not logged");
}

/// Sets the attributes of OpenTelemetry's conventions for HTTP servers. Span names must be few, so an unknown method
/// does not become one.
fn describe(span: &mut Span, request: &Request, peer: Peer) {
    const METHODS: [&str; 9] = [
        "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
    ];
    if METHODS.contains(&&*request.method) {
        span.rename(&request.method);
        span.set("http.request.method", &*request.method);
    } else {
        span.set("http.request.method", "_OTHER");
        span.set("http.request.method_original", beginning(&request.method));
    }
    span.set("url.scheme", if peer.secure { "https" } else { "http" });
    span.set("url.path", path(&request.target));
    span.set("network.protocol.version", version(request.version));
    if let Some(ip) = peer.ip() {
        span.set("client.address", ip.to_canonical().to_string());
    }
    if let Some(port) = peer.port {
        span.set("client.port", port);
    }
}

/// Logs that a response, which has its own line, did not reach its client whole.
pub(crate) fn log_cut_off(remote: Peer, error: &dyn fmt::Display) {
    tracing::info!(target: TARGET, %remote, %error, "cut off");
}

/// A number that only some connections have.
fn some(number: u64) -> Option<u64> {
    (number > 0).then_some(number)
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Logs an error of the app, on a connection or with a request.
pub(crate) fn log_fault(remote: &dyn fmt::Display, target: &str, fault: &str) {
    let path = path(target);
    let fault = fault
        .get(..fault.floor_char_boundary(MAX_FAULT))
        .unwrap_or_default();
    tracing::error!(%remote, ?path, "app error: {fault:?}");
}

fn version(version: HttpVersion) -> &'static str {
    match version {
        HttpVersion::Http10 => "1.0",
        HttpVersion::Http11 => "1.1",
        HttpVersion::Http2 => "2",
        HttpVersion::Http3 => "3",
    }
}

/// The path of a target, without the query.
pub(crate) fn path(target: &str) -> &str {
    beginning(target.split('?').next().unwrap_or_default())
}

fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_logged_without_query_and_up_to_a_kilobyte() {
        assert_eq!(path("/a?token=secret"), "/a");
        let long = format!("/{}", "ä".repeat(MAX_TEXT));
        assert_eq!(path(&long).len(), MAX_TEXT - 1);
    }
}
