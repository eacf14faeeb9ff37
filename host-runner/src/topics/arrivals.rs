//! What arrives on the bus: from the worker's inbox to the backlogs of its instances, and from there to subscribers.

use std::rc::Rc;
use std::sync::Arc;

use wasocket_bus::message::{self, SubscriberId};
use wasocket_bus::position::Position;
use wasocket_bus::topic::Topic;
use wasocket_bus::{Arrival, Refusal};

use crate::contract::bindings::{
    Gap, MemberChange, Members, Subscribed, TopicEvent, TopicOperation, TopicRefusal,
};
use crate::topics::Topics;
use crate::topics::backlog::{Backlogged, Item};
use crate::topics::publication::Arrived;
use crate::topics::subscriber::Subscriber;
use crate::topics::table::Group;
use crate::topics::waiting::{Dropped, Due};

impl<I: Backlogged> Topics<I> {
    /// Adds what has arrived to the backlogs of the instances that it concerns.
    pub(crate) fn route(&self, arrival: Arrival) {
        match arrival {
            Arrival::Publication { topic, publication } => {
                self.route_publication(&topic, &publication)
            }
            Arrival::Subscribed {
                subscriber,
                topic,
                position,
                recovered,
                missed,
            } => {
                self.table.borrow().set_position(&topic, position);
                let first = missed.first().and_then(|first| first.position);
                let position = first.map(before).or(position);
                let told = Subscribed {
                    topic: topic.to_string(),
                    position: position.map(|position| position.to_string()),
                    recovered,
                };
                self.route_subscribed(subscriber, &topic, told, &missed);
            }
            Arrival::Refused {
                subscriber,
                topic,
                reason,
            } => self.route_refused(subscriber, &topic, &reason),
            Arrival::Gap { topic, position } => {
                self.table.borrow().set_position(&topic, position);
                self.route_to_groups(&topic, |group| Item::Gap(group, position));
            }
            Arrival::Members {
                subscriber,
                topic,
                count,
                members,
                ..
            } => {
                let members = members.iter().map(|member| member.info.to_vec());
                let told = TopicEvent::Members(Members {
                    topic: topic.to_string(),
                    count,
                    members: members.collect(),
                });
                self.route_answer(subscriber, told);
            }
            Arrival::Released { subscriber } => self.on_released(subscriber),
            Arrival::Resumed { subscriber } => self.on_resumed(subscriber),
            Arrival::Joined { topic, member } => {
                let told = TopicEvent::Joined(member_change(&topic, &member));
                self.route_to_groups(&topic, |group| Item::MemberChange(group, told.clone()));
            }
            Arrival::Left { topic, member } => {
                let told = TopicEvent::Left(member_change(&topic, &member));
                self.route_to_groups(&topic, |group| Item::MemberChange(group, told.clone()));
            }
        }
    }

    /// Carries out an item, unless it is a publication, for which the instance must be called.
    pub(crate) fn apply(&self, item: Item<I>) {
        match item {
            // Its deliveries need calls.
            Item::Publication(..) => {}
            Item::Moved(group, id) => group.arrive(id),
            Item::Resumed(group, id) => group.go_live(id),
            Item::Subscribed {
                group,
                id,
                subscription,
                told,
                missed,
            } => {
                if let Some(subscriber) = group.begin(id, subscription) {
                    self.begin(&subscriber, &group.topic, told, missed);
                }
            }
            Item::Refused {
                group,
                id,
                subscription,
                told,
            } => {
                if group
                    .subscription(id)
                    .is_some_and(|(of, _)| of == subscription)
                {
                    self.end(&group, id, told);
                }
            }
            Item::Gap(group, position) => group.each_live(false, |subscriber| {
                self.tell_gap(subscriber, &group, position);
            }),
            Item::MemberChange(group, told) => group.each_live(true, |subscriber| {
                self.tell_change(subscriber, &group, &told);
            }),
            Item::Answer(subscriber, told) => self.answer(&subscriber, None, [Due::Event(told)]),
        }
    }

    /// Tells a subscriber that publications may be missing.
    pub(super) fn tell_gap(
        &self,
        subscriber: &Subscriber<I>,
        group: &Group<I>,
        position: Option<Position>,
    ) {
        self.metrics.topics.gaps.count();
        self.wait(subscriber, |waiting| {
            waiting.add_gap(&group.topic, position);
            Dropped::default()
        });
    }

    /// Tells a subscriber of a member that has joined or left.
    pub(super) fn tell_change(
        &self,
        subscriber: &Subscriber<I>,
        group: &Group<I>,
        told: &TopicEvent,
    ) {
        let policy = self.settings.slow_subscriber.of(group.topic.as_str());
        self.wait(subscriber, |waiting| {
            let max = self.settings.max_waiting;
            waiting.add_event(&group.topic, told.clone(), policy, max)
        });
    }

    fn arrived(&self, topic: &Topic, publication: &Arc<message::Publication>) -> Rc<Arrived> {
        let policy = self.settings.slow_subscriber.of(topic.as_str());
        let prefix = self.metrics.topics.prefix(topic.as_str());
        Rc::new(Arrived::new(topic, publication, policy, prefix))
    }

