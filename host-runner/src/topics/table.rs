//! Which connections of a worker subscribe to which topic, by instance: an instance is given a publication once, for all
//! of them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use wasocket_bus::message::SubscriberId;
use wasocket_bus::position::Position;
use wasocket_bus::topic::Topic;

use crate::topics::publication::Arrived;
use crate::topics::subscriber::{Readiness, Subscriber};

/// The topics with a subscriber in this worker.
pub(super) struct Table<I> {
    /// The groups of a topic, in the order of the addresses of their instances.
    topics: HashMap<Topic, Vec<Rc<Group<I>>>>,
    subscribers: HashMap<SubscriberId, Rc<Subscriber<I>>>,
}

/// The subscribers of a topic on one instance, or those that are suspended.
pub(crate) struct Group<I> {
    pub(super) topic: Topic,
    /// `None` for those that are suspended.
    pub(super) instance: Option<Rc<I>>,
    /// In the order of their numbers.
    slots: RefCell<Vec<Slot<I>>>,
    subscriptions: Cell<u64>,
    /// Where the topic stands, if it has history, as far as it has been routed: the same for all of its groups.
    position: Cell<Option<Position>>,
}

/// One subscription.
pub(super) struct Slot<I> {
    id: SubscriberId,
    subscriber: Rc<Subscriber<I>>,
    /// Which subscription of the connection to the topic this is.
    subscription: u64,
    liveness: Liveness,
    watches_members: bool,
    confirms: bool,
}

/// Whether a subscriber is given what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Liveness {
    /// Not before its subscription is in effect.
    Expected,
    /// It is in effect, but what is in the backlog of the instance the subscriber has been given elsewhere.
    Arriving,
    Live,
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

    /// Where a topic stands: everything up to there has been routed.
    pub(super) fn position(&self, topic: &Topic) -> Option<Position> {
        let groups = self.groups(topic).iter();
        groups
            .map(|group| group.position.get())
            .find(Option::is_some)?
    }

    /// Everything of a topic up to this position has been routed.
    pub(super) fn set_position(&self, topic: &Topic, position: Option<Position>) {
        for group in self.groups(topic) {
            group.set_position(position);
        }
    }

    /// The group of a topic on this instance, or of its suspended subscribers; it may be new.
    pub(super) fn group(&mut self, topic: &Topic, instance: Option<&Rc<I>>) -> Rc<Group<I>> {
        let groups = self.topics.entry(topic.clone()).or_default();
        let address = instance.map(Rc::as_ptr);
        match groups.binary_search_by_key(&address, |group| group.instance.as_ref().map(Rc::as_ptr))
        {
            Ok(index) => Rc::clone(&groups[index]),
            Err(index) => {
                let position = groups.first().and_then(|group| group.position.get());
                let group = Rc::new(Group {
                    topic: topic.clone(),
                    instance: instance.map(Rc::clone),
                    slots: RefCell::default(),
                    subscriptions: Cell::new(0),
                    position: Cell::new(position),
                });
                groups.insert(index, Rc::clone(&group));
                group
            }
        }
    }

    /// Removes a subscriber from a group, and what is empty then.
    pub(super) fn remove(&mut self, id: SubscriberId, group: &Rc<Group<I>>) {
        group.take(id);
        self.remove_empty(group);
    }

    /// Removes a group that has no subscribers.
    pub(super) fn remove_empty(&mut self, group: &Rc<Group<I>>) {
        if !group.slots.borrow().is_empty() {
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
    /// Everything up to this position has been routed.
    pub(super) fn set_position(&self, position: Option<Position>) {
        if position.is_some() {
            self.position.set(position);
        }
    }

    /// Adds a subscription that is not live yet, or replaces one.
    pub(super) fn expect(&self, id: SubscriberId, subscriber: &Rc<Subscriber<I>>, wishes: Wishes) {
        let subscription = self.subscriptions.get().wrapping_add(1);
        self.subscriptions.set(subscription);
        let mut slots = self.slots.borrow_mut();
        let mut slot = Slot {
            id,
            subscriber: Rc::clone(subscriber),
            subscription,
            liveness: Liveness::Expected,
            watches_members: wishes.watches_members,
            confirms: wishes.confirms,
        };
        match slots.binary_search_by_key(&id, |slot| slot.id) {
            Ok(index) => {
                if wishes.stays_live {
                    slot.liveness = slots[index].liveness;
                }
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
            slot.liveness = Liveness::Live;
            Rc::clone(&slot.subscriber)
        })
    }

    /// Adds a subscriber of another group of the topic. One that was live is live again once it has
    /// [arrived](Self::arrive): returns whether it is to.
    pub(super) fn join(&self, slot: Slot<I>) -> bool {
        let subscription = self.subscriptions.get().wrapping_add(1);
        self.subscriptions.set(subscription);
        let is_arriving = slot.liveness != Liveness::Expected;
        let slot = Slot {
            subscription,
            liveness: if is_arriving {
                Liveness::Arriving
            } else {
                Liveness::Expected
            },
            ..slot
        };
        let mut slots = self.slots.borrow_mut();
        // It has left its other group, so it is not in this one.
        let index = slots.partition_point(|other| other.id < slot.id);
        slots.insert(index, slot);
        is_arriving
    }

    /// What is taken from the backlog from now on is for the subscriber as well, if it has come from another group.
    pub(super) fn arrive(&self, id: SubscriberId) {
        self.update(id, |slot| {
            if slot.liveness == Liveness::Arriving {
                slot.liveness = Liveness::Live;
            }
        });
    }

    /// What is taken from the backlog from now on is for the subscriber as well.
    pub(super) fn go_live(&self, id: SubscriberId) {
        self.update(id, |slot| slot.liveness = Liveness::Live);
    }

    /// What a subscriber wants; `None` if it does not subscribe.
    pub(super) fn wishes(&self, id: SubscriberId) -> Option<Wishes> {
        let mut wishes = None;
        self.update(id, |slot| {
            wishes = Some(Wishes {
                watches_members: slot.watches_members,
                confirms: slot.confirms,
                stays_live: false,
            });
        });
        wishes
    }

    /// Whether this subscriber is given what was published.
    pub(super) fn gives(&self, id: SubscriberId, from: SubscriberId, arrived: &Arrived) -> bool {
        id >= from && arrived.exclude != Some(id) && self.is_live(id, false)
    }

    /// Whether the subscriber is live, and `watching`: whether it watches members.
    pub(super) fn is_live(&self, id: SubscriberId, watching: bool) -> bool {
        let mut is_live = false;
        self.update(id, |slot| is_live = slot.is_meant(watching));
        is_live
    }

    fn update(&self, id: SubscriberId, update: impl FnOnce(&mut Slot<I>)) {
        let mut slots = self.slots.borrow_mut();
        if let Ok(index) = slots.binary_search_by_key(&id, |slot| slot.id)
            && let Some(slot) = slots.get_mut(index)
        {
            update(slot);
        }
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
            if !slot.is_meant(false) || Some(slot.id) == exclude {
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
        slots
            .iter()
            .filter(|slot| slot.is_meant(watching))
            .for_each(|slot| visit(&slot.subscriber));
    }

    /// Takes a subscriber out.
    pub(super) fn take(&self, id: SubscriberId) -> Option<Slot<I>> {
        let mut slots = self.slots.borrow_mut();
        let index = slots.binary_search_by_key(&id, |slot| slot.id).ok()?;
        Some(slots.remove(index))
    }
}

impl<I> Slot<I> {
    fn is_meant(&self, watching: bool) -> bool {
        self.liveness == Liveness::Live && (self.watches_members || !watching)
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
