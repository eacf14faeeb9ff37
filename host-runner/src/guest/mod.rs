//! A loaded component, its instances, and the calls into them.

pub mod client;
pub mod compose;
pub mod default_app;
pub mod engine;
pub mod fault;
pub mod file_wait;
pub mod handler;
pub mod instance;
pub mod limits;
pub mod load;
pub mod wasi;

pub use fault::{FaultReason, GuestFault};
pub use handler::{Guest, finish};
pub use limits::Limits;
