use super::rate::Rate;
use crate::protocol::{Instant, Limits, MessageLimits, ProtocolError};

/// The limits that a connection has now, and how far its peer has used up the rate they allow.
#[derive(Debug)]
pub(super) struct Bounds {
    limits: Limits,
    /// The operator's limits; the others are never raised above them.
    operator: MessageLimits,
    rate: Rate,
}

impl Bounds {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            rate: Rate::new(&limits),
            limits,
            operator: MessageLimits::default(),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Sets the longest message, but not above the operator's limit.
    pub(super) fn set_max_message_size(&mut self, size: usize) {
        let limits = self.limits.with_max_message_size(size);
        self.limits = limits.below(self.operator);
    }

    /// Lowers the limits to the operator's; never raises any.
    pub(super) fn lower(&mut self, operator: MessageLimits) {
        self.operator = self.operator.with(operator);
        self.limits = self.limits.below(self.operator);
        self.rate.limit(&self.limits);
    }

    /// Counts a message that begins to arrive.
    pub(super) fn message(&mut self, now: Instant) -> Result<(), ProtocolError> {
        self.rate.message(now)
    }

    /// Notes whether the peer is held back, that is, not read from.
    pub(super) fn hold(&mut self, held: bool, now: Instant) {
        self.rate.hold(held, now);
    }
}
