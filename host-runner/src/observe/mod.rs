//! Metrics, access log, traces.

pub(crate) mod access_log;
pub(crate) mod handover_metrics;
pub mod log_writer;
pub(crate) mod metrics;
pub(crate) mod process_stats;
pub(crate) mod sleep_metrics;
pub(crate) mod swap_metrics;
pub(crate) mod topic_metrics;
pub mod trace;
