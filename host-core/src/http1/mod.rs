//! HTTP/1.1 (RFC 9112) for hosts of `websocket-handler`: reads request heads strictly, checks and writes the
//! answers of components, and uses the framing to decide when a connection can be used again. It knows nothing of RFC 6455.
//!
//! - [`Head`] takes a request off a buffer, or says with which [`Refusal`] to answer it, and why ([`Refused`]).
//! - [`Framing`] decides how the connection continues: the length of the body, and whether anything may follow.
//! - [`check_response`] and [`takeover_head`] reject a [`BadAnswer`]; [`Response`] writes the checked ones.
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
pub use refusal::{Refusal, Refused, quoted};
pub use request::{Head, Request, Version};
pub use response::{BadAnswer, Response, check_response, switching_protocols, takeover_head};
