//! The heads of HTTP requests and responses, as the host parsed them.

mod cookies;
mod fields;
mod request;
mod response;

pub use fields::{Fields, NotSingle};
pub(crate) use fields::{is_token, trim_whitespace};
pub(crate) use request::PROTOCOL;
pub use request::{HttpVersion, Request};
pub use response::{Response, ResponseHead};
