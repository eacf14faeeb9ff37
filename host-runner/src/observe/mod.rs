//! Metrics, access log, traces.

pub(crate) mod access_log;
pub(crate) mod metrics;
pub(crate) mod process_stats;
pub mod trace;
