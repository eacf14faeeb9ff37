//! The bus: carries publications between the workers of a process and, through an engine, between runners.
//!
//! It knows topics, messages and positions, and neither connections' sockets nor frames. Every worker has one
//! [`Port`], through which it subscribes and publishes, and one [`Inbox`], from which it takes what arrives,
//! in order. `docs/design/topics.md` explains the words and the decisions.

mod engine;
pub mod message;
pub mod position;
pub mod topic;
