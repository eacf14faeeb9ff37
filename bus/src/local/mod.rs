//! The bus of one process, without an engine.

mod history;
mod twin;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::delivery::arrival::{Arrival, Refusal};
use crate::delivery::mailbox::Generation;
use crate::delivery::subscribers::{Key, Subscriber, Subscribers, WorkerId, Workers};
use crate::limits::Limits;
use crate::message::twin::{Change, Publisher};
use crate::message::{
    Keep, MAX_MEMBER_INFO, Member, MemberKey, Message, Publication, Subscription,
};
use crate::observe::counters::Counters;
use crate::observe::status::{EngineState, Status, TopicDetails};
use crate::topic::Topic;
use history::Histories;
use twin::{FarMembers, Role};

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
    /// Whether another process shares the topics.
    role: Role,
    /// The members of that process.
    far: FarMembers,
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
            role: Role::Alone,
            far: FarMembers::new(),
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
        let allowed = |keep| self.limits.history.allowed(keep);
        let keep = wanted.keep.and_then(allowed);
        if self.waits_for_history(worker, generation, &wanted, keep) {
            return;
        }
        let Subscription { topic, start, .. } = &wanted;
        let subscriber = self.subscriber(key, &wanted);
        let entry = self.topics.entry(topic.clone()).or_default();
        let before = entry.subscribers.insert(key, subscriber.clone());
        self.subscriptions += usize::from(before.is_none());
        if let Some(keep) = keep {
            entry.keep = Some(entry.keep.map_or(keep, |other| other.max_of_both(keep)));
            self.keep(topic, keep, now);
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

    /// Gives a topic a history, which a follower has requested from the leader.
    fn keep(&mut self, topic: &Topic, keep: Keep, now: Instant) {
        if matches!(self.role, Role::Follower(_)) {
            return;
        }
        self.histories.keep(topic, keep, now);
        self.tell_follower(|| Change::Kept(topic.clone(), self.histories.kept(topic)));
    }

    pub(crate) fn unsubscribe(&mut self, key: Key, topic: &Topic, now: Instant) {
        self.wait_no_more(|worker, wanted| {
            (worker, wanted.subscriber) == key && wanted.topic == *topic
        });
        let Some(entry) = self.topics.get_mut(topic) else {
            return;
        };
        let Some(left) = entry.subscribers.remove(key) else {
            return;
        };
        self.subscriptions -= 1;
        self.announce_change(topic, left.member, None);
        self.remove_if_unused(topic, now);
    }

    /// Removes a topic without subscribers. Its history stays for some time.
    fn remove_if_unused(&mut self, topic: &Topic, now: Instant) {
        if self
            .topics
            .get(topic)
            .is_some_and(|entry| entry.subscribers.is_empty())
        {
            self.topics.remove(topic);
            self.histories.touch(topic, now);
        }
    }

    /// Returns false if too many wishes are pending: see [`wish_to_publish`](Self::wish_to_publish).
    pub(crate) fn publish(
        &mut self,
        topic: &Topic,
        message: Message,
        exclude: Option<Key>,
        now: Instant,
    ) -> bool {
        if matches!(self.role, Role::Follower(_)) {
            let is_asked = self.wish_to_publish(topic, message, exclude);
            self.counters.publications.add(usize::from(is_asked));
            return is_asked;
        }
        self.publish_by(topic, message, exclude, Publisher::Leader, now);
        true
    }

    /// Publishes, and tells the follower whose publication it is.
    fn publish_by(
        &mut self,
        topic: &Topic,
        message: Message,
        exclude: Option<Key>,
        by: Publisher,
        now: Instant,
    ) {
        self.counters.publications.add(1);
        let topics = &self.topics;
        self.histories
            .remove_expired(|topic| topics.contains_key(topic), now);
        let entry = self.topics.get(topic);
        if let Some(keep) = entry.and_then(|entry| entry.keep) {
            let is_new = self.histories.kept(topic).is_none();
            self.histories.keep(topic, keep, now);
            if is_new {
                self.tell_follower(|| Change::Kept(topic.clone(), self.histories.kept(topic)));
            }
        }
        let publication = Publication {
            message,
            position: None,
            exclude: None,
        };
        let publication = self.histories.add(topic, publication, now);
        self.tell_follower(|| Change::Published {
            topic: topic.clone(),
            message: publication.message.clone(),
            position: publication.position,
            by,
        });
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
        let members = members.chain(self.far_members(topic));
        mailbox.reply(Arrival::Members {
            subscriber: key.1,
            topic: topic.clone(),
            count: self.member_count(topic) as u64,
            members: members.take(self.limits.listed_members).cloned().collect(),
            is_partial: false,
        });
    }

    fn member_count(&self, topic: &Topic) -> usize {
        let entry = self.topics.get(topic);
        let own = entry.map_or(0, |entry| entry.subscribers.member_count());
        own + self.far_members(topic).count()
    }

    /// Removes a worker and its subscribers.
    pub(crate) fn detach(&mut self, worker: WorkerId, now: Instant) {
        self.workers.remove(worker);
        self.wait_no_more(|of, _| of == worker);
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
            members: self.member_count(name),
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
            away: None,
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
        let Some(arrival) = change(topic, before, after) else {
            return;
        };
        match &arrival {
            Arrival::Joined { member, .. } => self.tell(topic, member.clone(), true),
            Arrival::Left { member, .. } => self.tell(topic, member.clone(), false),
            _ => {}
        }
        if let Some(entry) = self.topics.get(topic) {
            entry.subscribers.announce(&self.workers, topic, &arrival);
        }
    }
}

/// What others see of a member that has changed.
fn change(topic: &Topic, before: Option<Member>, after: Option<Member>) -> Option<Arrival> {
    let topic = topic.clone();
    match (before, after) {
        (before, Some(member)) if before.as_ref() != Some(&member) => {
            Some(Arrival::Joined { topic, member })
        }
        (Some(member), None) => Some(Arrival::Left { topic, member }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
