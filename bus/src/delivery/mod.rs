//! The last part of the way: from a topic to the workers that want it.

pub(crate) mod arrival;
pub(crate) mod mailbox;
pub(crate) mod subscribers;
