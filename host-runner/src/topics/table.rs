//! Which connections of a worker subscribe to which topic, by instance: an instance is given a publication once, for all
//! of them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use wasocket_bus::message::SubscriberId;
use wasocket_bus::topic::Topic;

use crate::topics::subscriber::{Readiness, Subscriber};

/// The topics with a subscriber in this worker.
pub(super) struct Table<I> {
    /// The groups of a topic, in the order of the addresses of their instances.
    topics: HashMap<Topic, Vec<Rc<Group<I>>>>,
    subscribers: HashMap<SubscriberId, Rc<Subscriber<I>>>,
}

/// The subscribers of a topic on one instance.
pub(crate) struct Group<I> {
    pub(super) topic: Topic,
    pub(crate) instance: Rc<I>,
    /// In the order of their numbers.
    slots: RefCell<Vec<Slot<I>>>,
    subscriptions: Cell<u64>,
}

/// One subscription.
struct Slot<I> {
    id: SubscriberId,
    subscriber: Rc<Subscriber<I>>,
    /// Which subscription of the connection to the topic this is.
    subscription: u64,
    is_live: bool,
    watches_members: bool,
    confirms: bool,
}

/// What a subscriber wants, apart from publications.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wishes {
    pub(super) watches_members: bool,
    pub(super) confirms: bool,
    /// Whether a subscription that this one replaces remains in effect until it is answered.
    pub(super) stays_live: bool,
}

impl<I> Table<I> {
    pub(super) fn subscriber(&self, id: SubscriberId) -> Option<&Rc<Subscriber<I>>> {
        self.subscribers.get(&id)
    }

    pub(super) fn groups(&self, topic: &Topic) -> &[Rc<Group<I>>] {
        self.topics.get(topic).map_or(&[], |groups| groups)
    }

    pub(super) fn add_subscriber(&mut self, id: SubscriberId, subscriber: &Rc<Subscriber<I>>) {
        self.subscribers.insert(id, Rc::clone(subscriber));
    }

    pub(super) fn remove_subscriber(&mut self, id: SubscriberId) {
        self.subscribers.remove(&id);
    }

    /// The group of a topic on this instance, which may be new.
    pub(super) fn group(&mut self, topic: &Topic, instance: &Rc<I>) -> Rc<Group<I>> {
        let groups = self.topics.entry(topic.clone()).or_default();
        let address = Rc::as_ptr(instance);
        match groups.binary_search_by_key(&address, |group| Rc::as_ptr(&group.instance)) {
            Ok(index) => Rc::clone(&groups[index]),
            Err(index) => {
                let group = Rc::new(Group {
                    topic: topic.clone(),
                    instance: Rc::clone(instance),
                    slots: RefCell::default(),
                    subscriptions: Cell::new(0),
                });
                groups.insert(index, Rc::clone(&group));
                group
            }
        }
    }

    /// Removes a subscriber from a group, and what is empty then.
    pub(super) fn remove(&mut self, id: SubscriberId, group: &Rc<Group<I>>) {
        if !group.remove(id) {
            return;
        }
        if let Some(groups) = self.topics.get_mut(&group.topic) {
            groups.retain(|other| !Rc::ptr_eq(other, group));
            if groups.is_empty() {
                self.topics.remove(&group.topic);
            }
        }
    }
}

impl<I> Group<I> {
    /// Adds a subscription that is not live yet, or replaces one.
    pub(super) fn expect(&self, id: SubscriberId, subscriber: &Rc<Subscriber<I>>, wishes: Wishes) {
        let subscription = self.subscriptions.get().wrapping_add(1);
        self.subscriptions.set(subscription);
        let mut slots = self.slots.borrow_mut();
        let mut slot = Slot {
            id,
            subscriber: Rc::clone(subscriber),
            subscription,
            is_live: false,
            watches_members: wishes.watches_members,
            confirms: wishes.confirms,
        };
        match slots.binary_search_by_key(&id, |slot| slot.id) {
            Ok(index) => {
                slot.is_live = wishes.stays_live && slots[index].is_live;
                slots[index] = slot;
            }
            Err(index) => slots.insert(index, slot),
        }
    }

    /// Which subscription of the connection this is now, and whether it wants to be told that it is in effect.
    pub(super) fn subscription(&self, id: SubscriberId) -> Option<(u64, bool)> {
        let slots = self.slots.borrow();
        let index = slots.binary_search_by_key(&id, |slot| slot.id).ok()?;
        let slot = slots.get(index)?;
        Some((slot.subscription, slot.confirms))
    }

    /// Makes a subscription live, if it is still that one. Returns its subscriber.
    pub(super) fn begin(&self, id: SubscriberId, subscription: u64) -> Option<Rc<Subscriber<I>>> {
        let mut slots = self.slots.borrow_mut();
        let index = slots.binary_search_by_key(&id, |slot| slot.id).ok()?;
        let slot = slots.get_mut(index)?;
        (slot.subscription == subscription).then(|| {
            slot.is_live = true;
            Rc::clone(&slot.subscriber)
        })
    }

    /// The subscribers from this number on that are given what was published, at most `most` of them; `wait` is called
    /// with those that cannot be given it now. Returns the number to go on with, if there are more.
    pub(super) fn select(
        &self,
        from: SubscriberId,
        exclude: Option<SubscriberId>,
        most: usize,
        selected: &mut Vec<Rc<Subscriber<I>>>,
        mut wait: impl FnMut(&Rc<Subscriber<I>>, Readiness),
    ) -> Option<SubscriberId> {
        let slots = self.slots.borrow();
        let first = slots.partition_point(|slot| slot.id < from);
        for slot in slots.iter().skip(first) {
            if !slot.is_live || Some(slot.id) == exclude {
                continue;
            }
            if selected.len() >= most {
                return Some(slot.id);
            }
            match slot.subscriber.readiness() {
                Readiness::Ready => selected.push(Rc::clone(&slot.subscriber)),
                readiness => wait(&slot.subscriber, readiness),
            }
        }
        None
    }

    /// Calls `visit` with each live subscriber.
    pub(super) fn each_live(&self, watching: bool, mut visit: impl FnMut(&Rc<Subscriber<I>>)) {
        let slots = self.slots.borrow();
        let is_meant = |slot: &&Slot<I>| slot.is_live && (slot.watches_members || !watching);
        slots
            .iter()
            .filter(is_meant)
            .for_each(|slot| visit(&slot.subscriber));
    }

    /// Removes a subscriber. Returns whether none is left.
    fn remove(&self, id: SubscriberId) -> bool {
        let mut slots = self.slots.borrow_mut();
        if let Ok(index) = slots.binary_search_by_key(&id, |slot| slot.id) {
            slots.remove(index);
        }
        slots.is_empty()
    }
}

impl<I> Default for Table<I> {
    fn default() -> Self {
        Self {
            topics: HashMap::new(),
            subscribers: HashMap::new(),
        }
    }
}
