//! RFC 6455 and its extension permessage-deflate (RFC 7692), without an app: bytes and the time in, events and
//! bytes out.

mod close;
mod connection;
mod error;
pub mod extension;
pub mod frame;
pub(crate) mod handshake;
mod limits;
mod message;
mod report;
mod state_codec;
mod time;

pub use close::{CloseCode, CloseReason};
pub use connection::{Closed, Connection, Disposition, Event};
pub use error::{ProtocolError, UsageError};
pub use limits::{Limits, MessageLimits};
pub(crate) use message::Utf8;
pub use message::{Message, MessageType, Piece, Prepared};
#[cfg(target_family = "wasm")]
pub(crate) use report::shortened;
pub use report::{Closing, Initiator, Report};
pub use state_codec::ResumeError;
pub(crate) use state_codec::{Reader, Writer};
pub use time::Instant;
