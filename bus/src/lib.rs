//! The bus: carries publications between the workers of a process and, through an engine, between runners.
//!
//! It knows topics, messages and positions, and neither connections' sockets nor frames. Every worker has one
//! [`Port`], through which it subscribes and publishes, and one [`Inbox`], from which it takes what arrives,
//! in order. `docs/design/topics.md` explains the words and the decisions.

mod bus;
mod delivery;
mod driver;
mod engine;
pub mod limits;
mod local;
pub mod message;
mod observe;
pub mod position;
pub mod settings;
pub mod topic;

pub use bus::{Bus, ConnectError, Inbox, Port, PublishError};
pub use delivery::arrival::{Arrival, Refusal};
pub use message::twin;
pub use observe::counters::{Counter, Counters};
pub use observe::status::{EngineState, Status, TopicDetails, TopicsPage};
