//! Handing over to a new process of the same program: its listening sockets, and its connections.
//!
//! ```text
//!   old process                                    new process
//!        │  ◀──────────────── Hello ────────────────  │ has loaded the component
//!        │  ───── Hello, listening sockets ────────▶  │ starts its workers
//!        │  ◀────────────── Accepting ──────────────  │ accepts
//!        │ accepts no more                            │
//!        │  ◀──────────────── Room ─────────────────  │
//!        │  ── Connection: state, socket ──────────▶  │ resumes it
//!        │  ◀──────────────── Ready ────────────────  │
//!        │  ────────────────── Go ─────────────────▶  │ serves it
//!        │ has none left                              │
//!        │  ───────────────── Over ────────────────▶  │ waits for its own successor
//! ```
//!
//! Each connection is served by one of the two at any time, the old one's until it has sent `Go`. If the new process goes
//! away before that, the old one serves it on, and accepts again: its listening sockets have never been closed.
//!
//! What comes over the socket is checked like anything from outside, although only this user and root can connect.

mod arriving;
mod error;
mod giving;
mod links;
mod post;
mod reception;
mod succession;
mod successor;
mod taking;
mod wire;

pub(crate) use arriving::serve;
pub use error::HandoverError;
pub(crate) use giving::{Giver, Relieved};
pub(crate) use reception::{Entry, Lane};
pub(crate) use succession::Succession;
pub(crate) use successor::{Program, follow_signals};
pub(crate) use taking::Predecessor;
