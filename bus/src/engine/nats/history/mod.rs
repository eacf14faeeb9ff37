//! Publications that are kept: which topics have history, and reading it.

pub(super) mod kept;
pub(super) mod read;
