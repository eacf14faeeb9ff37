//! The event form of an app: events in, actions out, and nothing kept in between but bytes.
//!
//! It is the interface `app` of the WIT package, which documents the rules for every event and action. An app
//! of this form needs no instance that lives as long as its connections, so the same source runs in more
//! places than a function on a [`WebSocket`](crate::WebSocket): fused with the protocol into one component
//! ([`events`] makes an [`App`](crate::App) of it), or composed with the protocol as a component of its own
//! ([`export_app!`](crate::export_app)).
//!
//! Implement [`EventHandler`]; [`EventApp`] is the single function underneath.
//!
//! ```
//! use wasocket::Message;
//! use wasocket::events::{Context, EventHandler};
//!
//! /// Numbers the messages of each connection.
//! struct Count;
//!
//! impl EventHandler for Count {
//!     type State = wasocket::Json<u32>;
//!
//!     fn message(&self, _: Message, cx: &mut Context<'_, Self::State>) {
//!         cx.state.0 += 1;
//!         cx.send(cx.state.0.to_string());
//!     }
//! }
//!
//! wasocket::export_events!(Count);
//! ```

mod answer;
pub(crate) mod fault;
mod handler;
pub(crate) mod judge;
mod session;
mod state;

pub use answer::events;
pub use handler::{Context, EventHandler};
pub use state::{State, StateError};

use alloc::string::String;
use alloc::vec::Vec;

use crate::app::Upgrade;
use crate::head::{Fields, Request, Response};
use crate::protocol::extension::DeflateOptions;
use crate::protocol::handshake::Origins;
use crate::protocol::{Limits, Message};
pub use crate::topics::{
    Delivery, Gap, History, MAX_MEMBER, MAX_TOPIC_NAME, MAX_TOPICS, MemberChange, Members,
    Receiver, Start, Subscribed, Subscription, TopicOperation, TopicRefusal,
};

/// The most actions of one answer.
pub const MAX_ACTIONS: usize = 1024;
/// The most bytes of one answer: messages, bodies, state, names. It has room for the most that an app is
/// given at once.
pub const MAX_ANSWER: usize = 8 << 20;
/// The longest state, in bytes: what a hibernating server, or a field of an HTTP message, can hold.
pub const MAX_STATE: usize = 2048;
/// The longest message that an app may ask to receive, in bytes.
pub const MAX_MESSAGE_SIZE: usize = 4 << 20;

/// The longest name of a connection, in bytes.
pub(crate) const MAX_NAME: usize = 64;

/// The most messages that an app is given at once.
pub(crate) const MAX_BATCH: usize = 256;
/// The number of bytes at which no more messages are added.
pub(crate) const MAX_BATCH_SIZE: usize = 256 << 10;

/// An app in its smallest form: a function from the events of a connection to the actions to take.
///
/// Every [`EventHandler`] is one.
pub trait EventApp {
    /// Returns the actions for events on the connection with this name, whose state is that of the last
    /// [`Action::SetState`]. Without events: [`Action::Fail`] if this version of the app cannot read the state of a
    /// connection that is to continue here.
    fn handle(&self, connection: &str, state: &[u8], events: Vec<Event>) -> Vec<Action>;
}

/// An event on a connection. Only messages come together with other events, which are messages, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request that does not ask for a WebSocket.
    Request(Request),
    /// A client asks for a WebSocket.
    Open(Request),
    /// A whole message.
    Message(Message),
    /// The WebSocket has ended.
    Closed(Closed),
    /// A subscription of [`Action::SubscribeWith`] is in effect.
    Subscribed(Subscribed),
    /// Something was published on a topic of which the app is the [receiver](Subscription::receiver).
    Published(Delivery),
    /// Publications may have been lost on the way to this connection.
    Gap(Gap),
    /// The answer to [`Action::ListMembers`].
    Members(Members),
    /// A member of a topic has joined, or says something else of itself.
    Joined(MemberChange),
    /// A member of a topic has left.
    Left(MemberChange),
    /// A subscription, a publication or a question was refused.
    Refused(TopicRefusal),
}

/// How a WebSocket has ended, like a browser's `CloseEvent` (RFC 6455 §7.1.5, §7.1.6). Code 1011 with a
/// reason that the peer did not send means that the app's answer broke a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The code; 1005 if the peer gave none, 1006 if it left without a Close frame.
    pub code: u16,
    /// The reason, often empty.
    pub reason: String,
}

/// An action to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Answers a request, or refuses a WebSocket.
    Respond(Response),
    /// Completes the opening handshake.
    Accept(Accept),
    /// Sends a message to the peer.
    Send(Message),
    /// Begins the closing handshake.
    Close {
        /// A code that may be sent (RFC 6455 §7.4).
        code: u16,
        /// Cut after 123 bytes.
        reason: String,
    },
    /// Replaces the state.
    SetState(Vec<u8>),
    /// Subscribes the peer to a topic.
    Subscribe(String),
    /// Unsubscribes the peer from a topic.
    Unsubscribe(String),
    /// Sends a message to all subscribers of a topic.
    Publish {
        /// The name of the topic.
        channel: String,
        /// The message.
        message: Message,
    },
    /// Sends a message to all subscribers of a topic but this peer.
    PublishToOthers {
        /// The name of the topic.
        channel: String,
        /// The message.
        message: Message,
    },
    /// Subscribes with more to say than the name.
    SubscribeWith(Subscription),
    /// Asks who is a member of a topic.
    ListMembers(String),
    /// The app has failed; this says why, for the operator. Closes with 1011, or answers with status 500.
    Fail(String),
}

/// How to complete the opening handshake. The default is safe: see [`Settings`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    /// The subprotocol that is selected, if the client offers it.
    pub subprotocol: Option<String>,
    /// Further fields of the response, such as `Set-Cookie`.
    pub fields: Fields,
    /// The settings of the connection.
    pub settings: Settings,
}

/// Settings of the protocol for one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The origins whose pages may connect. Default: the server's own.
    pub origins: Origins,
    /// Whether to compress if the client wants it, too. Default: no.
    pub compress: bool,
    /// The longest message to receive, in bytes, at most [`MAX_MESSAGE_SIZE`]. Default 1 MiB.
    pub max_message_size: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            origins: Origins::default(),
            compress: false,
            max_message_size: Limits::default().max_message_size,
        }
    }
}

/// The limits of a connection whose app wants messages of up to this size.
fn limits(max_message_size: usize) -> Limits {
    Limits::for_messages(max_message_size.min(MAX_MESSAGE_SIZE))
}

impl Accept {
    /// The upgrade that the app asks for.
    pub(crate) fn into_upgrade(self) -> Upgrade {
        let mut upgrade = Upgrade::new()
            .origins(self.settings.origins)
            .limits(limits(self.settings.max_message_size));
        for (name, value) in self.fields.iter() {
            upgrade = upgrade.field(name, value);
        }
        if let Some(name) = self.subprotocol {
            upgrade = upgrade.select_subprotocol(name);
        }
        if self.settings.compress {
            upgrade = upgrade.compression(DeflateOptions::default());
        }
        upgrade
    }
}
