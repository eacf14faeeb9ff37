//! The decisions that every host of `websocket-handler` makes, without I/O. A host brings the sockets,
//! the clock and the component; this crate knows the rules.
//!
//! - [`http1`] reads requests and writes responses (RFC 9112).
//! - [`topics`] knows who subscribes to what, in one process without an engine.
//! - [`turn`] says which call into a taken-over connection comes next.
//! - `answer`, with the feature `http`, checks answers and converts them to values of the crate `http`.
//!
//! `wasocket serve`, the component `components/server` and the test kit are built on it.

#![no_std]

extern crate alloc;
#[cfg(any(test, feature = "http"))]
extern crate std;

#[cfg(any(test, feature = "http"))]
pub mod answer;
pub mod http1;
pub mod topics;
pub mod turn;
