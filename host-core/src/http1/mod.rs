//! HTTP/1.1 (RFC 9112) as a host of `websocket-handler` speaks it: request heads are read strictly, the
//! answers of components are checked and written, and the framing decides when a connection can be used
//! again. It knows nothing of RFC 6455.
//!
//! - [`Head`] takes a request off a buffer, or says which [`Refusal`] to answer it with.
//! - [`Framing`] holds what the connection's life depends on: the body, and whether anything may follow.
//! - [`check_response`] and [`takeover_head`] let no [`BadAnswer`] pass; [`Response`] writes what has passed.
//!
//! All numbers are in [`limits`].

mod date;
mod fields;
mod framing;
pub mod limits;
mod refusal;
mod request;
mod response;

pub use date::imf_fixdate;
pub use fields::Field;
pub use framing::{BodyLength, Framing, closes, expects_continue};
pub use refusal::Refusal;
pub use request::{Head, Request, Version};
pub use response::{BadAnswer, Response, check_response, switching_protocols, takeover_head};
