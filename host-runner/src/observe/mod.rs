//! Metrics, access log, traces.

pub(crate) mod access_log;
pub mod log_writer;
pub(crate) mod metrics;
pub(crate) mod process_stats;
pub mod trace;
