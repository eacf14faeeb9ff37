//! What the operator sees of the bus.

pub(crate) mod counters;
pub(crate) mod status;
