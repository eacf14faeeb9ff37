//! The line in the log that a connection leaves behind, and that a request does.

use std::fmt;
use std::io;
use std::time::Instant;

use crate::contract::bindings::{HttpVersion, Report, Request, initiator_name};
use crate::guest::fault::Dead;
use crate::net::peer::Peer;
use crate::observe::trace;
use crate::observe::trace::span::Span;

/// How much of a text from outside is logged, in bytes: of a path, of what a guest reports.
const MAX_TEXT: usize = 1024;

/// What these lines are logged as: `RUST_LOG=info,access=off` is without them.
const TARGET: &str = "access";

/// What is to be logged of a connection that a guest has taken over.
#[derive(Debug)]
pub struct Access {
    remote: Peer,
    path: String,
    http: HttpVersion,
    since: Instant,
    bytes_received: u64,
    bytes_sent: u64,
    is_logged: bool,
    span: Option<Box<Span>>,
}

impl Access {
    /// A connection that begins now, by a request for this target. Its query is not logged: it is where pages
    /// put tokens, for want of fields of their own.
    pub fn new(remote: Peer, target: &str, http: HttpVersion) -> Self {
        Self {
            remote,
            path: path(target).to_owned(),
            http,
            since: Instant::now(),
            bytes_received: 0,
            bytes_sent: 0,
            is_logged: false,
            span: None,
        }
    }

    /// The span of the request, which is the connection's from now on. A raw takeover has no answer.
    #[must_use]
    pub(crate) fn with_span(mut self, mut span: Option<Box<Span>>, is_switched: bool) -> Self {
        if let Some(span) = &mut span {
            span.open();
            span.rename(if is_switched { "WebSocket" } else { "takeover" });
            if is_switched {
                span.set("http.response.status_code", 101);
                span.set("network.protocol.name", "websocket");
            }
        }
        self.span = span;
        self
    }

    /// So many bytes were received.
    pub fn received(&mut self, length: usize) {
        self.bytes_received = self.bytes_received.saturating_add(length as u64);
    }

    /// So many bytes are to be sent.
    pub fn sent(&mut self, length: usize) {
        self.bytes_sent = self.bytes_sent.saturating_add(length as u64);
    }

    /// Logs the end: what the guest reports of it, and what went wrong with the socket. A fault of the app is a
    /// warning.
    pub fn log(&mut self, report: Result<Report, Dead>, error: Option<&io::Error>) {
        let report = report.ok();
        let fault = report.as_ref().and_then(|report| report.fault.as_deref());
        if let Some(fault) = fault {
            log_fault(&self.remote, &self.path, fault);
        }
        let error = match (error, &report) {
            (Some(error), _) => Some(error.to_string()),
            (None, None) => Some("its instance has failed".to_owned()),
            (None, Some(_)) => None,
        };
        self.write(report.as_ref(), error.as_deref());
    }

    /// One line. Texts are shown in quotes and with control characters escaped: they are a peer's, or a guest's.
    fn write(&mut self, report: Option<&Report>, error: Option<&str>) {
        self.is_logged = true;
        let closing = report.and_then(|report| report.closing.as_ref());
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
            by = closing.map(|closing| initiator_name(closing.initiator)),
            code = closing.map(|closing| closing.code),
            reason = closing.map(|closing| beginning(&closing.reason)),
            error,
            "ended"
        );
        self.end_span(report, error);
    }

    /// What OpenTelemetry has no names for is under our own.
    fn end_span(&mut self, report: Option<&Report>, error: Option<&str>) {
        let Some(mut span) = self.span.take() else {
            return;
        };
        span.set("wasocket.received.bytes", self.bytes_received);
        span.set("wasocket.sent.bytes", self.bytes_sent);
        if let Some(report) = report {
            span.set("wasocket.received.messages", report.messages_received);
            span.set("wasocket.sent.messages", report.messages_sent);
        }
        if let Some(closing) = report.and_then(|report| report.closing.as_ref()) {
            span.set(
                "wasocket.close.initiator",
                initiator_name(closing.initiator),
            );
            span.set("wasocket.close.code", closing.code);
            span.set("wasocket.close.reason", beginning(&closing.reason));
        }
        if let Some(error) = error {
            span.fail(beginning(error));
        }
        span.end();
    }
}

