//! Topics that two processes share while one takes over from the other: see [`twin`](crate::message::twin).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::mem;
use std::time::Instant;

use super::Local;
use crate::delivery::arrival::Arrival;
use crate::delivery::mailbox::Generation;
use crate::delivery::subscribers::{Key, Subscriber, WorkerId};
use crate::message::twin::{Change, Place, Publisher, Released, Sink, Wish};
use crate::message::{Keep, Member, MemberKey, Message, Publication, Subscription};
use crate::topic::Topic;

/// The members that are subscribers of the other process.
pub(super) type FarMembers = HashMap<Topic, BTreeMap<MemberKey, Member>>;

/// The role of this process.
#[derive(Default)]
pub(super) enum Role {
    /// There is no other process.
    #[default]
    Alone,
    /// It tells the other process what happens here.
    Leader(Sink<Change>),
    /// It asks the other process for what is to happen here.
    Follower(Box<Following>),
}

/// What a follower waits for.
pub(super) struct Following {
    sink: Sink<Wish>,
    /// Its publications that have not come back yet.
    unechoed: VecDeque<(Topic, Message, Option<Key>)>,
    unechoed_bytes: usize,
    /// Subscriptions that want a history that their topic does not have yet.
    waiting: Vec<(WorkerId, Generation, Subscription)>,
    /// The subscribers whose subscriptions have yet to arrive, by the number of their connection in the handover.
    expected: HashMap<u64, Key>,
}

impl Local {
    /// Tells another process the current state, and all changes from now on.
    pub(crate) fn lead(&mut self, sink: Sink<Change>, now: Instant) {
        let topics: Vec<_> = self.histories.topics().cloned().collect();
        for topic in topics {
            sink(Change::Kept(topic.clone(), self.histories.kept(&topic)));
            for (publication, age) in self.histories.entries(&topic, now) {
                let (message, position) = (publication.message.clone(), publication.position);
                if let Some(position) = position {
                    sink(Change::Recorded(topic.clone(), message, position, age));
                }
            }
        }
        for (topic, entry) in &self.topics {
            for member in entry.subscribers.members() {
                sink(Change::Joined(topic.clone(), member.clone()));
            }
        }
        self.role = Role::Leader(sink);
    }

    /// Repeats the changes of another process, and asks it for those wanted here.
    pub(crate) fn follow(&mut self, sink: Sink<Wish>) {
        self.role = Role::Follower(Box::new(Following {
            sink,
            unechoed: VecDeque::new(),
            unechoed_bytes: 0,
            waiting: Vec::new(),
            expected: HashMap::new(),
        }));
    }

    /// Whether subscriptions can go to another process.
    pub(crate) fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// The other process is gone: what it had not decided is decided here, and its members leave.
    pub(crate) fn part(&mut self, now: Instant) {
        let role = mem::take(&mut self.role);
        if let Role::Follower(following) = role {
            for (topic, message, exclude) in following.unechoed {
                // A process on its own refuses nothing.
                let _ = self.publish(&topic, message, exclude, now);
            }
            for (worker, generation, wanted) in following.waiting {
                self.subscribe(worker, generation, wanted, now);
            }
        }
        for (topic, members) in mem::take(&mut self.far) {
            for member in members.into_values() {
                self.announce_far(&topic, Some(member), None);
            }
            self.remove_if_unused(&topic, now);
        }
    }

    /// Asks the leader to publish. Returns false if too many publications have not come back yet.
    pub(super) fn wish_to_publish(
        &mut self,
        topic: &Topic,
        message: Message,
        exclude: Option<Key>,
    ) -> bool {
        let most = self.limits.unconfirmed;
        let Role::Follower(following) = &mut self.role else {
            return false;
        };
        let bytes = following
            .unechoed_bytes
            .saturating_add(message.bytes.len().saturating_add(OVERHEAD));
        if bytes > most {
            return false;
        }
        following.unechoed_bytes = bytes;
        let place = exclude.map(|(WorkerId(worker), subscriber)| (worker, subscriber));
        (following.sink)(Wish::Publish(topic.clone(), message.clone(), place));
        following
            .unechoed
            .push_back((topic.clone(), message, exclude));
        true
    }

