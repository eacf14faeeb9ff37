//! What has arrived for the connections of one instance and is not delivered yet. Nearly always empty: an instance whose
//! guest is busy with a long call fills it, and delays no other one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use wasocket_bus::message::SubscriberId;
use wasocket_bus::position::Position;

use crate::contract::bindings::TopicEvent;
use crate::topics::publication::Arrived;
use crate::topics::subscriber::Subscriber;
use crate::topics::table::Group;

/// An instance, to which a backlog belongs.
pub(crate) trait Backlogged: Sized {
    fn backlog(&self) -> &Backlog<Self>;
}

/// What has arrived for the connections of one instance, in order.
pub(crate) struct Backlog<I> {
    items: RefCell<VecDeque<Item<I>>>,
    bytes: Cell<usize>,
    /// The publication that was taken last, until it is known which connections are given it.
    pub(super) choosing: RefCell<Option<Choosing<I>>>,
    /// Whether a delivery is in progress, after which comes the next one.
    pub(crate) is_delivering: Cell<bool>,
    /// Whether it is among those that are due.
    is_due: Cell<bool>,
}

/// What has arrived for connections of one instance.
pub(crate) enum Item<I> {
    /// A publication, for the subscribers of this group from this number on.
    Publication(Rc<Group<I>>, Rc<Arrived>, SubscriberId),
    /// A subscription is in effect.
    Subscribed {
        group: Rc<Group<I>>,
        id: SubscriberId,
        subscription: u64,
        told: Option<TopicEvent>,
        missed: Vec<Rc<Arrived>>,
    },
    /// A subscription has ended, or was never in effect.
    Refused {
        group: Rc<Group<I>>,
        id: SubscriberId,
        subscription: u64,
        told: TopicEvent,
    },
    /// Publications may be missing before this place.
    Gap(Rc<Group<I>>, Option<Position>),
    /// A member has joined or left.
    MemberChange(Rc<Group<I>>, TopicEvent),
    /// The answer to what one connection has asked for.
    Answer(Rc<Subscriber<I>>, TopicEvent),
    /// A subscriber has come from another instance, with what was published before.
    Moved(Rc<Group<I>>, SubscriberId),
    /// A subscriber has come from another process, which has given it what was published before.
    Resumed(Rc<Group<I>>, SubscriberId),
}

/// A publication for the subscribers of a group, from this number on.
pub(super) type Choosing<I> = (Rc<Group<I>>, Rc<Arrived>, SubscriberId);

/// The most bytes in a backlog: what an instance may be behind the others of its worker, with which it shares the
/// publications.
const MAX_BYTES: usize = 16 << 20;

/// What an item counts for in addition to its message.
const OVERHEAD: usize = 128;

impl<I> Backlog<I> {
    /// Adds an item. A publication for which there is no room is dropped and leaves a gap: returns false then.
    pub(super) fn push(&self, item: Item<I>) -> bool {
        let mut items = self.items.borrow_mut();
        let cost = item.cost();
        let bytes = self.bytes.get().saturating_add(cost);
        if let Item::Publication(group, arrived, _) = &item
            && bytes > MAX_BYTES
            && !items.is_empty()
        {
            let position = arrived.position;
            if !is_lossy(&mut items, group, position) {
                items.push_back(Item::Gap(Rc::clone(group), position));
            }
            return false;
        }
        self.bytes.set(bytes);
        items.push_back(item);
        true
    }

    /// Puts back the rest of the item that was taken last.
    pub(crate) fn put_back(&self, item: Item<I>) {
        self.bytes.set(self.bytes.get().saturating_add(item.cost()));
        self.items.borrow_mut().push_front(item);
    }

    pub(crate) fn pop(&self) -> Option<Item<I>> {
        let mut items = self.items.borrow_mut();
        let item = items.pop_front()?;
        if items.is_empty() {
            *items = VecDeque::new();
        }
        self.bytes.set(self.bytes.get().saturating_sub(item.cost()));
        if let Item::Publication(group, arrived, from) = &item {
            let choosing = (Rc::clone(group), Rc::clone(arrived), *from);
            self.choosing.replace(Some(choosing));
        }
        Some(item)
    }

    /// It is known which connections are given the publication that was taken last.
    pub(crate) fn chosen(&self) {
        self.choosing.take();
    }

    /// Passes on every item, in order; those that are returned stay.
    pub(super) fn filter(&self, mut pass: impl FnMut(Item<I>) -> Option<Item<I>>) {
        let items = self.items.take();
        let kept: VecDeque<_> = items.into_iter().filter_map(&mut pass).collect();
        let bytes = kept.iter().map(Item::cost).fold(0, usize::saturating_add);
        self.bytes.set(bytes);
        self.items.replace(kept);
    }

    /// Drops everything, since the instance is dead.
    pub(crate) fn clear(&self) {
        self.items.take();
        self.choosing.take();
        self.bytes.set(0);
    }
}

/// Whether the last item of the group is a gap, which then gets the position.
fn is_lossy<I>(
    items: &mut VecDeque<Item<I>>,
    group: &Rc<Group<I>>,
    position: Option<Position>,
) -> bool {
    let last = items.iter_mut().rev().find_map(|item| match item {
        Item::Publication(of, ..) if Rc::ptr_eq(of, group) => Some(None),
        Item::Subscribed { group: of, .. } if Rc::ptr_eq(of, group) => Some(None),
        Item::Gap(of, at) if Rc::ptr_eq(of, group) => Some(Some(at)),
        _ => None,
    });
    let Some(Some(at)) = last else {
        return false;
    };
    *at = position.or(*at);
    true
}

impl<I> Item<I> {
    fn cost(&self) -> usize {
        match self {
            Self::Publication(_, arrived, _) => OVERHEAD.saturating_add(arrived.length),
            _ => OVERHEAD,
        }
    }
}

impl<I> Default for Backlog<I> {
    fn default() -> Self {
        Self {
            items: RefCell::default(),
            bytes: Cell::new(0),
            choosing: RefCell::default(),
            is_delivering: Cell::new(false),
            is_due: Cell::new(false),
        }
    }
}

impl<I> fmt::Debug for Backlog<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backlog({} bytes)", self.bytes.get())
    }
}

/// The instances of a worker that have something to be delivered, in the order in which it arrived.
pub(crate) struct DueInstances<I> {
    queue: RefCell<VecDeque<Rc<I>>>,
    waker: Cell<Option<Waker>>,
}

impl<I: Backlogged> DueInstances<I> {
    /// Adds an instance, unless it is there already, and wakes the task.
    pub(crate) fn add(&self, instance: &Rc<I>) {
        if instance.backlog().is_due.replace(true) {
            return;
        }
        self.queue.borrow_mut().push_back(Rc::clone(instance));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Takes the next one.
    pub(crate) fn pop(&self) -> Option<Rc<I>> {
        let instance = self.queue.borrow_mut().pop_front()?;
        instance.backlog().is_due.set(false);
        Some(instance)
    }

    /// Ready when there is one.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.queue.borrow().is_empty() {
            self.waker.set(Some(context.waker().clone()));
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}

impl<I> Default for DueInstances<I> {
    fn default() -> Self {
        Self {
            queue: RefCell::default(),
            waker: Cell::default(),
        }
    }
}
