//! The subscribers of one topic, and the workers of all.

use std::collections::HashMap;
use std::sync::Arc;

use super::arrival::Arrival;
use super::mailbox::Mailbox;
use crate::message::{Member, Publication, SubscriberId};
use crate::position::Position;
use crate::topic::Topic;

/// Which worker of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WorkerId(pub(crate) usize);

/// A subscriber within the process.
pub(crate) type Key = (WorkerId, SubscriberId);

/// The mailboxes of the workers.
#[derive(Debug, Default)]
pub(crate) struct Workers(Vec<Option<Arc<Mailbox>>>);

impl Workers {
    pub(crate) fn add(&mut self, mailbox: Arc<Mailbox>) -> WorkerId {
        let free = self.0.iter().position(Option::is_none);
        let index = free.unwrap_or(self.0.len());
        if index == self.0.len() {
            self.0.push(None);
        }
        self.0[index] = Some(mailbox);
        WorkerId(index)
    }

    pub(crate) fn remove(&mut self, worker: WorkerId) {
        if let Some(mailbox) = self.0.get_mut(worker.0) {
            *mailbox = None;
        }
    }

    /// Its mailbox, unless it has gone.
    pub(crate) fn get(&self, worker: WorkerId) -> Option<&Mailbox> {
        self.0.get(worker.0)?.as_deref()
    }
}

/// What the bus knows of a subscriber.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscriber {
    pub(crate) member: Option<Member>,
    pub(crate) watches: bool,
    /// The member that it was, if that now belongs to another process.
    pub(crate) away: Option<Member>,
}

/// The live subscribers of one topic.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    of: HashMap<Key, Subscriber>,
    reach: Vec<Reach>,
    members: usize,
}

/// How many of a worker's subscribers there are. A worker gets everything once.
#[derive(Debug)]
struct Reach {
    worker: WorkerId,
    live: usize,
    watching: usize,
}

impl Subscribers {
    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.of.keys().copied()
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Subscriber> {
        self.of.get(&key)
    }

    pub(crate) fn contains(&self, key: Key) -> bool {
        self.of.contains_key(&key)
    }

    /// Whether one of them wants to learn who joins and leaves.
    pub(crate) fn is_watched(&self) -> bool {
        self.reach.iter().any(|one| one.watching > 0)
    }

    pub(crate) fn member_count(&self) -> usize {
        self.members
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.of.values().filter_map(|one| one.member.as_ref())
    }

    /// Gives a subscriber and its member to another process: others do not see it leave. Returns what was known of it.
    pub(crate) fn release(&mut self, key: Key) -> Option<Subscriber> {
        let subscriber = self.of.get_mut(&key)?;
        let released = subscriber.clone();
        subscriber.away = subscriber.member.take();
        self.members -= usize::from(released.member.is_some());
        Some(released)
    }

    /// Takes a released subscriber back. Returns its member.
    pub(crate) fn retain(&mut self, key: Key) -> Option<Member> {
        let subscriber = self.of.get_mut(&key)?;
        let member = subscriber.away.take()?;
        self.members += usize::from(subscriber.member.is_none());
        subscriber.member = Some(member.clone());
        Some(member)
    }

    /// Adds one. Returns what was known of it before.
    pub(crate) fn insert(&mut self, key: Key, subscriber: Subscriber) -> Option<Subscriber> {
        let before = self.remove(key);
        let reach = match self.reach.iter_mut().find(|one| one.worker == key.0) {
            Some(reach) => reach,
            None => {
                self.reach.push(Reach::none_of(key.0));
                let last = self.reach.len() - 1;
                &mut self.reach[last]
            }
        };
        reach.live += 1;
        reach.watching += usize::from(subscriber.watches);
        self.members += usize::from(subscriber.member.is_some());
        self.of.insert(key, subscriber);
        before
    }

    /// Removes one. Returns what was known of it.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Subscriber> {
        let subscriber = self.of.remove(&key)?;
        self.members -= usize::from(subscriber.member.is_some());
        if let Some(reach) = self.reach.iter_mut().find(|one| one.worker == key.0) {
            reach.live -= 1;
            reach.watching -= usize::from(subscriber.watches);
        }
        self.reach.retain(|one| one.live > 0);
        Some(subscriber)
    }

    /// Delivers a publication to all workers. That of the excluded subscriber gets it as well: it has others, and keeps
    /// account of where the topic stands.
    pub(crate) fn deliver(
        &self,
        workers: &Workers,
        topic: &Topic,
        publication: &Arc<Publication>,
        exclude: Option<Key>,
    ) {
        for reach in &self.reach {
            let Some(mailbox) = workers.get(reach.worker) else {
                continue;
            };
            let publication = match exclude {
                Some((worker, excluded)) if worker == reach.worker => Arc::new(Publication {
                    exclude: Some(excluded),
                    ..(**publication).clone()
                }),
                _ => Arc::clone(publication),
            };
            mailbox.deliver(
                topic,
                publication.position,
                Arrival::Publication {
                    topic: topic.clone(),
                    publication,
                },
            );
        }
    }

    /// Tells the workers with subscribers that publications may be missing. Returns how many there are.
    pub(crate) fn tell_gap(
        &self,
        workers: &Workers,
        topic: &Topic,
        position: Option<Position>,
    ) -> usize {
        let reached = self.reach.iter().filter_map(|one| workers.get(one.worker));
        reached
            .map(|mailbox| mailbox.tell_gap(topic, position))
            .count()
    }

    /// Tells the workers with watching subscribers that a member has come or left.
    pub(crate) fn announce(&self, workers: &Workers, topic: &Topic, arrival: &Arrival) {
        let watching = self.reach.iter().filter(|one| one.watching > 0);
        for mailbox in watching.filter_map(|one| workers.get(one.worker)) {
            mailbox.deliver(topic, None, arrival.clone());
        }
    }
}

impl Reach {
    fn none_of(worker: WorkerId) -> Self {
        Self {
            worker,
            live: 0,
            watching: 0,
        }
    }
}
