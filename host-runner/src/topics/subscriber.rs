//! A connection as a subscriber.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use wasmtime::component::ResourceAny;
use wasocket_bus::message::SubscriberId;
use wasocket_bus::topic::Topic;

use crate::contract::bindings::{Instant, Outcome};
use crate::topics::records::DueRecord;
use crate::topics::table::Group;
use crate::topics::waiting::{Due, Waiting};

/// The socket of a subscriber.
pub(crate) trait Recipient {
    /// Whether the connection may be given a publication now.
    fn readiness(&self) -> Readiness;
    /// Sends these bytes, which others are sent as well, for a publication delivered at `now`.
    fn take_form(&self, now: Instant, form: &Bytes);
    /// Carries out what the connection does with a publication delivered at `now`.
    fn take_outcome(&self, now: Instant, outcome: &Outcome, output: &[u8]);
}

/// Whether a connection may be given a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It may.
    Ready,
    /// Not before it has carried out what is in progress.
    Busy,
    /// Not before its output is sent.
    Unsent,
}

/// A connection's part in topics. Small until it subscribes to one.
pub(crate) struct Subscriber<I> {
    /// `None` before it has its socket, and while it sleeps.
    recipient: RefCell<Option<Weak<dyn Recipient>>>,
    pub(super) details: OnceCell<Box<Details<I>>>,
    has_left: Cell<bool>,
    /// The number of publications that it has made, and of deliveries that they have caused.
    pub(super) published: Cell<u64>,
    pub(super) caused: Cell<u64>,
}

/// What is known of a connection that subscribes.
pub(super) struct Details<I> {
    pub(super) id: SubscriberId,
    /// Where the connection is; `None` while it is suspended.
    pub(super) home: RefCell<Option<Home<I>>>,
    pub(super) waiting: RefCell<Waiting>,
    pub(super) groups: RefCell<Vec<Rc<Group<I>>>>,
    /// What waited when it was released to another process, once it was.
    pub(super) released: Cell<Option<Vec<DueRecord>>>,
    waker: RefCell<Option<Waker>>,
}

/// A connection in an instance.
pub(super) struct Home<I> {
    pub(super) instance: Rc<I>,
    pub(super) resource: ResourceAny,
}

impl<I> Details<I> {
    pub(super) fn new(id: SubscriberId, home: Home<I>, waiting: Waiting) -> Self {
        let details = Self::suspended(id, waiting);
        details.home.replace(Some(home));
        details
    }

    /// Of a connection that is on no instance yet.
    pub(super) fn suspended(id: SubscriberId, waiting: Waiting) -> Self {
        Self {
            id,
            home: RefCell::default(),
            waiting: RefCell::new(waiting),
            groups: RefCell::default(),
            released: Cell::default(),
            waker: RefCell::default(),
        }
    }

    /// The instance that the connection is on; `None` while it is suspended.
    pub(super) fn instance(&self) -> Option<Rc<I>> {
        let home = self.home.borrow();
        home.as_ref().map(|home| Rc::clone(&home.instance))
    }

    /// The group of a topic that the connection subscribes to.
    pub(super) fn group(&self, topic: &Topic) -> Option<Rc<Group<I>>> {
        let groups = self.groups.borrow();
        groups.iter().find(|group| group.topic == *topic).cloned()
    }

    /// The session's task is the one to wake.
    pub(super) fn wake_by(&self, context: &Context<'_>) {
        match &mut *self.waker.borrow_mut() {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
    }

    /// Wakes the session's task, since something waits.
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl<I> Subscriber<I> {
    /// The connection's socket from now on.
    pub(crate) fn attach(&self, recipient: Weak<dyn Recipient>) {
        self.recipient.replace(Some(recipient));
    }

    /// The connection sleeps: nothing can be sent to it.
    pub(crate) fn detach(&self) {
        self.recipient.replace(None);
    }

    /// The number of publications that it has made, and of deliveries that they have caused in this process.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.published.get(), self.caused.get())
    }

    /// Takes what waits for the connection. `is_sent`: whether its output is sent.
    pub(crate) fn poll_due(&self, context: &mut Context<'_>, is_sent: bool) -> Poll<Due> {
        let Some(details) = self.details.get() else {
            return Poll::Pending;
        };
        if let Some(due) = details.waiting.borrow_mut().next(is_sent) {
            return Poll::Ready(due);
        }
        details.wake_by(context);
        Poll::Pending
    }

    /// Ready when something waits for the connection.
    pub(crate) fn poll_waiting(&self, context: &Context<'_>) -> Poll<()> {
        let Some(details) = self.details.get() else {
            return Poll::Pending;
        };
        if !details.waiting.borrow().is_empty() {
            return Poll::Ready(());
        }
        details.wake_by(context);
        Poll::Pending
    }

    /// Whether something waits for the connection.
    pub(crate) fn has_waiting(&self) -> bool {
        let details = self.details.get();
        details.is_some_and(|details| !details.waiting.borrow().is_empty())
    }

    /// Whether the session must be polled so that it can be woken.
    pub(crate) fn needs_poll(&self) -> bool {
        let details = self.details.get();
        details.is_some_and(|details| details.waker.borrow().is_none())
    }

    /// Wakes the session's task: the connection has been given something that it must look after.
    pub(crate) fn wake(&self) {
        if let Some(details) = self.details.get() {
            details.wake();
        }
    }

    pub(crate) fn recipient(&self) -> Option<Rc<dyn Recipient>> {
        self.recipient.borrow().as_ref()?.upgrade()
    }

    /// The connection in the instance. Only of one that subscribes and is not suspended.
    pub(crate) fn resource(&self) -> Option<ResourceAny> {
        let home = self.details.get()?.home.borrow();
        home.as_ref().map(|home| home.resource)
    }

    /// Whether the connection may be given a publication now; it waits otherwise.
    pub(super) fn readiness(&self) -> Readiness {
        let waits = |details: &Details<I>| !details.waiting.borrow().is_empty();
        match self.recipient() {
            Some(recipient) => match recipient.readiness() {
                Readiness::Ready if self.details.get().is_some_and(|details| waits(details)) => {
                    Readiness::Busy
                }
                readiness => readiness,
            },
            // It has not got its socket yet, or sleeps.
            None => Readiness::Busy,
        }
    }

    pub(super) fn has_left(&self) -> bool {
        self.has_left.get()
    }

    pub(super) fn leave(&self) {
        self.has_left.set(true);
    }
}

impl<I> Default for Subscriber<I> {
    fn default() -> Self {
        Self {
            recipient: RefCell::default(),
            details: OnceCell::new(),
            has_left: Cell::new(false),
            published: Cell::new(0),
            caused: Cell::new(0),
        }
    }
}

impl<I> fmt::Debug for Subscriber<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.details.get().map(|details| details.id);
        write!(f, "Subscriber({id:?})")
    }
}
