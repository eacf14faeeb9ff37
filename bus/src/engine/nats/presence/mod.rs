//! Members: who is in a topic, and which runners are alive.

pub(super) mod leases;
pub(super) mod members;
