//! A socket in the hands of a guest.

pub mod read_buffer;
pub mod session;
pub mod timer;
