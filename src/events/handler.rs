use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::{Accept, Action, Closed, Event, EventApp, State, StateError};
use crate::head::{Request, Response};
use crate::protocol::{CloseCode, Message};

/// An app of the event form, a method for each event.
///
/// `&self` is what all connections share and nothing changes, such as settings: a call may be made to
/// another instance than the last one. What is to be kept of a connection is its state.
pub trait EventHandler {
    /// What is kept of a connection between events.
    type State: State;

    /// A request that does not ask for a WebSocket: 404 unless implemented otherwise. The context is for
    /// publishing.
    fn request(&self, request: &Request, cx: &mut Context<'_, Self::State>) -> Response {
        let _ = (request, cx);
        Response::text(404, "Not Found\n")
    }

    /// A client asks for a WebSocket: accepted unless implemented otherwise, from the server's own pages
    /// and without a subprotocol. What is sent, subscribed and published here happens when the opening
    /// handshake has succeeded.
    ///
    /// # Errors
    ///
    /// The response that refuses it.
    fn open(
        &self,
        request: &Request,
        cx: &mut Context<'_, Self::State>,
    ) -> Result<Accept, Response> {
        let _ = (request, cx);
        Ok(Accept::default())
    }

    /// A whole message has arrived.
    fn message(&self, message: Message, cx: &mut Context<'_, Self::State>);

    /// The WebSocket has ended. The context is for publishing.
    fn closed(&self, closed: Closed, cx: &mut Context<'_, Self::State>) {
        let _ = (closed, cx);
    }
}

/// A connection during one event: its state, and what is to be done.
#[derive(Debug)]
pub struct Context<'a, S> {
    /// What is kept of the connection: after the event, as it is then.
    pub state: S,
    connection: &'a str,
    actions: Vec<Action>,
    /// Whether there is no WebSocket, and will be none.
    refuses: bool,
}

impl<S> Context<'_, S> {
    /// The name of the connection, which no other has. A channel of this name that the connection
    /// subscribes to is a way for others to send to it alone.
    #[must_use]
    pub fn connection(&self) -> &str {
        self.connection
    }

    /// Sends a message to the peer.
    pub fn send(&mut self, message: impl Into<Message>) {
        self.actions.push(Action::Send(message.into()));
    }

    /// Begins the closing handshake, with a reason of at most 123 bytes.
    pub fn close(&mut self, code: CloseCode, reason: impl Into<String>) {
        self.actions.push(Action::Close {
            code: code.as_u16(),
            reason: reason.into(),
        });
    }

    /// From now on the peer is sent what is published to this channel.
    pub fn subscribe(&mut self, channel: impl Into<String>) {
        self.actions.push(Action::Subscribe(channel.into()));
    }

    /// The peer is not sent any longer what is published to this channel.
    pub fn unsubscribe(&mut self, channel: impl Into<String>) {
        self.actions.push(Action::Unsubscribe(channel.into()));
    }

    /// Sends a message to all peers that are subscribed to this channel.
    pub fn publish(&mut self, channel: impl Into<String>, message: impl Into<Message>) {
        self.actions.push(Action::Publish {
            channel: channel.into(),
            message: message.into(),
        });
    }

    /// There is no WebSocket to do anything to: what is left is to publish.
    fn refuse(&mut self, response: Response) {
        self.refuses = true;
        self.actions
            .retain(|action| matches!(action, Action::Publish { .. }));
        self.actions.push(Action::Respond(response));
    }
}

impl<H: EventHandler> EventApp for H {
    fn handle(&self, connection: &str, state: &[u8], events: Vec<Event>) -> Vec<Action> {
        handle(self, connection, state, events).unwrap_or_else(|_: StateError| {
            vec![Action::Close {
                code: CloseCode::INTERNAL_ERROR.as_u16(),
                reason: String::new(),
            }]
        })
    }
}

fn handle<H: EventHandler>(
    handler: &H,
    connection: &str,
    before: &[u8],
    events: Vec<Event>,
) -> Result<Vec<Action>, StateError> {
    let mut cx = Context {
        state: read(before)?,
        connection,
        actions: Vec::new(),
        refuses: false,
    };
    for event in events {
        dispatch(handler, event, &mut cx);
    }
    let after = cx.state.to_bytes()?;
    if after != before && !cx.refuses {
        cx.actions.push(Action::SetState(after));
    }
    Ok(cx.actions)
}

fn read<S: State>(bytes: &[u8]) -> Result<S, StateError> {
    if bytes.is_empty() {
        return Ok(S::default());
    }
    S::from_bytes(bytes)
}

fn dispatch<H: EventHandler>(handler: &H, event: Event, cx: &mut Context<'_, H::State>) {
    match event {
        Event::Request(request) => {
            let response = handler.request(&request, cx);
            cx.refuse(response);
        }
        Event::Open(request) => match handler.open(&request, cx) {
            Ok(accept) => cx.actions.push(Action::Accept(accept)),
            Err(response) => cx.refuse(response),
        },
        Event::Message(message) => handler.message(message, cx),
        Event::Closed(closed) => handler.closed(closed, cx),
    }
}
