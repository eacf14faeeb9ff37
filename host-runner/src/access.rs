//! The line in the log that a connection leaves behind, and that a request does.

use std::fmt;
use std::io;
use std::time::Instant;

use crate::accepted::Peer;
use crate::bindings::{HttpVersion, Initiator, Report, Request};
use crate::pool::Dead;

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
        }
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
            by = closing.map(|closing| name(closing.initiator)),
            code = closing.map(|closing| closing.code),
            reason = closing.map(|closing| beginning(&closing.reason)),
            error,
            "ended"
        );
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
}

impl Asked {
    /// A request that has just arrived.
    pub(crate) fn now() -> Self {
        Self {
            since: Instant::now(),
        }
    }

    /// Logs the answer. Of a head that is refused there is neither a method nor a target.
    pub(crate) fn log(&self, remote: &Peer, asked: Option<&Request>, status: u16, bytes: u64) {
        tracing::info!(
            target: TARGET,
            remote = &*remote.to_string(),
            method = asked.map(|request| beginning(&request.method)),
            path = asked.map(|request| path(&request.target)),
            http = asked.map(|request| version(request.version)),
            status,
            duration_ms = millis(self.since),
            bytes_sent = bytes,
            "answered"
        );
    }
}

impl Asked {
    /// Logs that there is no answer, but a code of HTTP/2 with which the stream is reset.
    pub(crate) fn log_reset(&self, remote: &Peer, asked: &Request, code: &str) {
        tracing::info!(
            target: TARGET,
            remote = &*remote.to_string(),
            method = beginning(&asked.method),
            path = path(&asked.target),
            http = version(asked.version),
            reset = code,
            duration_ms = millis(self.since),
            "answered"
        );
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

/// For a log, and for who checks a component.
pub(crate) fn name(initiator: Initiator) -> &'static str {
    match initiator {
        Initiator::Peer => "peer",
        Initiator::App => "app",
        Initiator::Protocol => "protocol",
        Initiator::Host => "host",
    }
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
