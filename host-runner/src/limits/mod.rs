//! How much any client may have: connections, requests, bytes, unsent output.

pub mod connections;
pub mod open_files;
pub mod per_address;
pub mod read_rate;
pub mod token_bucket;
pub mod unsent;
