//! Limits on clients: connections, requests, bytes, unsent output; and on what they take of the system.

pub(crate) mod connections;
pub(crate) mod fair_share;
pub(crate) mod instances;
pub(crate) mod open_files;
pub mod per_address;
pub(crate) mod read_rate;
pub(crate) mod refusal_log;
pub mod settings;
pub(crate) mod token_bucket;
pub(crate) mod unsent;
