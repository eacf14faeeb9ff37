//! The interface `app`, from both sides: imported by the protocol, exported by an app.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;

use super::bindings::application::exports::wasocket::websocket::app as exported;
use super::bindings::protocol::wasocket::websocket::app as imported;
use crate::events::{Accept, Action, Closed, Event, EventApp, Receiver, Settings, Subscription};
use crate::protocol::handshake::Origins;

/// The app that `export_app!` exports.
pub trait ExportedApp: 'static {
    /// The app of this instance.
    fn app() -> &'static dyn EventApp;
}

/// Boxes an app, which erases its type.
pub fn boxed_events<A: EventApp + 'static>(app: A) -> Box<dyn EventApp> {
    Box::new(app)
}

/// The app that the component imports.
#[derive(Clone, Copy, Debug)]
pub struct ImportedApp;

impl EventApp for ImportedApp {
    fn handle(&self, connection: &str, state: &[u8], events: Vec<Event>) -> Vec<Action> {
        let events: Vec<_> = events.into_iter().map(Into::into).collect();
        let actions = imported::handle(connection, state, &events);
        actions.into_iter().map(Into::into).collect()
    }
}

/// Exports an [`EventApp`] as `app`.
#[derive(Debug)]
pub struct AppAdapter<E>(PhantomData<E>);

impl<E: ExportedApp> exported::Guest for AppAdapter<E> {
    fn handle(
        connection: String,
        state: Vec<u8>,
        events: Vec<exported::Event>,
    ) -> Vec<exported::Action> {
        let events = events.into_iter().map(Into::into).collect();
        let actions = E::app().handle(&connection, &state, events);
        actions.into_iter().map(Into::into).collect()
    }
}

impl From<Event> for imported::Event {
    fn from(event: Event) -> Self {
        match event {
            Event::Request(request) => Self::Request(request.into()),
            Event::Open(request) => Self::Open(request.into()),
            Event::Message(message) => Self::Message(message.into()),
            Event::Closed(Closed { code, reason }) => {
                Self::Closed(imported::CloseReason { code, reason })
            }
            Event::Subscribed(subscribed) => Self::Subscribed(subscribed.into()),
            Event::Published(delivery) => Self::Published(delivery.into()),
            Event::Gap(gap) => Self::Gap(gap.into()),
            Event::Members(members) => Self::Members(members.into()),
            Event::Joined(change) => Self::Joined(change.into()),
            Event::Left(change) => Self::Left(change.into()),
            Event::Refused(refusal) => Self::Refused(refusal.into()),
        }
    }
}

impl From<imported::Action> for Action {
    fn from(action: imported::Action) -> Self {
        match action {
            imported::Action::Respond(response) => Self::Respond(response.into()),
            imported::Action::Accept(accept) => Self::Accept(accept.into()),
            imported::Action::Send(message) => Self::Send(message.into()),
            imported::Action::Close(imported::CloseReason { code, reason }) => {
                Self::Close { code, reason }
            }
            imported::Action::SetState(state) => Self::SetState(state),
            imported::Action::Subscribe(channel) => Self::Subscribe(channel),
            imported::Action::Unsubscribe(channel) => Self::Unsubscribe(channel),
            imported::Action::Publish(publication) => Self::Publish {
                channel: publication.channel,
                message: publication.message.into(),
            },
            imported::Action::PublishToOthers(publication) => Self::PublishToOthers {
                channel: publication.channel,
                message: publication.message.into(),
            },
            imported::Action::SubscribeWith(subscription) => {
                Self::SubscribeWith(subscription.into())
            }
            imported::Action::ListMembers(topic) => Self::ListMembers(topic),
            imported::Action::Fail(reason) => Self::Fail(reason),
        }
    }
}

impl From<imported::Subscription> for Subscription {
    fn from(subscription: imported::Subscription) -> Self {
        Self {
            topic: subscription.topic,
            start: subscription.start.into(),
            keep: subscription.keep.map(Into::into),
            member: subscription.member,
            watch_members: subscription.watch_members,
            receiver: match subscription.receiver {
                imported::Receiver::Peer => Receiver::Peer,
                imported::Receiver::PeerWithPosition => Receiver::PeerWithPosition,
                imported::Receiver::App => Receiver::App,
            },
        }
    }
}

