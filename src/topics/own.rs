use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use super::{
    MAX_TOPIC_NAME, MAX_TOPICS, Publication, Receiver, Subscription, SubscriptionRequest,
    TopicAction, TopicError, check_name,
};
use crate::protocol::{Disposition, Reader, ResumeError, Writer};

/// The topics of one connection: which it subscribes to and for whom, and what it wants of the host. The host keeps
/// the subscriptions themselves.
#[derive(Debug, Default)]
pub(crate) struct OwnTopics(
    /// On the heap, so that a connection without topics is no larger than before there were any.
    Option<Box<Topics>>,
);

#[derive(Debug, Default)]
struct Topics {
    subscribed: Vec<(String, Receiver)>,
    /// What the host has not been told yet.
    actions: Vec<TopicAction>,
}

impl OwnTopics {
    fn topics(&mut self) -> &mut Topics {
        self.0.get_or_insert_default()
    }

    fn subscribed(&self) -> &[(String, Receiver)] {
        self.0.as_ref().map_or(&[], |topics| &topics.subscribed)
    }

    /// Who is given what is published on a topic; `None` if the connection does not subscribe to it.
    pub(crate) fn receiver(&self, topic: &str) -> Option<Receiver> {
        let mut subscribed = self.subscribed().iter();
        let own = subscribed.find(|(own, _)| own == topic)?;
        Some(own.1)
    }

    /// Subscribes the peer; has no effect if there is a subscription.
    pub(crate) fn subscribe(&mut self, topic: String) -> Result<(), TopicError> {
        if self.receiver(&topic).is_some() {
            return Ok(());
        }
        self.request(Subscription::to(topic), false)
    }

    /// Subscribes, or replaces what an earlier subscription said. The host confirms it.
    pub(crate) fn subscribe_with(&mut self, subscription: Subscription) -> Result<(), TopicError> {
        self.request(subscription, true)
    }

    fn request(&mut self, subscription: Subscription, confirm: bool) -> Result<(), TopicError> {
        subscription.check()?;
        self.set_receiver(&subscription.topic, subscription.receiver)?;
        self.topics()
            .actions
            .push(TopicAction::Subscribe(SubscriptionRequest {
                topic: subscription.topic,
                start: subscription.start,
                keep: subscription.keep,
                member: subscription.member,
                watch_members: subscription.watch_members,
                confirm,
            }));
        Ok(())
    }

    fn set_receiver(&mut self, topic: &str, receiver: Receiver) -> Result<(), TopicError> {
        let subscribed = &mut self.topics().subscribed;
        if let Some(own) = subscribed.iter_mut().find(|(own, _)| own == topic) {
            own.1 = receiver;
            return Ok(());
        }
        if subscribed.len() >= MAX_TOPICS {
            return Err(TopicError::TooMany);
        }
        subscribed.push((topic.into(), receiver));
        Ok(())
    }

    /// Ends a subscription; has no effect if there is none.
    pub(crate) fn unsubscribe(&mut self, topic: &str) {
        if self.forget(topic) {
            let action = TopicAction::Unsubscribe(topic.into());
            self.topics().actions.push(action);
        }
    }

    /// Forgets a subscription that the host has ended; false if there is none.
    pub(crate) fn forget(&mut self, topic: &str) -> bool {
        let Some(topics) = &mut self.0 else {
            return false;
        };
        let before = topics.subscribed.len();
        topics.subscribed.retain(|(own, _)| own != topic);
        topics.subscribed.len() < before
    }

    /// Ends all subscriptions.
    pub(crate) fn leave(&mut self) {
        if let Some(topics) = &mut self.0 {
            let left = mem::take(&mut topics.subscribed).into_iter();
            let left = left.map(|(topic, _)| TopicAction::Unsubscribe(topic));
            topics.actions.extend(left);
        }
    }

    pub(crate) fn publish(&mut self, publication: Publication) -> Result<(), TopicError> {
        check_name(&publication.topic)?;
        let action = TopicAction::Publish(publication);
        self.topics().actions.push(action);
        Ok(())
    }

    pub(crate) fn list_members(&mut self, topic: String) -> Result<(), TopicError> {
        check_name(&topic)?;
        self.topics().actions.push(TopicAction::ListMembers(topic));
        Ok(())
    }

    /// What the host has not been told yet. Of a connection that ends only the publications are left.
    pub(crate) fn take_actions(&mut self, next: Disposition) -> Vec<TopicAction> {
        let Some(topics) = &mut self.0 else {
            return Vec::new();
        };
        let mut actions = mem::take(&mut topics.actions);
        if matches!(next, Disposition::Close | Disposition::Abort) {
            actions.retain(|action| matches!(action, TopicAction::Publish(_)));
        }
        actions
    }

    /// Writes the subscriptions; `None` if the host has not been told everything.
    pub(crate) fn suspend(&self, state: &mut Writer) -> Option<()> {
        if self
            .0
            .as_ref()
            .is_some_and(|topics| !topics.actions.is_empty())
        {
            return None;
        }
        state.byte(u8::try_from(self.subscribed().len()).ok()?);
        for (topic, receiver) in self.subscribed() {
            state.bytes(topic.as_bytes())?;
            state.byte(match receiver {
                Receiver::Peer => 0,
                Receiver::PeerWithPosition => 1,
                Receiver::App => 2,
            });
        }
        Some(())
    }

    /// Reads what [`suspend`](Self::suspend) has written. The host has kept the subscriptions.
    pub(crate) fn resume(state: &mut Reader<'_>) -> Result<Self, ResumeError> {
        let mut own = Self::default();
        for _ in 0..state.byte()? {
            let topic = state.text(MAX_TOPIC_NAME)?;
            let receiver = match state.byte()? {
                0 => Receiver::Peer,
                1 => Receiver::PeerWithPosition,
                2 => Receiver::App,
                _ => return Err(ResumeError::Invalid),
            };
            let is_new = own.receiver(topic).is_none() && check_name(topic).is_ok();
            if !is_new || own.set_receiver(topic, receiver).is_err() {
                return Err(ResumeError::Invalid);
            }
        }
        Ok(own)
    }
}

/// What is still published of the actions of a connection that is lost.
pub(crate) fn publications(actions: Vec<TopicAction>) -> Vec<Publication> {
    let publication = |action| match action {
        TopicAction::Publish(publication) => Some(publication),
        _ => None,
    };
    actions.into_iter().filter_map(publication).collect()
}
