//! Topics of one process: who subscribes to what, who is a member, and what has been published.
//!
//! For hosts of one thread that carry out everything in one order, and join no engine. The rules are those of
//! `wit/types.wit`; `wasocket serve`, which has several threads and engines, has a crate for them. A message is
//! whatever the host makes of it.

mod history;

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use history::{Histories, Read};

/// The number by which a host knows a subscriber.
pub type SubscriberId = u64;

/// Nanoseconds on a clock that never runs backwards.
pub type Instant = u64;

/// The most members that a list names.
pub const MAX_LISTED: usize = 1_000;

/// A wish to be sent what is published on a topic: `subscription` in `wit/types.wit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The name of the topic.
    pub topic: String,
    /// The first publication to be delivered.
    pub start: Start,
    /// The history that the topic should have.
    pub keep: Option<Keep>,
    /// What others see of the subscriber; `None` if it is no member.
    pub member: Option<Vec<u8>>,
    /// Whether it is told who joins and leaves.
    pub watches_members: bool,
    /// Whether it is told that the subscription is in effect.
    pub confirm: bool,
}

/// The first publication that a subscriber is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The next one.
    Now,
    /// The first of the latest, at most this number.
    Last(u32),
    /// The one that follows this position.
    After(String),
}

/// How much of a topic is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The most publications.
    pub count: u32,
    /// The greatest age of a publication, in seconds.
    pub seconds: u32,
}

/// A publication that arrives.
#[derive(Debug, PartialEq, Eq)]
pub struct Delivery<M> {
    /// The name of the topic.
    pub topic: String,
    /// What was published.
    pub message: M,
    /// Where in the topic it stands; `None` if the topic has no history.
    pub position: Option<String>,
    /// What it counts for in memory, in bytes.
    pub size: usize,
}

/// What subscribers get, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival<M> {
    /// A publication, for all of these.
    Publication(Rc<Delivery<M>>, Vec<SubscriberId>),
    /// Something that concerns one of them.
    Event(SubscriberId, Event),
}

/// Something that a subscriber is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A subscription that asked for it is in effect.
    Subscribed {
        /// To what.
        topic: String,
        /// The position that the first publication follows.
        position: Option<String>,
        /// Whether nothing is missing since the start that was asked for.
        recovered: bool,
    },
    /// The members of a topic.
    Members {
        /// Of which topic.
        topic: String,
        /// How many there are.
        count: usize,
        /// Who they are: at most [`MAX_LISTED`].
        members: Vec<Vec<u8>>,
    },
    /// A member has come, or says something else of itself.
    Joined {
        /// To which topic.
        topic: String,
        /// Who.
        member: Vec<u8>,
    },
    /// A member has left.
    Left {
        /// Which topic.
        topic: String,
        /// Who.
        member: Vec<u8>,
    },
}

/// The topics of one process.
#[derive(Debug)]
pub struct Topics<M> {
    topics: BTreeMap<String, Topic>,
    /// The topics of each subscriber.
    of: BTreeMap<SubscriberId, BTreeSet<String>>,
    histories: Histories<M>,
}

/// A topic with subscribers.
#[derive(Debug, Default)]
struct Topic {
    subscribers: BTreeMap<SubscriberId, Subscriber>,
    /// The history that they want: it comes back with the next publication if it had to go.
    keep: Option<Keep>,
}

#[derive(Debug)]
struct Subscriber {
    member: Option<Vec<u8>>,
    watches_members: bool,
}

