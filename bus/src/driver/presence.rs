//! Members.
//!
//! Those who watch are told of each change once: what they were told is remembered, and compared with the engine's list
//! after it was away.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;

use super::Driver;
use super::requests::{IsFirst, Purpose};
use super::topic::{Flow, State};
use crate::delivery::arrival::Arrival;
use crate::delivery::subscribers::{Key, Subscriber};
use crate::engine::{MemberKey, Members, Request, Response};
use crate::message::Member;
use crate::topic::Topic;

impl Driver {
    pub(crate) fn list_members(&mut self, key: Key, topic: &Topic, now: Instant) {
        if self.is_connected() {
            let request = Request::Members(topic.clone(), self.limits.listed_members);
            self.begin(request, Purpose::List(topic.clone(), key), now);
        } else {
            self.listed(topic, key, None);
        }
    }

    /// Answers who the members are: all, or those of this process if the engine did not say.
    pub(super) fn listed(&self, topic: &Topic, key: Key, response: Option<Response>) {
        let Some(mailbox) = self.workers.get(key.0) else {
            return;
        };
        let is_partial = !matches!(response, Some(Response::Members(_)));
        let (count, members) = match response {
            Some(Response::Members(members)) => (members.count, listed(members)),
            _ => self.members_here(topic),
        };
        mailbox.reply(Arrival::Members {
            subscriber: key.1,
            topic: topic.clone(),
            count,
            members,
            is_partial,
        });
    }

    fn members_here(&self, topic: &Topic) -> (u64, Vec<Member>) {
        let Some(state) = self.topics.get(topic) else {
            return (0, vec![]);
        };
        let members = state.subscribers.members().cloned();
        let members = members.take(self.limits.listed_members).collect();
        (state.subscribers.member_count() as u64, members)
    }

    /// A subscriber has become live.
    pub(super) fn enter(
        &mut self,
        topic: &Topic,
        state: &mut State,
        subscriber: &Subscriber,
        now: Instant,
    ) {
        if subscriber.watches && state.known.is_none() {
            state.known = Some(BTreeMap::new());
            self.ask_members(topic, true, now);
        }
        let Some(Member { key, info }) = subscriber.member.clone() else {
            return;
        };
        if self.is_connected() {
            let request = Request::Enter(topic.clone(), key, info);
            self.begin(request, Purpose::Other, now);
        } else {
            self.tell_joined(topic, state, key, info);
        }
    }

    /// A live subscriber has left.
    pub(super) fn leave(
        &mut self,
        topic: &Topic,
        state: &mut State,
        subscriber: Subscriber,
        now: Instant,
    ) {
        if !state.subscribers.is_watched() {
            state.known = None;
        }
        let Some(Member { key, info }) = subscriber.member else {
            return;
        };
        if self.is_connected() {
            self.begin_leave(topic.clone(), key, now);
        } else {
            if key.number <= self.entered {
                self.departed.push((topic.clone(), key));
            }
            self.tell_left(topic, state, key, info);
        }
    }

    pub(super) fn begin_leave(&mut self, topic: Topic, key: MemberKey, now: Instant) {
        let request = Request::Leave(topic.clone(), key);
        self.begin(request, Purpose::Leave(topic, key), now);
    }

    /// Enters all members again: the engine may have lost them.
    pub(super) fn enter_all(&mut self, now: Instant) {
        let mut requests = vec![];
        for (topic, state) in &self.topics {
            let members = state.subscribers.members();
            requests.extend(
                members.map(|one| Request::Enter(topic.clone(), one.key, one.info.clone())),
            );
        }
        for request in requests {
            self.begin(request, Purpose::Other, now);
        }
    }

    /// Asks who the members are, so as to tell what has changed.
    pub(super) fn ask_members(&mut self, topic: &Topic, is_first: IsFirst, now: Instant) {
        if self.is_connected() {
            let request = Request::Members(topic.clone(), self.limits.listed_members);
            self.begin(request, Purpose::Compare(topic.clone(), is_first), now);
        }
    }

    /// Tells those who watch what has changed.
    pub(super) fn compare(&mut self, topic: &Topic, is_first: IsFirst, response: Option<Response>) {
        let Some(Response::Members(members)) = response else {
            return;
        };
        let is_all = members.count == members.listed.len() as u64;
        let listed: BTreeMap<_, _> = members.listed.into_iter().collect();
        self.with_topic(topic, |driver, state| {
            let Some(known) = state.known.clone() else {
                return;
            };
            if is_first {
                let known = state.known.get_or_insert_default();
                known.extend(listed);
                return;
            }
            for (key, info) in &known {
                if is_all && !listed.contains_key(key) {
                    driver.tell_left(topic, state, *key, info.clone());
                }
            }
            for (key, info) in listed {
                driver.tell_joined(topic, state, key, info);
            }
        });
    }

    /// The engine says that a member has come.
    pub(super) fn joined(&mut self, topic: &Topic, key: MemberKey, info: Bytes) {
        self.with_topic(topic, |driver, state| {
            if state.flow != Flow::Off {
                driver.tell_joined(topic, state, key, info);
            }
        });
    }

    /// The engine says that a member has left.
    pub(super) fn left(&mut self, topic: &Topic, key: MemberKey, info: Bytes) {
        self.with_topic(topic, |driver, state| {
            if state.flow != Flow::Off {
                driver.tell_left(topic, state, key, info);
            }
        });
    }

    fn tell_joined(&self, topic: &Topic, state: &mut State, key: MemberKey, info: Bytes) {
        let Some(known) = &mut state.known else {
            return;
        };
        if known.get(&key) == Some(&info) {
            return;
        }
        if known.len() < self.limits.listed_members {
            known.insert(key, info.clone());
        }
        let joined = Arrival::Joined {
            topic: topic.clone(),
            member: Member { key, info },
        };
        state.subscribers.announce(&self.workers, topic, &joined);
    }

    fn tell_left(&self, topic: &Topic, state: &mut State, key: MemberKey, info: Bytes) {
        let Some(known) = &mut state.known else {
            return;
        };
        let was_known = known.remove(&key);
        if was_known.is_none() && known.len() < self.limits.listed_members {
            return;
        }
        let left = Arrival::Left {
            topic: topic.clone(),
            member: Member { key, info },
        };
        state.subscribers.announce(&self.workers, topic, &left);
    }
}

fn listed(members: Members) -> Vec<Member> {
    let listed = members.listed.into_iter();
    listed.map(|(key, info)| Member { key, info }).collect()
}
