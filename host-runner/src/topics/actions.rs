//! What connections and requests want of topics.

use std::rc::Rc;

use wasmtime::component::ResourceAny;
use wasocket_bus::message::{self, Keep};
use wasocket_bus::position::Position;
use wasocket_bus::topic::Topic;

use crate::contract::bindings::{
    Publication, Start, Subscription, TopicAction, TopicEvent, TopicOperation, TopicRefusal,
};
use crate::topics::Topics;
use crate::topics::backlog::Backlogged;
use crate::topics::publication::from_contract;
use crate::topics::subscriber::{Details, Home, Subscriber};
use crate::topics::table::Wishes;
use crate::topics::waiting::{Due, Waiting};

/// A position that no topic has: a subscriber that comes back to it is told that something is missing.
const NO_POSITION: Position = Position {
    epoch: 0,
    offset: u64::MAX,
};

/// A connection in the instance that it is on.
pub(crate) struct Caller<'a, I> {
    pub(crate) subscriber: &'a Rc<Subscriber<I>>,
    pub(crate) instance: &'a Rc<I>,
    pub(crate) resource: ResourceAny,
}

impl<I> Clone for Caller<'_, I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I> Copy for Caller<'_, I> {}

impl<I: Backlogged> Topics<I> {
    /// Carries out what a connection wants, in order. One that has left only publishes.
    pub(crate) fn carry_out(&self, caller: Caller<'_, I>, actions: Vec<TopicAction>) {
        for action in actions {
            match action {
                TopicAction::Publish(publication) => self.publish(caller, publication),
                _ if caller.subscriber.has_left() => {}
                TopicAction::Subscribe(wanted) => self.subscribe(caller, wanted),
                TopicAction::Unsubscribe(name) => self.unsubscribe(caller.subscriber, &name),
                TopicAction::ListMembers(name) => self.list_members(caller, &name),
            }
        }
    }

    /// Publishes what a connection still wants to.
    pub(crate) fn publish_last(&self, caller: Caller<'_, I>, publications: Vec<Publication>) {
        for publication in publications {
            self.publish(caller, publication);
        }
    }

    /// Publishes for a request. There is no connection to tell what is refused.
    pub(crate) fn publish_all(&self, publications: Vec<Publication>) {
        for publication in publications {
            // Counted, and there is nothing else to do.
            let _ = self.try_publish(publication, None);
        }
    }

    /// Ends all subscriptions of a connection, which subscribes to nothing from now on.
    pub(crate) fn leave(&self, subscriber: &Subscriber<I>) {
        subscriber.leave();
        let Some(details) = subscriber.details.get() else {
            return;
        };
        let groups = details.groups.take();
        let mut table = self.table.borrow_mut();
        table.remove_subscriber(details.id);
        for group in &groups {
            table.remove(details.id, group);
        }
        drop(table);
        for group in groups {
            self.port.unsubscribe(details.id, &group.topic);
        }
        // What waited is not delivered any more.
        details.waiting.replace(Waiting::new(&self.unsent));
    }

    fn subscribe(&self, caller: Caller<'_, I>, wanted: Subscription) {
        let details = self.details(caller);
        let Ok(topic) = Topic::new(&wanted.topic) else {
            return self.refuse_name(caller, wanted.topic, TopicOperation::Subscribe);
        };
        let is_new = details.group(&topic).is_none();
        if is_new && details.groups.borrow().len() >= self.settings.max_subscriptions {
            let max = self.settings.max_subscriptions;
            let reason = format!(
                "a connection may subscribe to {max} topics (--max-subscriptions-per-connection)"
            );
            return self.refuse(caller, wanted.topic, TopicOperation::Subscribe, reason);
        }
        let stays_live = matches!(wanted.start, Start::Now);
        let group = self.table.borrow_mut().group(&topic, Some(caller.instance));
        if is_new {
            details.groups.borrow_mut().push(Rc::clone(&group));
        } else if !stays_live {
            details.waiting.borrow_mut().forget(&topic);
        }
        let wishes = Wishes {
            watches_members: wanted.watch_members,
            confirms: wanted.confirm,
            stays_live,
        };
        group.expect(details.id, caller.subscriber, wishes);
        let keep = self.keep(&topic, &wanted);
        self.port.subscribe(message::Subscription {
            subscriber: details.id,
            topic,
            start: start(&wanted.start),
            keep,
            member: wanted.member.map(Into::into),
            watches_members: wanted.watch_members,
        });
    }