    /// Whether a subscription waits until the leader has given its topic the history that it wants.
    pub(super) fn waits_for_history(
        &mut self,
        worker: WorkerId,
        generation: Generation,
        wanted: &Subscription,
        keep: Option<Keep>,
    ) -> bool {
        let Role::Follower(following) = &mut self.role else {
            return false;
        };
        let kept = self.histories.kept(&wanted.topic).map(|(keep, _)| keep);
        let Some(keep) = keep.filter(|keep| !kept.is_some_and(|kept| kept.covers(*keep))) else {
            return false;
        };
        (following.sink)(Wish::Keep(wanted.topic.clone(), keep));
        if kept.is_none() {
            following.waiting.push((worker, generation, wanted.clone()));
        }
        kept.is_none()
    }

    /// Forgets a subscription that waits for history.
    pub(super) fn wait_no_more(&mut self, is_meant: impl Fn(WorkerId, &Subscription) -> bool) {
        if let Role::Follower(following) = &mut self.role {
            following
                .waiting
                .retain(|(worker, _, wanted)| !is_meant(*worker, wanted));
        }
    }

    /// Tells the other process about a member of this one.
    pub(super) fn tell(&self, topic: &Topic, member: Member, has_joined: bool) {
        let topic = topic.clone();
        match &self.role {
            Role::Alone => {}
            Role::Leader(sink) if has_joined => sink(Change::Joined(topic, member)),
            Role::Leader(sink) => sink(Change::Left(topic, member)),
            Role::Follower(following) if has_joined => {
                (following.sink)(Wish::Join(topic, member));
            }
            Role::Follower(following) => (following.sink)(Wish::Leave(topic, member)),
        }
    }

    /// Tells the follower about a publication, or a topic's history.
    pub(super) fn tell_follower(&self, change: impl FnOnce() -> Change) {
        if let Role::Leader(sink) = &self.role {
            sink(change());
        }
    }
}

/// The leader.
impl Local {
    /// Grants a wish of the follower.
    pub(crate) fn grant(&mut self, wish: Wish, now: Instant) {
        match wish {
            Wish::Publish(topic, message, place) => {
                self.publish_by(&topic, message, None, Publisher::Follower(place), now);
            }
            Wish::Keep(topic, keep) => {
                if let Some(keep) = self.limits.history.allowed(keep) {
                    self.keep(&topic, keep, now);
                } else {
                    self.tell_follower(|| Change::Kept(topic, None));
                }
            }
            Wish::Join(topic, member) => self.far_joined(&topic, member),
            Wish::Leave(topic, member) => self.far_left(&topic, &member, now),
        }
    }

    /// Gives the follower the subscriptions of a connection. Anything still delivered here comes after
    /// [`Arrival::Released`].
    pub(crate) fn release(&mut self, key: Key, topics: &[Topic], number: u64) {
        let mut released = Vec::new();
        for topic in topics {
            let entry = self.topics.get_mut(topic);
            let subscriber = entry.and_then(|entry| entry.subscribers.release(key));
            let Some(subscriber) = subscriber else {
                continue;
            };
            if let Some(member) = &subscriber.member {
                let far = self.far.entry(topic.clone()).or_default();
                far.insert(member.key, member.clone());
            }
            released.push(Released {
                topic: topic.clone(),
                member: subscriber.member,
                watches: subscriber.watches,
            });
        }
        self.tell_follower(|| Change::Released(number, released));
        if let Some(mailbox) = self.workers.get(key.0) {
            mailbox.release(key.1, topics);
        }
    }

    /// The connection stays: the follower is gone.
    pub(crate) fn retain(&mut self, key: Key, topics: &[Topic]) {
        for topic in topics {
            let entry = self.topics.get_mut(topic);
            let Some(member) = entry.and_then(|entry| entry.subscribers.retain(key)) else {
                continue;
            };
            let far = self.far.get_mut(topic);
            if far.and_then(|far| far.remove(&member.key)).is_none() {
                // Others have been told that it had left.
                self.announce_far(topic, None, Some(member));
            }
        }
    }
}

/// The follower.
impl Local {
    /// Repeats a change of the leader.
    pub(crate) fn apply(&mut self, change: Change, now: Instant) {
        match change {
            Change::Kept(topic, kept) => self.apply_kept(&topic, kept, now),
            Change::Recorded(topic, message, position, age) => {
                let publication = Publication {
                    message,
                    position: Some(position),
                    exclude: None,
                };
                let at = now.checked_sub(age).unwrap_or(now);
                self.histories.record(&topic, publication, at, now);
            }
            Change::Published {
                topic,
                message,
                position,
                by,
            } => {
                let exclude = self.echoed(&by);
                let publication = Publication {
                    message,
                    position,
                    exclude: None,
                };
                let publication = self.histories.record(&topic, publication, now, now);
                if let Some(entry) = self.topics.get(&topic) {
                    let workers = &self.workers;
                    entry
                        .subscribers
                        .deliver(workers, &topic, &publication, exclude);
                }
            }
            Change::Joined(topic, member) => self.far_joined(&topic, member),
            Change::Left(topic, member) => self.far_left(&topic, &member, now),
            Change::Released(number, subscriptions) => self.take_over(number, subscriptions),
        }
    }

