//! Converts topics between the kit's types and those of the bindings.

use wasocket::Message;
use wasocket::topics::{
    Delivery, Form, History, Publication, Start, SubscriptionRequest, TopicAction, TopicEvent,
    TopicOperation,
};
use wasocket_host::bindings as wit;

use crate::contract::{Deliveries, Effects, Exception, Next};

pub(super) fn effects(effects: wit::Effects) -> Effects {
    Effects {
        output: effects.output,
        wake_at: effects.wake_at,
        next: next(effects.next),
        wake_others: effects.wake_others,
        topics: effects.topics.into_iter().map(action).collect(),
    }
}

fn next(next: wit::Next) -> Next {
    match next {
        wit::Next::Open => Next::Open,
        wit::Next::Pause => Next::Pause,
        wit::Next::Close => Next::Close,
        wit::Next::Abort => Next::Abort,
    }
}

fn action(action: wit::TopicAction) -> TopicAction {
    match action {
        wit::TopicAction::Subscribe(subscription) => TopicAction::Subscribe(SubscriptionRequest {
            topic: subscription.topic,
            start: match subscription.start {
                wit::Start::Now => Start::Now,
                wit::Start::Last(count) => Start::Last(count),
                wit::Start::After(position) => Start::After(position),
            },
            keep: subscription.keep.map(|keep| History {
                count: keep.count,
                seconds: keep.seconds,
            }),
            member: subscription.member,
            watch_members: subscription.watch_members,
            confirm: subscription.confirm,
        }),
        wit::TopicAction::Unsubscribe(topic) => TopicAction::Unsubscribe(topic),
        wit::TopicAction::Publish(own) => TopicAction::Publish(publication(own)),
        wit::TopicAction::ListMembers(topic) => TopicAction::ListMembers(topic),
    }
}

pub(super) fn publications(publications: Vec<wit::Publication>) -> Vec<Publication> {
    publications.into_iter().map(publication).collect()
}

fn publication(publication: wit::Publication) -> Publication {
    Publication {
        topic: publication.topic,
        message: match publication.message {
            wit::TopicMessage::Text(text) => text.into(),
            wit::TopicMessage::Binary(bytes) => bytes.into(),
        },
        to_others: publication.to_others,
    }
}

pub(super) fn delivery(delivery: &Delivery) -> wit::Delivery {
    wit::Delivery {
        topic: delivery.topic.clone(),
        message: match &delivery.message {
            Message::Text(text) => wit::TopicMessage::Text(text.to_string()),
            Message::Binary(bytes) => wit::TopicMessage::Binary(bytes.to_vec()),
        },
        position: delivery.position.clone(),
    }
}

pub(super) fn event(event: TopicEvent) -> wit::TopicEvent {
    let change = |change: wasocket::topics::MemberChange| wit::MemberChange {
        topic: change.topic,
        member: change.member,
    };
    match event {
        TopicEvent::Subscribed(subscribed) => wit::TopicEvent::Subscribed(wit::Subscribed {
            topic: subscribed.topic,
            position: subscribed.position,
            recovered: subscribed.recovered,
        }),
        TopicEvent::Refused(refusal) => wit::TopicEvent::Refused(wit::TopicRefusal {
            topic: refusal.topic,
            operation: match refusal.operation {
                TopicOperation::Subscribe => wit::TopicOperation::Subscribe,
                TopicOperation::Publish => wit::TopicOperation::Publish,
                TopicOperation::ListMembers => wit::TopicOperation::ListMembers,
            },
            reason: refusal.reason,
        }),
        TopicEvent::Gap(gap) => wit::TopicEvent::Gap(wit::Gap {
            topic: gap.topic,
            position: gap.position,
        }),
        TopicEvent::Members(members) => wit::TopicEvent::Members(wit::Members {
            topic: members.topic,
            count: members.count,
            members: members.members,
        }),
        TopicEvent::Joined(own) => wit::TopicEvent::Joined(change(own)),
        TopicEvent::Left(own) => wit::TopicEvent::Left(change(own)),
        TopicEvent::TooSlow => wit::TopicEvent::TooSlow,
    }
}

/// Splits the output by connection.
pub(super) fn deliveries(deliveries: wit::Deliveries) -> Deliveries {
    let mut rest = deliveries.output;
    let mut outcome = |outcome: wit::Outcome| {
        let length = rest.len().min(outcome.output_length as usize);
        let tail = rest.split_off(length);
        Effects {
            output: std::mem::replace(&mut rest, tail),
            wake_at: outcome.wake_at,
            next: next(outcome.next),
            wake_others: Vec::new(),
            topics: outcome.topics.into_iter().map(action).collect(),
        }
    };
    let exceptions = deliveries.exceptions.into_iter().map(|exception| {
        let own = match exception.effect {
            wit::ExceptionEffect::Form(number) => Exception::Form(number),
            wit::ExceptionEffect::Outcome(own) => Exception::Effects(outcome(own)),
        };
        (exception.index as usize, own)
    });
    let exceptions = exceptions.collect();
    let forms = deliveries.forms.into_iter().map(|form| Form {
        number: form.number,
        bytes: form.bytes.into(),
    });
    Deliveries {
        forms: forms.collect(),
        shared: deliveries.shared,
        exceptions,
        wake_others: deliveries.wake_others,
    }
}
