use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};

use spin::Mutex;

/// The number by which a host knows a connection of an instance (`types.connection-id` of the WIT
/// package).
pub type ConnectionId = u64;

/// The connections of an instance that want to be called although nothing has happened on their sockets,
/// because another connection has something for them. Shared by all connections of the instance.
///
/// A host takes the list after each call, and calls [`Session::wake`](crate::Session::wake) on each.
#[derive(Clone, Debug, Default)]
pub struct ReadyList(Arc<Mutex<Vec<ConnectionId>>>);

impl ReadyList {
    /// The connections that have become ready since the last call, without duplicates.
    #[must_use]
    pub fn take(&self) -> Vec<ConnectionId> {
        mem::take(&mut *self.0.lock())
    }
}

/// Has the host call a connection, for its future and for what other connections send to it.
#[derive(Debug)]
pub(crate) struct Calling {
    id: ConnectionId,
    list: ReadyList,
    /// Whether the future has been woken since it was last polled.
    woken: AtomicBool,
    /// Whether a call is in progress, or the connection is on the list.
    expected: AtomicBool,
    #[cfg(all(feature = "outside", target_family = "wasm"))]
    watchers: super::watchers::Watchers,
}

impl Calling {
    pub(crate) fn new(id: ConnectionId, list: ReadyList) -> Self {
        Self {
            id,
            list,
            woken: AtomicBool::new(true),
            expected: AtomicBool::new(true),
            #[cfg(all(feature = "outside", target_family = "wasm"))]
            watchers: super::watchers::Watchers::default(),
        }
    }

    /// Notes that a call is in progress, which will handle all that happens before it ends.
    pub(crate) fn begin(&self) {
        self.expected.store(true, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.expected.store(false, Ordering::Relaxed);
    }

    /// Has the host call the connection, unless a call is in progress or coming.
    pub(crate) fn call(&self) {
        if !self.expected.swap(true, Ordering::Relaxed) {
            self.list.0.lock().push(self.id);
        }
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed)
    }

    /// Wakes the futures that wait for something outside the instance, which may be ready now.
    pub(crate) fn wake_watchers(&self) {
        #[cfg(all(feature = "outside", target_family = "wasm"))]
        self.watchers.wake();
    }

    /// Drops the watchers of a connection that is gone.
    fn forget_watchers(&self) {
        #[cfg(all(feature = "outside", target_family = "wasm"))]
        self.watchers.forget();
    }
}

/// A connection's [`Calling`], with the waker for its future.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) calling: Arc<Calling>,
    waker: Waker,
}

impl Called {
    pub(crate) fn new(id: ConnectionId, ready: &ReadyList) -> Self {
        let calling = Arc::new(Calling::new(id, ready.clone()));
        Self {
            waker: Waker::from(Arc::clone(&calling)),
            calling,
        }
    }

    /// Polls the future, if it has been woken.
    pub(crate) fn poll<F: Future + ?Sized>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        if !self.calling.woken.swap(false, Ordering::Relaxed) {
            return Poll::Pending;
        }
        #[cfg(all(feature = "outside", target_family = "wasm"))]
        let _under_way = UnderWay::begin(&self.calling);
        future.poll(&mut Context::from_waker(&self.waker))
    }

    /// Has the future polled again.
    pub(crate) fn wake(&self) {
        self.waker.wake_by_ref();
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        self.calling.forget_watchers();
    }
}

impl Wake for Calling {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        self.call();
    }
}

/// The connection whose future is being polled. One for all: an instance has one thread.
#[cfg(all(feature = "outside", target_family = "wasm"))]
static UNDER_WAY: Mutex<Option<Arc<Calling>>> = Mutex::new(None);

/// Marks a connection as the one whose future is being polled, for as long as this lives.
#[cfg(all(feature = "outside", target_family = "wasm"))]
struct UnderWay(Option<Arc<Calling>>);

#[cfg(all(feature = "outside", target_family = "wasm"))]
impl UnderWay {
    fn begin(calling: &Arc<Calling>) -> Self {
        Self(UNDER_WAY.lock().replace(Arc::clone(calling)))
    }
}

#[cfg(all(feature = "outside", target_family = "wasm"))]
impl Drop for UnderWay {
    fn drop(&mut self) {
        *UNDER_WAY.lock() = self.0.take();
    }
}

/// Wakes this waker when the host next wakes the connection whose future is being polled.
#[cfg(all(feature = "outside", target_family = "wasm"))]
pub(crate) fn watch(waker: &Waker) {
    if let Some(calling) = &*UNDER_WAY.lock() {
        calling.watchers.add(waker);
    }
}
