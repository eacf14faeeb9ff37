//! The end of a connection: the remaining output is sent, and the client's remaining input is read.

use core::time::Duration;

use bytes::BytesMut;

use super::Client;
use super::phase::{Lingering, Phase};
use crate::context::Context;
use crate::handler::Instant;
use crate::time::after;

/// How long a client must have been silent before our direction ends.
pub(super) const END_DELAY: Duration = Duration::from_millis(100);

/// The same for a client that has closed its WebSocket: it waits for the end and sends nothing more.
pub(super) const CLOSED_END_DELAY: Duration = Duration::from_millis(10);

impl Client {
    /// Closes once all output is sent.
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
    /// jco ends our direction when its stream is dropped, wasmtime on `shutdown`. In jco `shutdown` ends both
    /// directions, so it waits until a client that may still be sending is silent.
    pub(super) fn linger(&mut self, context: &mut Context) {
        self.socket.drop_output();
        self.phase = Phase::Lingering(Lingering::new(context.now(), self.end_delay));
    }

    pub(super) fn finish_sending(&mut self) {
        if let Phase::Lingering(Lingering { ends_at, .. }) = &mut self.phase {
            *ends_at = None;
        }
        self.socket.finish_sending();
    }

    /// Discards input that the client still sends.
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

    /// Drops the connection, as soon as that does not block.
    pub(super) fn end(&mut self) {
        self.phase = if self.socket.can_be_dropped() {
            Phase::Ended
        } else {
            Phase::Stuck
        };
    }
}
