//! The connection ends: what is left is sent, and the client is heard out.

use core::time::Duration;

use bytes::BytesMut;
use wasocket_host_core::http1::limits::{LINGER_TIMEOUT, MAX_LINGERED};

use super::{Client, Phase};
use crate::handler::Instant;
use crate::server::Context;
use crate::socket::after;

/// How long a client must have sent nothing before our direction ends.
pub(super) const END_DELAY: Duration = Duration::from_millis(100);

/// The same of a client that has closed its WebSocket: it waits for the end, and sends nothing more.
pub(super) const CLOSED_END_DELAY: Duration = Duration::from_millis(10);

/// All is sent, and what the client still sends is discarded.
pub(super) struct Lingering {
    left: u64,
    until: Instant,
    /// When our direction ends; none when it has.
    pub(super) ends_at: Option<Instant>,
}

impl Lingering {
    pub(super) fn due_at(&self) -> Instant {
        self.ends_at.unwrap_or(self.until)
    }
}

impl Client {
    /// Closes when all output is sent.
    pub(super) fn close(&mut self, context: &mut Context) {
        self.phase = Phase::Closing;
        self.buffer = BytesMut::new();
        if self.socket.unsent() == 0 {
            self.linger(context);
        }
    }

    /// RFC 9112 §9.6: closing with unread input makes the system send a reset, which can erase "the server's
    /// last response" at the client before it is read.
    ///
    /// jco ends our direction with the drop of its stream, wasmtime with `shutdown`; with which jco ends both, so
    /// a client that may still be sending is heard out before.
    pub(super) fn linger(&mut self, context: &mut Context) {
        self.socket.drop_output();
        let now = context.now();
        self.phase = Phase::Lingering(Lingering {
            left: MAX_LINGERED,
            until: after(now, LINGER_TIMEOUT),
            ends_at: Some(after(now, self.end_delay)),
        });
    }

    pub(super) fn finish_sending(&mut self) {
        if let Phase::Lingering(Lingering { ends_at, .. }) = &mut self.phase {
            *ends_at = None;
        }
        self.socket.finish_sending();
    }

    /// Discards what the client still sends.
    pub(super) fn linger_on(&mut self, bytes: &[u8], now: Instant) {
        if let Phase::Lingering(Lingering { left, ends_at, .. }) = &mut self.phase {
            if let Some(ends_at) = ends_at {
                *ends_at = after(now, self.end_delay);
            }
            *left = left.saturating_sub(bytes.len() as u64);
            if *left == 0 {
                self.end();
            }
        }
    }

    /// Drops the connection, as soon as that can be done without waiting.
    pub(super) fn end(&mut self) {
        self.phase = match self.socket.can_be_dropped() {
            true => Phase::Ended,
            false => Phase::Stuck,
        };
    }
}
