//! The line in the log that a connection leaves behind.

use std::fmt;
use std::time::Instant;

use crate::accepted::Peer;
use crate::bindings::{Initiator, Report};
use crate::pool::Dead;

/// How much of a text from outside is logged, in bytes: of a path, of what a guest reports.
const MAX_TEXT: usize = 1024;

/// What is to be logged of a connection that a guest has taken over.
#[derive(Debug)]
pub struct Access {
    remote: Peer,
    path: String,
    since: Instant,
    bytes_received: u64,
    bytes_sent: u64,
}

impl Access {
    /// A connection that begins now, by a request for this target. Its query is not logged: it is where pages
    /// put tokens, for want of fields of their own.
    pub fn new(remote: Peer, target: &str) -> Self {
        Self {
            remote,
            path: path(target).to_owned(),
            since: Instant::now(),
            bytes_received: 0,
            bytes_sent: 0,
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

    /// Logs the end, with what the guest reports of it; and a fault of the app as a warning. Texts are shown
    /// in quotes and with control characters escaped: they are a peer's, or a guest's.
    pub fn log(&self, report: Result<Report, Dead>) {
        let Self { remote, path, .. } = self;
        let duration = self.since.elapsed();
        let (bytes_received, bytes_sent) = (self.bytes_received, self.bytes_sent);
        let Ok(report) = report else {
            tracing::debug!(%remote, ?path, ?duration, bytes_received, bytes_sent, "ended with its instance");
            return;
        };
        if let Some(fault) = &report.fault {
            log_fault(remote, path, fault);
        }
        let (received, sent) = (report.messages_received, report.messages_sent);
        let Some(closing) = &report.closing else {
            tracing::debug!(%remote, ?path, ?duration, bytes_received, bytes_sent, "ended");
            return;
        };
        tracing::debug!(
            %remote,
            ?path,
            ?duration,
            bytes_received,
            bytes_sent,
            messages_received = received,
            messages_sent = sent,
            by = name(closing.initiator),
            code = closing.code,
            reason = ?beginning(&closing.reason),
            "ended"
        );
    }
}

/// Logs what an app has done wrong on a connection, or with a request.
pub(crate) fn log_fault(remote: &dyn fmt::Display, target: &str, fault: &str) {
    let (path, fault) = (path(target), beginning(fault));
    tracing::warn!(%remote, ?path, "the app is at fault: {fault:?}");
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
        let remote = Peer::LOCAL;
        assert_eq!(Access::new(remote, "/a?token=secret").path, "/a");
        let long = format!("/{}", "ä".repeat(MAX_TEXT));
        assert_eq!(Access::new(remote, &long).path.len(), MAX_TEXT - 1);
    }
}