    /// The history that the operator gives the topic, or else what the app wants.
    fn keep(&self, topic: &Topic, wanted: &Subscription) -> Option<Keep> {
        let of_app = wanted.keep.map(|keep| Keep {
            count: keep.count,
            seconds: keep.seconds,
        });
        self.settings.history.of(topic.as_str()).or(of_app)
    }

    fn unsubscribe(&self, subscriber: &Subscriber<I>, name: &str) {
        let Some(details) = subscriber.details.get() else {
            return;
        };
        let mut groups = details.groups.borrow_mut();
        let index = groups.iter().position(|group| group.topic.as_str() == name);
        let Some(group) = index.map(|index| groups.swap_remove(index)) else {
            return;
        };
        drop(groups);
        self.table.borrow_mut().remove(details.id, &group);
        details.waiting.borrow_mut().forget(&group.topic);
        self.port.unsubscribe(details.id, &group.topic);
    }

    fn publish(&self, caller: Caller<'_, I>, publication: Publication) {
        let name = publication.topic.clone();
        if let Err(reason) = self.try_publish(publication, Some(caller.subscriber)) {
            self.refuse(caller, name, TopicOperation::Publish, reason);
        }
    }

    fn try_publish(
        &self,
        publication: Publication,
        publisher: Option<&Rc<Subscriber<I>>>,
    ) -> Result<(), String> {
        let metrics = &self.metrics.topics;
        let topic = Topic::new(&publication.topic);
        let topic = topic.map_err(|invalid| {
            metrics.refused.count();
            invalid.to_string()
        })?;
        let mut exclude = None;
        if let Some(publisher) = publisher {
            let details = publisher.details.get();
            exclude = details
                .filter(|_| publication.to_others)
                .map(|details| details.id);
            self.count(publisher, &topic);
        }
        metrics.published(topic.as_str());
        let message = from_contract(publication.message);
        self.port
            .publish(&topic, message, exclude)
            .map_err(|error| {
                metrics.refused.count();
                error.to_string()
            })
    }

    /// Counts a publication and the deliveries that it causes here, if they are limited.
    fn count(&self, publisher: &Subscriber<I>, topic: &Topic) {
        let published = &publisher.published;
        published.set(published.get().saturating_add(1));
        if self.settings.max_deliveries_per_second > 0 {
            let topic = self.port.bus().topic(topic);
            let deliveries = topic.map_or(0, |topic| topic.subscribers as u64);
            let caused = &publisher.caused;
            caused.set(caused.get().saturating_add(deliveries));
        }
    }

    fn list_members(&self, caller: Caller<'_, I>, name: &str) {
        let details = self.details(caller);
        match Topic::new(name) {
            Ok(topic) => self.port.list_members(details.id, &topic),
            Err(_) => self.refuse_name(caller, name.to_owned(), TopicOperation::ListMembers),
        }
    }

    fn refuse_name(&self, caller: Caller<'_, I>, name: String, operation: TopicOperation) {
        let reason = wasocket_bus::topic::InvalidName.to_string();
        self.refuse(caller, name, operation, reason);
    }

    /// Tells the connection, unless it has left.
    fn refuse(
        &self,
        caller: Caller<'_, I>,
        name: String,
        operation: TopicOperation,
        reason: String,
    ) {
        if caller.subscriber.has_left() {
            return;
        }
        let details = self.details(caller);
        let refused = TopicEvent::Refused(TopicRefusal {
            topic: name,
            operation,
            reason,
        });
        details
            .waiting
            .borrow_mut()
            .add_answer(None, Due::Event(refused));
        details.wake();
    }

    /// The details of a connection, which has none before it first needs them.
    fn details<'a>(&self, caller: Caller<'a, I>) -> &'a Details<I> {
        let Caller {
            subscriber,
            instance,
            resource,
        } = caller;
        subscriber.details.get_or_init(|| {
            let id = self.next_id();
            self.table.borrow_mut().add_subscriber(id, subscriber);
            let waiting = Waiting::new(&self.unsent);
            let instance = Rc::clone(instance);
            Box::new(Details::new(id, Home { instance, resource }, waiting))
        })
    }
}

fn start(start: &Start) -> message::Start {
    match start {
        Start::Now => message::Start::Now,
        Start::Last(count) => message::Start::Last(*count),
        Start::After(position) => message::Start::After(position.parse().unwrap_or(NO_POSITION)),
    }
}