impl<M> Topics<M> {
    /// No topics. `epoch`: a number that no earlier process has had, from which those of positions are counted.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        Self {
            topics: BTreeMap::new(),
            of: BTreeMap::new(),
            histories: Histories::new(epoch),
        }
    }

    /// Subscribes, or replaces what an earlier subscription to the same topic said.
    pub fn subscribe(
        &mut self,
        id: SubscriberId,
        wanted: Subscription,
        now: Instant,
    ) -> Vec<Arrival<M>> {
        let Subscription { topic: name, .. } = wanted;
        let topic = self.topics.entry(name.clone()).or_default();
        topic.keep = history::longer(topic.keep, wanted.keep);
        if let Some(keep) = topic.keep {
            self.histories.keep(&name, keep);
        }
        let subscriber = Subscriber {
            member: wanted.member.clone(),
            watches_members: wanted.watches_members,
        };
        let before = topic.subscribers.insert(id, subscriber);
        self.of.entry(id).or_default().insert(name.clone());
        let read = self.histories.read(&name, &wanted.start, now);
        let mut arrivals = given(id, &name, wanted.confirm, read);
        let before = before.and_then(|subscriber| subscriber.member);
        topic.announce(&name, before, wanted.member, &mut arrivals);
        arrivals
    }

    /// Ends a subscription; has no effect if there is none.
    pub fn unsubscribe(&mut self, id: SubscriberId, name: &str) -> Vec<Arrival<M>> {
        if let Some(names) = self.of.get_mut(&id) {
            names.remove(name);
            if names.is_empty() {
                self.of.remove(&id);
            }
        }
        self.remove(id, name)
    }

    /// The subscriber is gone, and with it its subscriptions.
    pub fn leave(&mut self, id: SubscriberId) -> Vec<Arrival<M>> {
        let names = self.of.remove(&id).unwrap_or_default();
        let left = names.iter().flat_map(|name| self.remove(id, name));
        left.collect()
    }

    fn remove(&mut self, id: SubscriberId, name: &str) -> Vec<Arrival<M>> {
        let mut arrivals = Vec::new();
        let Some(topic) = self.topics.get_mut(name) else {
            return arrivals;
        };
        let left = topic.subscribers.remove(&id);
        let member = left.and_then(|subscriber| subscriber.member);
        topic.announce(name, member, None, &mut arrivals);
        if topic.subscribers.is_empty() {
            self.topics.remove(name);
        }
        arrivals
    }

    /// Publishes a message to all subscribers of a topic but the excluded one. `length`: that of the message, in bytes.
    pub fn publish(
        &mut self,
        topic: String,
        message: M,
        length: usize,
        excluded: Option<SubscriberId>,
        now: Instant,
    ) -> Option<Arrival<M>> {
        let entry = self.topics.get(&topic);
        if let Some(keep) = entry.and_then(|entry| entry.keep) {
            self.histories.keep(&topic, keep);
        }
        let delivery = Delivery {
            topic,
            message,
            position: None,
            size: history::OVERHEAD.saturating_add(length),
        };
        let delivery = self.histories.add(delivery, now);
        let subscribers = entry?.subscribers.keys().copied();
        let to: Vec<_> = subscribers.filter(|id| Some(*id) != excluded).collect();
        (!to.is_empty()).then_some(Arrival::Publication(delivery, to))
    }

    /// Answers who is a member of a topic.
    #[must_use]
    pub fn list_members(&self, id: SubscriberId, name: &str) -> Arrival<M> {
        let topic = self.topics.get(name);
        let subscribers = topic
            .into_iter()
            .flat_map(|topic| topic.subscribers.values());
        let members: Vec<_> = subscribers.filter_map(|one| one.member.as_ref()).collect();
        Arrival::Event(
            id,
            Event::Members {
                topic: name.to_owned(),
                count: members.len(),
                members: members.into_iter().take(MAX_LISTED).cloned().collect(),
            },
        )
    }
}

impl Topic {
    /// Tells those who watch that a member has come, has changed or has left.
    fn announce<M>(
        &self,
        name: &str,
        before: Option<Vec<u8>>,
        after: Option<Vec<u8>>,
        arrivals: &mut Vec<Arrival<M>>,
    ) {
        if before == after {
            return;
        }
        let topic = name.to_owned();
        let event = match (after, before) {
            (Some(member), _) => Event::Joined { topic, member },
            (None, Some(member)) => Event::Left { topic, member },
            (None, None) => return,
        };
        let watching = self
            .subscribers
            .iter()
            .filter(|(_, one)| one.watches_members);
        arrivals.extend(watching.map(|(id, _)| Arrival::Event(*id, event.clone())));
    }
}

/// What a new subscriber gets before all else.
fn given<M>(id: SubscriberId, name: &str, confirm: bool, read: Read<M>) -> Vec<Arrival<M>> {
    let Read {
        position,
        recovered,
        missed,
    } = read;
    let topic = name.to_owned();
    let subscribed = confirm.then_some(Event::Subscribed {
        topic,
        position,
        recovered,
    });
    let subscribed = subscribed.map(|event| Arrival::Event(id, event));
    let missed = missed.into_iter();
    let missed = missed.map(|delivery| Arrival::Publication(delivery, Vec::from([id])));
    subscribed.into_iter().chain(missed).collect()
}

#[cfg(test)]
mod tests;
