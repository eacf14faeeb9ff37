//! Rooms: what one member sends goes to all, on one server or across two.

pub mod bus;
pub mod fan_out;
mod member;
mod protocol;
mod publication;

pub use protocol::Protocol;
