//! The WIT adapter: translates between the exports of the worlds and [`Session`](crate::Session) and
//! [`ClientSession`](crate::ClientSession), and between the interface `app` and
//! [`EventApp`](crate::events::EventApp). It makes no decisions.

mod app;
#[cfg(feature = "bare")]
mod bare;
#[allow(
    unsafe_code,
    missing_docs,
    clippy::all,
    reason = "generated: the canonical ABI reads and writes linear memory"
)]
#[doc(hidden)]
pub mod bindings;
mod client;
mod deliveries;
mod effects;
mod handler;
mod heads;
mod once;
mod topics;

pub use app::{AppAdapter, ExportedApp, ImportedApp, boxed_events};
pub use client::{ClientAdapter, ClientConnection};
pub use handler::{Adapter, Connection, Exported, PendingRequest, boxed};
pub use once::Once;
