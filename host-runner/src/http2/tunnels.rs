//! How many connections there are, those on streams included.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

/// The streams that are taken over: each counts as a connection, beside the socket that carries it.
#[derive(Debug, Default)]
pub(crate) struct Tunnels {
    sockets: Cell<usize>,
    open: Cell<usize>,
    changed: Notify,
}

impl Tunnels {
    /// There are so many sockets now.
    pub(crate) fn see_sockets(&self, sockets: usize) {
        self.sockets.set(sockets);
    }

    /// The connections: sockets, and streams that are taken over.
    pub(crate) fn connections(&self) -> usize {
        self.sockets.get().saturating_add(self.open.get())
    }

    /// Waits until there is one more, or one less.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// One more, until this is dropped.
    pub(super) fn open(self: &Rc<Self>) -> Open {
        self.open.set(self.open.get().saturating_add(1));
        self.changed.notify_one();
        Open(Rc::clone(self))
    }
}

/// A stream that may be taken over, or is.
pub(super) struct Open(Rc<Tunnels>);

impl Drop for Open {
    fn drop(&mut self) {
        let open = &self.0.open;
        open.set(open.get().saturating_sub(1));
        self.0.changed.notify_one();
    }
}
