//! What the operator sees: metrics, access log, traces.

pub mod access_log;
pub mod metrics;
pub mod process_stats;
pub mod trace;
