//! Converts topics to and from the WIT types.

use super::bindings::handler::wasocket::websocket::types as wit;
use crate::protocol::Message;
use crate::topics::{
    Delivery, Gap, History, MemberChange, Members, Publication, Start, Subscribed,
    SubscriptionRequest, TopicAction, TopicEvent, TopicOperation, TopicRefusal,
};

impl From<TopicAction> for wit::TopicAction {
    fn from(action: TopicAction) -> Self {
        match action {
            TopicAction::Subscribe(subscription) => Self::Subscribe(subscription.into()),
            TopicAction::Unsubscribe(topic) => Self::Unsubscribe(topic),
            TopicAction::Publish(publication) => Self::Publish(publication.into()),
            TopicAction::ListMembers(topic) => Self::ListMembers(topic),
        }
    }
}

impl From<SubscriptionRequest> for wit::Subscription {
    fn from(subscription: SubscriptionRequest) -> Self {
        Self {
            topic: subscription.topic,
            start: subscription.start.into(),
            keep: subscription.keep.map(Into::into),
            member: subscription.member,
            watch_members: subscription.watch_members,
            confirm: subscription.confirm,
        }
    }
}

impl From<Start> for wit::Start {
    fn from(start: Start) -> Self {
        match start {
            Start::Now => Self::Now,
            Start::Last(count) => Self::Last(count),
            Start::After(position) => Self::After(position),
        }
    }
}

impl From<wit::Start> for Start {
    fn from(start: wit::Start) -> Self {
        match start {
            wit::Start::Now => Self::Now,
            wit::Start::Last(count) => Self::Last(count),
            wit::Start::After(position) => Self::After(position),
        }
    }
}

impl From<History> for wit::History {
    fn from(History { count, seconds }: History) -> Self {
        Self { count, seconds }
    }
}

impl From<wit::History> for History {
    fn from(wit::History { count, seconds }: wit::History) -> Self {
        Self { count, seconds }
    }
}

impl From<Publication> for wit::Publication {
    fn from(publication: Publication) -> Self {
        Self {
            topic: publication.topic,
            message: publication.message.into(),
            to_others: publication.to_others,
        }
    }
}

impl From<Message> for wit::Message {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.into()),
            Message::Binary(bytes) => Self::Binary(bytes.into()),
        }
    }
}

impl From<wit::Message> for Message {
    fn from(message: wit::Message) -> Self {
        match message {
            wit::Message::Text(text) => Self::Text(text.into()),
            wit::Message::Binary(bytes) => Self::Binary(bytes.into()),
        }
    }
}

impl From<wit::Delivery> for Delivery {
    fn from(delivery: wit::Delivery) -> Self {
        Self {
            topic: delivery.topic,
            message: delivery.message.into(),
            position: delivery.position,
        }
    }
}

impl From<Delivery> for wit::Delivery {
    fn from(delivery: Delivery) -> Self {
        Self {
            topic: delivery.topic,
            message: delivery.message.into(),
            position: delivery.position,
        }
    }
}

impl From<wit::TopicEvent> for TopicEvent {
    fn from(event: wit::TopicEvent) -> Self {
        match event {
            wit::TopicEvent::Subscribed(subscribed) => Self::Subscribed(subscribed.into()),
            wit::TopicEvent::Refused(refusal) => Self::Refused(refusal.into()),
            wit::TopicEvent::Gap(gap) => Self::Gap(gap.into()),
            wit::TopicEvent::Members(members) => Self::Members(members.into()),
            wit::TopicEvent::Joined(change) => Self::Joined(change.into()),
            wit::TopicEvent::Left(change) => Self::Left(change.into()),
            wit::TopicEvent::TooSlow => Self::TooSlow,
        }
    }
}

/// Converts a record in both directions: the two have the same fields.
macro_rules! same_fields {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl From<wit::$name> for $name {
            fn from(wit::$name { $($field),* }: wit::$name) -> Self {
                Self { $($field: $field.into()),* }
            }
        }

        impl From<$name> for wit::$name {
            fn from($name { $($field),* }: $name) -> Self {
                Self { $($field: $field.into()),* }
            }
        }
    )*};
}

same_fields! {
    Subscribed { topic, position, recovered }
    TopicRefusal { topic, operation, reason }
    Gap { topic, position }
    Members { topic, count, members }
    MemberChange { topic, member }
}

impl From<wit::TopicOperation> for TopicOperation {
    fn from(operation: wit::TopicOperation) -> Self {
        match operation {
            wit::TopicOperation::Subscribe => Self::Subscribe,
            wit::TopicOperation::Publish => Self::Publish,
            wit::TopicOperation::ListMembers => Self::ListMembers,
        }
    }
}

impl From<TopicOperation> for wit::TopicOperation {
    fn from(operation: TopicOperation) -> Self {
        match operation {
            TopicOperation::Subscribe => Self::Subscribe,
            TopicOperation::Publish => Self::Publish,
            TopicOperation::ListMembers => Self::ListMembers,
        }
    }
}
