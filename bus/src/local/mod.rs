//! The bus of one process, without an engine.

mod history;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::delivery::arrival::{Arrival, Refusal};
use crate::delivery::mailbox::Generation;
use crate::delivery::subscribers::{Key, Subscriber, Subscribers, WorkerId, Workers};
use crate::limits::Limits;
use crate::message::{
    Keep, MAX_MEMBER_INFO, Member, MemberKey, Message, Publication, Subscription,
};
use crate::observe::counters::Counters;
use crate::observe::status::{EngineState, Status, TopicDetails};
use crate::topic::Topic;
use history::Histories;

/// The topics of one process.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) workers: Workers,
    topics: HashMap<Topic, LocalTopic>,
    histories: Histories,
    subscriptions: usize,
    limits: Limits,
    counters: Arc<Counters>,
    runner: u64,
    members: u64,
}

/// A topic with subscribers.
#[derive(Debug, Default)]
struct LocalTopic {
    subscribers: Subscribers,
    /// The history that its subscribers want: it comes back with the next publication if it had to go.
    keep: Option<Keep>,
}

impl Local {
    pub(crate) fn new(limits: Limits, counters: Arc<Counters>) -> Self {
        Self {
            workers: Workers::default(),
            topics: HashMap::new(),
            histories: Histories::new(limits.history.clone()),
            subscriptions: 0,
            limits,
            counters,
            runner: RandomState::new().hash_one("runner"),
            members: 0,
        }
    }

    pub(crate) fn subscribe(
        &mut self,
        worker: WorkerId,
        generation: Generation,
        wanted: Subscription,
        now: Instant,
    ) {
        let key = (worker, wanted.subscriber);
        if let Some(reason) = self.refusal(key, &wanted) {
            return self.refuse(worker, generation, wanted, reason, now);
        }
        let Subscription { topic, start, .. } = &wanted;
        let subscriber = self.subscriber(key, &wanted);
        let entry = self.topics.entry(topic.clone()).or_default();
        let before = entry.subscribers.insert(key, subscriber.clone());
        self.subscriptions += usize::from(before.is_none());
        if let Some(keep) = wanted
            .keep
            .and_then(|keep| self.limits.history.allowed(keep))
        {
            self.histories.keep(topic, keep, now);
            entry.keep = Some(entry.keep.map_or(keep, |other| other.max_of_both(keep)));
        }
        let read = self.histories.read(topic, *start, now);
        self.counters.count_recovery(*start, read.recovered);
        if let Some(mailbox) = self.workers.get(worker) {
            mailbox.answer(
                generation,
                Arrival::Subscribed {
                    subscriber: wanted.subscriber,
                    topic: topic.clone(),
                    position: read.position,
                    recovered: read.recovered,
                    missed: read.missed,
                },
            );
        }
        self.announce_change(topic, before.and_then(|one| one.member), subscriber.member);
    }

    pub(crate) fn unsubscribe(&mut self, key: Key, topic: &Topic, now: Instant) {
        let Some(entry) = self.topics.get_mut(topic) else {
            return;
        };
        let Some(left) = entry.subscribers.remove(key) else {
            return;
        };
        self.subscriptions -= 1;
        self.announce_change(topic, left.member, None);
        if self
            .topics
            .get(topic)
            .is_some_and(|entry| entry.subscribers.is_empty())
        {
            self.topics.remove(topic);
            self.histories.touch(topic, now);
        }
    }

    pub(crate) fn publish(
        &mut self,
        topic: &Topic,
        message: Message,
        exclude: Option<Key>,
        now: Instant,
    ) {
        self.counters.publications.add(1);
        let topics = &self.topics;
        self.histories
            .remove_expired(|topic| topics.contains_key(topic), now);
        let entry = self.topics.get(topic);
        if let Some(keep) = entry.and_then(|entry| entry.keep) {
            self.histories.keep(topic, keep, now);
        }
        let publication = Publication {
            message,
            position: None,
            exclude: None,
        };
        let publication = self.histories.add(topic, publication, now);
        if let Some(entry) = entry {
            entry
                .subscribers
                .deliver(&self.workers, topic, &publication, exclude);
        }
    }

    pub(crate) fn list_members(&self, key: Key, topic: &Topic) {
        let Some(mailbox) = self.workers.get(key.0) else {
            return;
        };
        let subscribers = self.topics.get(topic).map(|entry| &entry.subscribers);
        let members = subscribers.into_iter().flat_map(Subscribers::members);
        mailbox.reply(Arrival::Members {
            subscriber: key.1,
            topic: topic.clone(),
            count: subscribers.map_or(0, Subscribers::member_count) as u64,
            members: members.take(self.limits.listed_members).cloned().collect(),
            is_partial: false,
        });
    }