    fn route_publication(&self, topic: &Topic, publication: &Arc<message::Publication>) {
        let table = self.table.borrow();
        let groups = table.groups(topic);
        if groups.is_empty() {
            return;
        }
        let arrived = self.arrived(topic, publication);
        for group in groups {
            group.set_position(publication.position);
            let first = SubscriberId(0);
            self.push(
                group,
                Item::Publication(Rc::clone(group), Rc::clone(&arrived), first),
            );
        }
    }

    fn route_to_groups(&self, topic: &Topic, item: impl Fn(Rc<Group<I>>) -> Item<I>) {
        for group in self.table.borrow().groups(topic) {
            self.push(group, item(Rc::clone(group)));
        }
    }

    fn push(&self, group: &Rc<Group<I>>, item: Item<I>) {
        let Some(instance) = &group.instance else {
            return self.apply_to_suspended(item);
        };
        if !instance.backlog().push(item) {
            self.metrics.topics.dropped(1, 0, false);
        }
        self.due.add(instance);
    }

    fn route_subscribed(
        &self,
        id: SubscriberId,
        topic: &Topic,
        told: Subscribed,
        missed: &[Arc<message::Publication>],
    ) {
        let Some((group, subscription, confirms)) = self.subscription(id, topic) else {
            return;
        };
        // A loss is never left out.
        let told = if confirms {
            Some(TopicEvent::Subscribed(told))
        } else if told.recovered {
            None
        } else {
            Some(TopicEvent::Gap(Gap {
                topic: told.topic,
                position: told.position,
            }))
        };
        let missed = missed.iter().map(|one| self.arrived(topic, one)).collect();
        let item = Item::Subscribed {
            group: Rc::clone(&group),
            id,
            subscription,
            told,
            missed,
        };
        self.push(&group, item);
    }

    fn route_refused(&self, id: SubscriberId, topic: &Topic, reason: &Refusal) {
        let Some((group, subscription, _)) = self.subscription(id, topic) else {
            return;
        };
        let told = TopicEvent::Refused(TopicRefusal {
            topic: topic.to_string(),
            operation: TopicOperation::Subscribe,
            reason: reason.to_string(),
        });
        let item = Item::Refused {
            group: Rc::clone(&group),
            id,
            subscription,
            told,
        };
        self.push(&group, item);
    }

    fn route_answer(&self, id: SubscriberId, told: TopicEvent) {
        let subscriber = self.table.borrow().subscriber(id).cloned();
        let Some(subscriber) = subscriber else {
            return;
        };
        let instance = subscriber
            .details
            .get()
            .and_then(|details| details.instance());
        let item = Item::Answer(subscriber, told);
        match instance {
            Some(instance) => {
                let _ = instance.backlog().push(item);
                self.due.add(&instance);
            }
            None => self.apply(item),
        }
    }

    /// A connection's subscription to a topic as it is now, and whether it wants to be told that it is in effect.
    fn subscription(&self, id: SubscriberId, topic: &Topic) -> Option<(Rc<Group<I>>, u64, bool)> {
        let table = self.table.borrow();
        let group = table.subscriber(id)?.details.get()?.group(topic)?;
        let (subscription, confirms) = group.subscription(id)?;
        Some((group, subscription, confirms))
    }

    /// Gives a subscriber what comes first: that it is one, and what it has missed.
    fn begin(
        &self,
        subscriber: &Subscriber<I>,
        topic: &Topic,
        told: Option<TopicEvent>,
        missed: Vec<Rc<Arrived>>,
    ) {
        if told.is_some() || !missed.is_empty() {
            let told = told.map(Due::Event);
            let missed = missed.into_iter().map(Due::Publication);
            self.answer(subscriber, Some(topic), told.into_iter().chain(missed));
        }
    }

    /// Ends a subscription that the bus has refused or ended.
    fn end(&self, group: &Rc<Group<I>>, id: SubscriberId, told: TopicEvent) {
        let subscriber = self.table.borrow().subscriber(id).cloned();
        let Some(subscriber) = subscriber else {
            return;
        };
        if let Some(details) = subscriber.details.get() {
            let mut groups = details.groups.borrow_mut();
            groups.retain(|other| !Rc::ptr_eq(other, group));
        }
        self.table.borrow_mut().remove(id, group);
        self.answer(&subscriber, Some(&group.topic), [Due::Event(told)]);
    }

    fn answer(
        &self,
        subscriber: &Subscriber<I>,
        topic: Option<&Topic>,
        all: impl IntoIterator<Item = Due>,
    ) {
        self.wait(subscriber, |waiting| {
            for due in all {
                waiting.add_answer(topic, due);
            }
            Dropped::default()
        });
    }
}

/// A position that the publication at this one follows: offsets grow by 1 or more.
fn before(position: Position) -> Position {
    Position {
        offset: position.offset.saturating_sub(1),
        ..position
    }
}

fn member_change(topic: &Topic, member: &message::Member) -> MemberChange {
    MemberChange {
        topic: topic.to_string(),
        member: member.info.to_vec(),
    }
}