impl From<Subscription> for exported::Subscription {
    fn from(subscription: Subscription) -> Self {
        Self {
            topic: subscription.topic,
            start: subscription.start.into(),
            keep: subscription.keep.map(Into::into),
            member: subscription.member,
            watch_members: subscription.watch_members,
            receiver: match subscription.receiver {
                Receiver::Peer => exported::Receiver::Peer,
                Receiver::PeerWithPosition => exported::Receiver::PeerWithPosition,
                Receiver::App => exported::Receiver::App,
            },
        }
    }
}

impl From<imported::Accept> for Accept {
    fn from(accept: imported::Accept) -> Self {
        Self {
            subprotocol: accept.subprotocol,
            fields: accept.fields.into(),
            settings: accept.settings.map(Into::into).unwrap_or_default(),
        }
    }
}

impl From<imported::Settings> for Settings {
    fn from(settings: imported::Settings) -> Self {
        Self {
            origins: match settings.origins {
                imported::Origins::Same => Origins::Same,
                imported::Origins::SameOr(patterns) => Origins::SameOrListed(patterns),
                imported::Origins::DangerouslyAllowAny => Origins::DangerouslyAllowAny,
            },
            compress: settings.compress,
            max_message_size: usize::try_from(settings.max_message_size).unwrap_or(usize::MAX),
        }
    }
}

impl From<exported::Event> for Event {
    fn from(event: exported::Event) -> Self {
        match event {
            exported::Event::Request(request) => Self::Request(request.into()),
            exported::Event::Open(request) => Self::Open(request.into()),
            exported::Event::Message(message) => Self::Message(message.into()),
            exported::Event::Closed(exported::CloseReason { code, reason }) => {
                Self::Closed(Closed { code, reason })
            }
            exported::Event::Subscribed(subscribed) => Self::Subscribed(subscribed.into()),
            exported::Event::Published(delivery) => Self::Published(delivery.into()),
            exported::Event::Gap(gap) => Self::Gap(gap.into()),
            exported::Event::Members(members) => Self::Members(members.into()),
            exported::Event::Joined(change) => Self::Joined(change.into()),
            exported::Event::Left(change) => Self::Left(change.into()),
            exported::Event::Refused(refusal) => Self::Refused(refusal.into()),
        }
    }
}

impl From<Action> for exported::Action {
    fn from(action: Action) -> Self {
        match action {
            Action::Respond(response) => Self::Respond(response.into()),
            Action::Accept(accept) => Self::Accept(accept.into()),
            Action::Send(message) => Self::Send(message.into()),
            Action::Close { code, reason } => Self::Close(exported::CloseReason { code, reason }),
            Action::SetState(state) => Self::SetState(state),
            Action::Subscribe(channel) => Self::Subscribe(channel),
            Action::Unsubscribe(channel) => Self::Unsubscribe(channel),
            Action::Publish { channel, message } => Self::Publish(exported::Publication {
                channel,
                message: message.into(),
            }),
            Action::PublishToOthers { channel, message } => {
                Self::PublishToOthers(exported::Publication {
                    channel,
                    message: message.into(),
                })
            }
            Action::SubscribeWith(subscription) => Self::SubscribeWith(subscription.into()),
            Action::ListMembers(topic) => Self::ListMembers(topic),
            Action::Fail(reason) => Self::Fail(reason),
        }
    }
}

impl From<Accept> for exported::Accept {
    fn from(accept: Accept) -> Self {
        Self {
            subprotocol: accept.subprotocol,
            fields: accept.fields.into(),
            settings: Some(accept.settings.into()),
        }
    }
}

impl From<Settings> for exported::Settings {
    fn from(settings: Settings) -> Self {
        Self {
            origins: match settings.origins {
                Origins::Same => exported::Origins::Same,
                Origins::SameOr(patterns) => {
                    let patterns = patterns.iter().map(|pattern| (*pattern).into());
                    exported::Origins::SameOr(patterns.collect())
                }
                Origins::SameOrListed(patterns) => exported::Origins::SameOr(patterns),
                Origins::DangerouslyAllowAny => exported::Origins::DangerouslyAllowAny,
            },
            compress: settings.compress,
            max_message_size: u32::try_from(settings.max_message_size).unwrap_or(u32::MAX),
        }
    }
}
