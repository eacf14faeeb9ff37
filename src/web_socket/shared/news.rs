//! What has come of topics, and has not been taken.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;
use core::task::Waker;

use crate::protocol::Prepared;
use crate::topics::{TopicEvent, TopicOperation};
use crate::web_socket::Published;

/// The most bytes that may wait: for the app, or for the end of a message that is being sent.
pub(super) const MAX_WAITING: usize = 1 << 20;

/// What an item counts for besides its message.
const ITEM: usize = 64;

/// The most refusals that wait for the app.
const MAX_REFUSALS: usize = 16;

/// What has come of topics. On the heap, and only there once something has.
#[derive(Debug, Default)]
pub(super) struct News(Option<Box<Inner>>);

#[derive(Debug, Default)]
pub(super) struct Inner {
    /// For the app.
    items: VecDeque<Published>,
    /// The bytes of the items.
    size: usize,
    /// Waiting for an item.
    pub(super) wakers: Vec<Waker>,
    pub(super) questions: Vec<Asked>,
    pub(super) last_question: u64,
    /// For the peer, after the message that is being sent.
    pub(super) held: Vec<Prepared>,
    pub(super) held_size: usize,
}

/// A question to the host, and its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) number: u64,
    pub(super) operation: TopicOperation,
    pub(super) topic: String,
    pub(super) waker: Option<Waker>,
    pub(super) answer: Option<TopicEvent>,
}

impl News {
    pub(super) fn inner(&mut self) -> &mut Inner {
        self.0.get_or_insert_default()
    }

    /// What was held for the peer.
    pub(super) fn take_held(&mut self) -> Vec<Prepared> {
        let Some(inner) = &mut self.0 else {
            return Vec::new();
        };
        inner.held_size = 0;
        mem::take(&mut inner.held)
    }

    /// Wakes all that wait.
    pub(super) fn wake_all(&mut self) {
        if let Some(inner) = &mut self.0 {
            inner.wakers.drain(..).for_each(Waker::wake);
            let wakers = inner.questions.iter_mut();
            let wakers = wakers.filter_map(|asked| asked.waker.take());
            wakers.for_each(Waker::wake);
            inner.held = Vec::new();
        }
    }
}

impl Inner {
    /// Returns false if there is no room.
    pub(super) fn push(&mut self, item: Published) -> bool {
        if self.is_superfluous(&item) {
            return true;
        }
        let size = self.size.saturating_add(size(&item));
        if !self.items.is_empty() && size > MAX_WAITING {
            return false;
        }
        self.size = size;
        self.items.push_back(item);
        self.wakers.drain(..).for_each(Waker::wake);
        true
    }

    /// An app that does not look has no room for what comes again and again.
    fn is_superfluous(&self, item: &Published) -> bool {
        let is_refusal = |item: &&Published| matches!(item, Published::Refused(_));
        match item {
            Published::Refused(_) => self.items.iter().filter(is_refusal).count() >= MAX_REFUSALS,
            Published::Gap(gap) => {
                let last = self
                    .items
                    .iter()
                    .rev()
                    .find_map(|own| topic_of(own, &gap.topic));
                matches!(last, Some(Published::Gap(_)))
            }
            _ => false,
        }
    }

    pub(super) fn pop(&mut self) -> Option<Published> {
        let item = self.items.pop_front()?;
        self.size = self.size.saturating_sub(size(&item));
        Some(item)
    }

    /// Answers a question; gives the answer back if there is none.
    pub(super) fn answer(&mut self, event: TopicEvent) -> Option<TopicEvent> {
        let (operation, topic) = match &event {
            TopicEvent::Subscribed(subscribed) => (TopicOperation::Subscribe, &subscribed.topic),
            TopicEvent::Members(members) => (TopicOperation::ListMembers, &members.topic),
            TopicEvent::Refused(refusal) => (refusal.operation, &refusal.topic),
            _ => return Some(event),
        };
        let is_meant = |asked: &&mut Asked| {
            asked.answer.is_none() && asked.operation == operation && asked.topic == *topic
        };
        let Some(asked) = self.questions.iter_mut().find(is_meant) else {
            return Some(event);
        };
        asked.answer = Some(event);
        if let Some(waker) = asked.waker.take() {
            waker.wake();
        }
        None
    }
}

/// The item, if it is of this topic.
fn topic_of<'a>(item: &'a Published, topic: &str) -> Option<&'a Published> {
    let own = match item {
        Published::Message(delivery) => &delivery.topic,
        Published::Gap(gap) => &gap.topic,
        Published::Joined(change) | Published::Left(change) => &change.topic,
        Published::Refused(refusal) => &refusal.topic,
    };
    (own == topic).then_some(item)
}

fn size(item: &Published) -> usize {
    let own = match item {
        Published::Message(delivery) => delivery.message.as_bytes().len(),
        Published::Joined(change) | Published::Left(change) => change.member.len(),
        Published::Gap(_) | Published::Refused(_) => 0,
    };
    own.saturating_add(ITEM)
}
