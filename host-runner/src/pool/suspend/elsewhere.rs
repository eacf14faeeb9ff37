//! Another process that connections move to.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// Another process that takes the connections over, while there is one.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere(RefCell<Option<Arc<Semaphore>>>);

impl Elsewhere {
    /// The room there, or that there is no such process any more.
    pub(crate) fn set(&self, room: Option<Arc<Semaphore>>) {
        self.0.replace(room);
    }

    pub(crate) fn is_there(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// The number of connections that it has room for now.
    pub(crate) fn room(&self) -> Option<Arc<Semaphore>> {
        self.0.borrow().clone()
    }
}

/// Waits until there is room, and returns for how many. The connections take it themselves, as not all of them can.
pub(crate) async fn until_available(room: &Semaphore) -> usize {
    match room.acquire().await {
        Ok(permit) => {
            drop(permit);
            room.available_permits()
        }
        // The other process is gone.
        Err(_) => usize::MAX,
    }
}