    /// Expects the subscriptions of this subscriber, whose connection has this number in the handover.
    pub(crate) fn expect(&mut self, key: Key, number: u64) {
        if let Role::Follower(following) = &mut self.role {
            following.expected.insert(number, key);
        }
    }

    fn apply_kept(
        &mut self,
        topic: &Topic,
        kept: Option<(Keep, crate::position::Position)>,
        now: Instant,
    ) {
        if let Some((keep, position)) = kept {
            self.histories.adopt(topic, keep, position, now);
        }
        let Role::Follower(following) = &mut self.role else {
            return;
        };
        let is_meant =
            |waiting: &mut (WorkerId, Generation, Subscription)| waiting.2.topic == *topic;
        let ready: Vec<_> = following.waiting.extract_if(.., is_meant).collect();
        for (worker, generation, wanted) in ready {
            // The topic has the history, or cannot have it.
            let wanted = Subscription {
                keep: kept.map(|(keep, _)| keep),
                ..wanted
            };
            self.subscribe(worker, generation, wanted, now);
        }
    }

    /// The subscriber of this process that a publication is not for, if any.
    fn echoed(&mut self, by: &Publisher) -> Option<Key> {
        let Publisher::Follower(place) = by else {
            return None;
        };
        if let Role::Follower(following) = &mut self.role
            && let Some((_, message, _)) = following.unechoed.pop_front()
        {
            let bytes = message.bytes.len().saturating_add(OVERHEAD);
            following.unechoed_bytes = following.unechoed_bytes.saturating_sub(bytes);
        }
        place.map(|(worker, subscriber): Place| (WorkerId(worker), subscriber))
    }

    fn take_over(&mut self, number: u64, subscriptions: Vec<Released>) {
        let Role::Follower(following) = &mut self.role else {
            return;
        };
        let Some(key) = following.expected.remove(&number) else {
            return;
        };
        for Released {
            topic,
            member,
            watches,
        } in subscriptions
        {
            if let Some(member) = &member
                && let Some(members) = self.far.get_mut(&topic)
            {
                members.remove(&member.key);
            }
            let keep = self.histories.kept(&topic).map(|(keep, _)| keep);
            let entry = self.topics.entry(topic).or_default();
            entry.keep = entry.keep.or(keep);
            let subscriber = Subscriber {
                member,
                watches,
                away: None,
            };
            let before = entry.subscribers.insert(key, subscriber);
            self.subscriptions += usize::from(before.is_none());
        }
        if let Some(mailbox) = self.workers.get(key.0) {
            mailbox.reply(Arrival::Resumed { subscriber: key.1 });
        }
    }
}

/// The number of bytes that a publication counts for in addition to its message.
const OVERHEAD: usize = 128;

/// Members of the other process.
impl Local {
    fn far_joined(&mut self, topic: &Topic, member: Member) {
        let members = self.far.entry(topic.clone()).or_default();
        let before = members.insert(member.key, member.clone());
        self.announce_far(topic, before, Some(member));
    }

    fn far_left(&mut self, topic: &Topic, member: &Member, now: Instant) {
        let Some(members) = self.far.get_mut(topic) else {
            return;
        };
        let left = members.remove(&member.key);
        if members.is_empty() {
            self.far.remove(topic);
        }
        self.announce_far(topic, left, None);
        self.remove_if_unused(topic, now);
    }

    fn announce_far(&self, topic: &Topic, before: Option<Member>, after: Option<Member>) {
        if let Some(arrival) = super::change(topic, before, after)
            && let Some(entry) = self.topics.get(topic)
        {
            entry.subscribers.announce(&self.workers, topic, &arrival);
        }
    }

    /// The members of a topic that are subscribers of the other process.
    pub(super) fn far_members(&self, topic: &Topic) -> impl Iterator<Item = &Member> {
        self.far
            .get(topic)
            .into_iter()
            .flat_map(|members| members.values())
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alone => "Alone",
            Self::Leader(_) => "Leader",
            Self::Follower(_) => "Follower",
        })
    }
}