    /// Removes a worker and its subscribers.
    pub(crate) fn detach(&mut self, worker: WorkerId, now: Instant) {
        self.workers.remove(worker);
        let of_worker = |(topic, entry): (&Topic, &LocalTopic)| {
            let keys = entry.subscribers.keys().filter(|key| key.0 == worker);
            keys.map(|key| (key, topic.clone())).collect::<Vec<_>>()
        };
        let gone: Vec<_> = self.topics.iter().flat_map(of_worker).collect();
        for (key, topic) in gone {
            self.unsubscribe(key, &topic, now);
        }
    }

    pub(crate) fn topic(&self, name: &Topic) -> Option<TopicDetails> {
        let entry = self.topics.get(name);
        let position = self.histories.position(name);
        if entry.is_none() && position.is_none() {
            return None;
        }
        let subscribers = entry.map(|entry| &entry.subscribers);
        Some(TopicDetails {
            topic: name.clone(),
            subscribers: subscribers.map_or(0, Subscribers::len),
            members: subscribers.map_or(0, Subscribers::member_count),
            position,
        })
    }

    /// Visits the name of every topic with subscribers or history; of some, twice.
    pub(crate) fn each_topic(&self, visit: &mut dyn FnMut(&Topic)) {
        self.topics.keys().for_each(&mut *visit);
        self.histories.topics().for_each(visit);
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            engine: EngineState::Local,
            unconfirmed: 0,
            unconfirmed_bytes: 0,
            lag: Duration::ZERO,
            topics: self.topics.len(),
            subscriptions: self.subscriptions,
            history_bytes: self.histories.bytes(),
        }
    }

    fn refusal(&self, key: Key, wanted: &Subscription) -> Option<Refusal> {
        let entry = self.topics.get(&wanted.topic);
        if wanted
            .member
            .as_ref()
            .is_some_and(|info| info.len() > MAX_MEMBER_INFO)
        {
            Some(Refusal::MemberTooLong)
        } else if entry.is_none() && self.topics.len() >= self.limits.topics {
            Some(Refusal::TooManyTopics)
        } else if entry.is_some_and(|entry| entry.subscribers.contains(key)) {
            None
        } else if self.subscriptions >= self.limits.subscriptions {
            Some(Refusal::TooManySubscriptions)
        } else {
            None
        }
    }

    fn refuse(
        &mut self,
        worker: WorkerId,
        generation: Generation,
        wanted: Subscription,
        reason: Refusal,
        now: Instant,
    ) {
        // A subscription that this one was to replace ends with it.
        self.unsubscribe((worker, wanted.subscriber), &wanted.topic, now);
        if let Some(mailbox) = self.workers.get(worker) {
            mailbox.answer(
                generation,
                Arrival::Refused {
                    subscriber: wanted.subscriber,
                    topic: wanted.topic,
                    reason,
                },
            );
        }
    }

    /// A member that subscribes again stays the same member.
    fn subscriber(&mut self, key: Key, wanted: &Subscription) -> Subscriber {
        let entry = self.topics.get(&wanted.topic);
        let known = entry.and_then(|entry| entry.subscribers.get(key)?.member.as_ref());
        let known = known.map(|member| member.key);
        let member = wanted.member.clone().map(|info| Member {
            key: known.unwrap_or_else(|| self.next_member()),
            info,
        });
        Subscriber {
            member,
            watches: wanted.watches_members,
        }
    }

    fn next_member(&mut self) -> MemberKey {
        self.members += 1;
        MemberKey {
            runner: self.runner,
            number: self.members,
        }
    }

    fn announce_change(&self, topic: &Topic, before: Option<Member>, after: Option<Member>) {
        let Some(entry) = self.topics.get(topic) else {
            return;
        };
        let topic_name = topic.clone();
        let arrival = match (before, after) {
            (before, Some(member)) if before.as_ref() != Some(&member) => Arrival::Joined {
                topic: topic_name,
                member,
            },
            (Some(member), None) => Arrival::Left {
                topic: topic_name,
                member,
            },
            _ => return,
        };
        entry.subscribers.announce(&self.workers, topic, &arrival);
    }
}

#[cfg(test)]
mod tests;
