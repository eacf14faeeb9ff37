//! What carries publications: the process itself, or an engine.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::PublishError;
use crate::delivery::mailbox::{Generation, Mailbox};
pub(super) use crate::delivery::subscribers::Key;
use crate::delivery::subscribers::WorkerId;
use crate::driver::{Driver, NotPublished};
use crate::local::Local;
use crate::message::{Message, Subscription};
use crate::observe::status::{Status, TopicDetails, TopicsPage};
use crate::topic::Topic;

/// What carries publications.
pub(super) enum Carrier {
    Local(Local),
    Engine(Driver),
}

impl Carrier {
    pub(super) fn attach(&mut self, mailbox: Arc<Mailbox>) -> WorkerId {
        match self {
            Self::Local(local) => local.workers.add(mailbox),
            Self::Engine(driver) => driver.workers.add(mailbox),
        }
    }

    pub(super) fn detach(&mut self, worker: WorkerId, now: Instant) {
        match self {
            Self::Local(local) => local.detach(worker, now),
            Self::Engine(driver) => driver.detach(worker, now),
        }
    }

    pub(super) fn subscribe(
        &mut self,
        worker: WorkerId,
        generation: Generation,
        wanted: Subscription,
        now: Instant,
    ) {
        match self {
            Self::Local(local) => local.subscribe(worker, generation, wanted, now),
            Self::Engine(driver) => driver.subscribe(worker, generation, wanted, now),
        }
    }

    pub(super) fn unsubscribe(&mut self, key: Key, topic: &Topic, now: Instant) {
        match self {
            Self::Local(local) => local.unsubscribe(key, topic, now),
            Self::Engine(driver) => driver.unsubscribe(key, topic, now),
        }
    }

    pub(super) fn publish(
        &mut self,
        topic: &Topic,
        message: Message,
        exclude: Option<Key>,
        now: Instant,
    ) -> Result<(), PublishError> {
        match self {
            Self::Local(local) => {
                let is_published = local.publish(topic, message, exclude, now);
                is_published.then_some(()).ok_or(PublishError::Busy)
            }
            Self::Engine(driver) => Ok(driver.publish(topic, message, exclude, now)?),
        }
    }

    pub(super) fn list_members(&mut self, key: Key, topic: &Topic, now: Instant) {
        match self {
            Self::Local(local) => local.list_members(key, topic),
            Self::Engine(driver) => driver.list_members(key, topic, now),
        }
    }

    pub(super) fn topic(&self, name: &Topic) -> Option<TopicDetails> {
        match self {
            Self::Local(local) => local.topic(name),
            Self::Engine(driver) => driver.topic(name),
        }
    }

    pub(super) fn status(&self, now: Instant) -> Status {
        match self {
            Self::Local(local) => local.status(),
            Self::Engine(driver) => driver.status(now),
        }
    }

    /// A page of topics, by name. It goes through all names, but holds no more than a page.
    pub(super) fn topics(&self, page: &TopicsPage) -> Vec<TopicDetails> {
        let mut names = BTreeSet::new();
        self.each_topic(&mut |topic| {
            let is_after = page.after.as_ref().is_none_or(|after| topic > after);
            if !is_after || !topic.as_str().starts_with(&page.prefix) {
                return;
            }
            let is_beyond = names.len() >= page.limit && names.last() < Some(topic);
            if !is_beyond {
                names.insert(topic.clone());
            }
            if names.len() > page.limit {
                names.pop_last();
            }
        });
        let details = names.iter().filter_map(|name| self.topic(name));
        details.collect()
    }

    /// The topics of this process, if no engine connects them with others.
    pub(super) fn local(&mut self) -> Option<&mut Local> {
        match self {
            Self::Local(local) => Some(local),
            Self::Engine(_) => None,
        }
    }

    /// The topics that an engine joins, if there is one.
    pub(super) fn driver(&mut self) -> Option<&mut Driver> {
        match self {
            Self::Local(_) => None,
            Self::Engine(driver) => Some(driver),
        }
    }

    fn each_topic(&self, visit: &mut dyn FnMut(&Topic)) {
        match self {
            Self::Local(local) => local.each_topic(visit),
            Self::Engine(driver) => driver.each_topic(visit),
        }
    }
}

impl From<NotPublished> for PublishError {
    fn from(error: NotPublished) -> Self {
        match error {
            NotPublished::Busy => Self::Busy,
            NotPublished::OnlyHere => Self::OnlyHere,
        }
    }
}