impl Drop for Access {
    /// A connection that did not end in time has a line, too.
    fn drop(&mut self) {
        if !self.is_logged {
            self.write(None, Some("cut off: the runner has stopped"));
        }
    }
}

/// A request that the host answers, for the log.
#[derive(Debug)]
pub(crate) struct Asked {
    since: Instant,
    span: Option<Box<Span>>,
}

impl Asked {
    /// A request that has just arrived, and is refused.
    pub(crate) fn now() -> Self {
        Self {
            since: Instant::now(),
            span: trace::begin(&[]),
        }
    }

    /// This request, which has just arrived.
    pub(crate) fn by(request: &Request, peer: Peer) -> Self {
        let mut span = trace::begin(&request.fields);
        if let Some(span) = &mut span {
            describe(span, request, peer);
        }
        Self {
            since: Instant::now(),
            span,
        }
    }

    /// The span, for a connection that has come of the request.
    pub(crate) fn into_span(self) -> Option<Box<Span>> {
        self.span
    }

    /// Logs the answer. Of a head that is refused there is neither a method nor a target.
    pub(crate) fn log(self, remote: Peer, asked: Option<&Request>, status: u16, bytes: u64) {
        tracing::info!(
            target: TARGET,
            %remote,
            method = asked.map(|request| beginning(&request.method)),
            path = asked.map(|request| path(&request.target)),
            http = asked.map(|request| version(request.version)),
            status,
            duration_ms = millis(self.since),
            bytes_sent = bytes,
            "answered"
        );
        end_answered(self.span, status);
    }
}

/// Ends the span of a request that has this answer. An error is what the server is to blame for.
pub(crate) fn end_answered(span: Option<Box<Span>>, status: u16) {
    let Some(mut span) = span else {
        return;
    };
    span.set("http.response.status_code", status);
    if status >= 500 {
        span.set("error.type", status.to_string());
        span.fail("");
    }
    span.end();
}

/// By the semantic conventions for HTTP servers. A method that nobody knows is no name for a span: there could be
/// as many as there are requests.
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
    if let Some(ip) = peer.ip {
        span.set("client.address", ip.to_canonical().to_string());
    }
    if let Some(port) = peer.port {
        span.set("client.port", port);
    }
}

impl Asked {
    /// Logs that there is no answer, but a code of HTTP/2 with which the stream is reset.
    pub(crate) fn log_reset(self, remote: Peer, asked: &Request, code: &str) {
        tracing::info!(
            target: TARGET,
            %remote,
            method = beginning(&asked.method),
            path = path(&asked.target),
            http = version(asked.version),
            reset = code,
            duration_ms = millis(self.since),
            "answered"
        );
        if let Some(mut span) = self.span {
            span.fail(code);
            span.end();
        }
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Logs what an app has done wrong on a connection, or with a request.
pub(crate) fn log_fault(remote: &dyn fmt::Display, target: &str, fault: &str) {
    let (path, fault) = (path(target), beginning(fault));
    tracing::warn!(%remote, ?path, "the app is at fault: {fault:?}");
}

fn version(version: HttpVersion) -> &'static str {
    match version {
        HttpVersion::Http10 => "1.0",
        HttpVersion::Http11 => "1.1",
        HttpVersion::Http2 => "2",
        HttpVersion::Http3 => "3",
    }
}

/// Without the query, and not more of it than is logged.
fn path(target: &str) -> &str {
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
    fn a_query_is_not_logged_nor_more_than_a_kilobyte() {
        let (remote, http) = (Peer::LOCAL, HttpVersion::Http11);
        assert_eq!(Access::new(remote, "/a?token=secret", http).path, "/a");
        let long = format!("/{}", "ä".repeat(MAX_TEXT));
        assert_eq!(Access::new(remote, &long, http).path.len(), MAX_TEXT - 1);
    }
}
