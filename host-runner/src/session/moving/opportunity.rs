//! Whether a connection is to move, and which opportunities it takes.

/// The number of calls after which a connection is asked each time whether it is at rest. After that it is asked less
/// often, as it may never be: after every [`SELDOM`]th call.
const OFTEN: u16 = 32;
const SELDOM: u16 = 8;

/// Whether the connection is to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Moving {
    /// It is where it is to be, or stays there.
    Settled,
    /// It is to move. The number of opportunities that have passed.
    Asked(u16),
}

impl Moving {
    pub(in super::super) fn asked() -> Self {
        Self::Asked(0)
    }

    pub(in super::super) fn is_due(self) -> bool {
        self != Self::Settled
    }

    /// Whether to take this opportunity to move.
    pub(super) fn takes(&mut self) -> bool {
        let Self::Asked(passed) = self else {
            return false;
        };
        *passed = match passed.checked_add(1) {
            Some(next) => next,
            None => OFTEN,
        };
        *passed <= OFTEN || passed.is_multiple_of(SELDOM)
    }
}
