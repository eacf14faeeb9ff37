//! The interface `app`, from both sides: imported by the protocol, exported by an app.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;

use super::bindings::application::exports::wasocket::websocket::app as exported;
use super::bindings::protocol::wasocket::websocket::app as imported;
use crate::events::{Accept, Action, Closed, Event, EventApp, Settings};
use crate::protocol::Message;
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
            Event::Message(Message::Text(text)) => {
                Self::Message(imported::Message::Text(text.into()))
            }
            Event::Message(Message::Binary(bytes)) => {
                Self::Message(imported::Message::Binary(bytes.into()))
            }
            Event::Closed(Closed { code, reason }) => {
                Self::Closed(imported::CloseReason { code, reason })
            }
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
            imported::Action::Fail(reason) => Self::Fail(reason),
        }
    }
}

impl From<imported::Message> for Message {
    fn from(message: imported::Message) -> Self {
        match message {
            imported::Message::Text(text) => Self::Text(text.into()),
            imported::Message::Binary(bytes) => Self::Binary(bytes.into()),
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
            exported::Event::Message(exported::Message::Text(text)) => Self::Message(text.into()),
            exported::Event::Message(exported::Message::Binary(bytes)) => {
                Self::Message(Message::Binary(bytes.into()))
            }
            exported::Event::Closed(exported::CloseReason { code, reason }) => {
                Self::Closed(Closed { code, reason })
            }
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
            Action::Fail(reason) => Self::Fail(reason),
        }
    }
}

impl From<Message> for exported::Message {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.into()),
            Message::Binary(bytes) => Self::Binary(bytes.into()),
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
