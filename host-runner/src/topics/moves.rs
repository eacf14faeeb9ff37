//! Subscribers that move from one instance to another, at once or after some time. Their subscriptions stay as they are
//! at the bus: only the instance changes that is given what arrives.
//!
//! Each publication comes from the backlog of one instance, to which it was added while the subscriber was there, or while
//! it was suspended: never from two, and in order.

use std::rc::Rc;

use wasmtime::component::ResourceAny;

use crate::topics::Topics;
use crate::topics::backlog::{Backlogged, Item};
use crate::topics::publication::Arrived;
use crate::topics::subscriber::{Details, Home, Subscriber};
use crate::topics::table::Group;
use crate::topics::waiting::Dropped;

impl<I: Backlogged> Topics<I> {
    /// Takes a connection off its instance. What has arrived there for it and is not delivered waits from now on for the
    /// connection itself, as does all that arrives until it is [put](Self::settle) on another instance.
    pub(crate) fn suspend(&self, subscriber: &Rc<Subscriber<I>>) {
        let Some(details) = subscriber.details.get() else {
            return;
        };
        let Some(Home { instance, .. }) = details.home.take() else {
            return;
        };
        let backlog = instance.backlog();
        if let Some((group, arrived, from)) = &*backlog.choosing.borrow()
            && group.gives(details.id, *from, arrived)
        {
            self.let_wait(subscriber, arrived);
        }
        backlog.filter(|item| self.take_over(subscriber, details, item));
        self.regroup(details, None, |group| group.arrive(details.id));
    }

    /// Puts a connection that was suspended on an instance.
    pub(crate) fn settle(
        &self,
        subscriber: &Rc<Subscriber<I>>,
        instance: &Rc<I>,
        resource: ResourceAny,
    ) {
        let Some(details) = subscriber.details.get() else {
            return;
        };
        let home = Home {
            instance: Rc::clone(instance),
            resource,
        };
        details.home.replace(Some(home));
        self.regroup(details, Some(instance), |group| {
            let _ = instance
                .backlog()
                .push(Item::Moved(Rc::clone(group), details.id));
        });
        self.due.add(instance);
    }

    /// Moves all subscriptions of a connection to the groups of an instance, or of those that are suspended. `arrives` is
    /// called with each group in which the connection is to become live.
    fn regroup(
        &self,
        details: &Details<I>,
        instance: Option<&Rc<I>>,
        arrives: impl Fn(&Rc<Group<I>>),
    ) {
        let mut table = self.table.borrow_mut();
        let mut groups = details.groups.borrow_mut();
        for group in &mut *groups {
            let Some(slot) = group.take(details.id) else {
                continue;
            };
            let next = table.group(&group.topic, instance);
            if next.join(slot) {
                arrives(&next);
            }
            table.remove_empty(group);
            *group = next;
        }
    }

    /// Lets what an item has for this connection wait for it. Returns the item, if it concerns others as well.
    fn take_over(
        &self,
        subscriber: &Rc<Subscriber<I>>,
        details: &Details<I>,
        item: Item<I>,
    ) -> Option<Item<I>> {
        let is_own = match &item {
            Item::Publication(group, arrived, from) => {
                if group.gives(details.id, *from, arrived) {
                    self.let_wait(subscriber, arrived);
                }
                false
            }
            Item::Gap(group, position) => {
                if group.is_live(details.id, false) {
                    self.tell_gap(subscriber, group, *position);
                }
                false
            }
            Item::MemberChange(group, told) => {
                if group.is_live(details.id, true) {
                    self.tell_change(subscriber, group, told);
                }
                false
            }
            Item::Subscribed { id, .. }
            | Item::Refused { id, .. }
            | Item::Moved(_, id)
            | Item::Resumed(_, id) => *id == details.id,
            Item::Answer(of, _) => Rc::ptr_eq(of, subscriber),
        };
        if is_own {
            self.apply(item);
            return None;
        }
        Some(item)
    }

    /// Carries out an item for the suspended subscribers of a topic.
    pub(super) fn apply_to_suspended(&self, item: Item<I>) {
        match item {
            Item::Publication(group, arrived, _) => group.each_live(false, |subscriber| {
                let id = subscriber.details.get().map(|details| details.id);
                if id.is_none() || id != arrived.exclude {
                    self.let_wait(subscriber, &arrived);
                }
            }),
            item => self.apply(item),
        }
    }

    /// Lets a publication wait for a connection.
    fn let_wait(&self, subscriber: &Subscriber<I>, arrived: &Rc<Arrived>) {
        self.wait(subscriber, |waiting| -> Dropped {
            waiting.add(arrived, false, self.settings.max_waiting)
        });
    }
}
