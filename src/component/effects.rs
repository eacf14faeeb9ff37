//! Converts a session's effects to the WIT types.

use spin::LazyLock;

use super::bindings::handler::wasocket::websocket::types as wit_types;
use crate::protocol::{Disposition, Instant};
use crate::session::{Effects, ReadyList};

/// The connections of the instance that want to be called.
pub(super) static READY: LazyLock<ReadyList> = LazyLock::new(ReadyList::default);

impl From<Effects> for wit_types::Effects {
    fn from(effects: Effects) -> Self {
        Self {
            output: effects.output,
            wake_at: effects.wake_at.map(Instant::as_nanos),
            next: effects.next.into(),
            wake_others: READY.take(),
            topics: effects.topics.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Disposition> for wit_types::Next {
    fn from(next: Disposition) -> Self {
        match next {
            Disposition::Open => Self::Open,
            Disposition::Pause => Self::Pause,
            Disposition::Close => Self::Close,
            Disposition::Abort => Self::Abort,
        }
    }
}
