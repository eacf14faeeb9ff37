//! Requests, in any version of HTTP.

pub(crate) mod arrival;
pub(crate) mod ask;
mod connection_options;
pub(crate) mod exchange;
pub(crate) mod h1;
pub(crate) mod h2;
pub mod hosts;
pub(crate) mod owners;
pub mod path_pattern;
pub mod settings;
pub(crate) mod worker;

pub use h2::frame_scanner;
