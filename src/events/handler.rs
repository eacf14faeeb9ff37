use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::{
    Accept, Action, Closed, Delivery, Event, EventApp, Gap, MemberChange, Members, State,
    StateError, Subscribed, Subscription, TopicRefusal,
};
use crate::head::{Request, Response};
use crate::protocol::{CloseCode, Message};

/// An app of the event form, with one method for each event.
///
/// `&self` is shared by all connections and never changes, like settings, since each call may go to a
/// different instance. Anything to keep for a connection goes into its state.
pub trait EventHandler {
    /// The state of a connection that is kept between events.
    type State: State;

    /// Answers a request that does not ask for a WebSocket. Default: 404. The context is for publishing.
    fn request(&self, request: &Request, cx: &mut Context<'_, Self::State>) -> Response {
        let _ = (request, cx);
        Response::text(404, "Not Found\n")
    }

    /// A client asks for a WebSocket. Default: accepted, from the server's own pages and without a
    /// subprotocol. Messages sent, subscribed to or published here take effect when the opening handshake has
    /// succeeded.
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

    /// A subscription of [`subscribe_with`](Context::subscribe_with) is in effect. What it is given comes after
    /// this.
    fn subscribed(&self, subscribed: Subscribed, cx: &mut Context<'_, Self::State>) {
        let _ = (subscribed, cx);
    }

    /// Something was published on a topic of which the app is the [receiver](Subscription::receiver).
    fn published(&self, delivery: Delivery, cx: &mut Context<'_, Self::State>) {
        let _ = (delivery, cx);
    }

    /// Publications may have been lost on the way to this connection.
    fn gap(&self, gap: Gap, cx: &mut Context<'_, Self::State>) {
        let _ = (gap, cx);
    }

    /// The answer to [`list_members`](Context::list_members).
    fn members(&self, members: Members, cx: &mut Context<'_, Self::State>) {
        let _ = (members, cx);
    }

    /// A member has joined a topic with [`watch_members`](Subscription::watch_members), or says something else of
    /// itself.
    fn joined(&self, member: MemberChange, cx: &mut Context<'_, Self::State>) {
        let _ = (member, cx);
    }

    /// A member has left a topic with [`watch_members`](Subscription::watch_members).
    fn left(&self, member: MemberChange, cx: &mut Context<'_, Self::State>) {
        let _ = (member, cx);
    }

    /// A subscription, a publication or a question was refused, or a subscription has been ended by the host.
    fn refused(&self, refusal: TopicRefusal, cx: &mut Context<'_, Self::State>) {
        let _ = (refusal, cx);
    }
}

/// A connection during one event: its state, and the actions to take.
#[derive(Debug)]
pub struct Context<'a, S> {
    /// The state of the connection, which is saved after the event.
    pub state: S,
    connection: &'a str,
    actions: Vec<Action>,
    /// Whether there is no WebSocket and never will be.
    refuses: bool,
}

impl<S> Context<'_, S> {
    /// The unique name of the connection. If the connection subscribes to a topic of this name, others can
    /// send to it alone.
    #[must_use]
    pub fn connection(&self) -> &str {
        self.connection
    }

    /// Sends a message to the peer.
    pub fn send(&mut self, message: impl Into<Message>) {
        self.actions.push(Action::Send(message.into()));
    }

    /// Begins the closing handshake, with a reason that is cut after 123 bytes.
    pub fn close(&mut self, code: CloseCode, reason: impl Into<String>) {
        self.actions.push(Action::Close {
            code: code.as_u16(),
            reason: reason.into(),
        });
    }

    /// Subscribes the peer to a topic: it is sent what is published there from now on.
    pub fn subscribe(&mut self, topic: impl Into<String>) {
        self.actions.push(Action::Subscribe(topic.into()));
    }

    /// Subscribes to a topic with more to say than its name: from where on, with how much history, as which member,
    /// for whom.
    ///
    /// ```
    /// use wasocket::events::{Context, History, Start, Subscription};
    ///
    /// fn join(room: &str, name: &str, cx: &mut Context<'_, ()>) {
    ///     cx.subscribe_with(Subscription {
    ///         start: Start::Last(50),
    ///         keep: Some(History { count: 50, seconds: 3600 }),
    ///         member: Some(name.into()),
    ///         ..Subscription::to(room)
    ///     });
    /// }
    /// ```
    pub fn subscribe_with(&mut self, subscription: Subscription) {
        self.actions.push(Action::SubscribeWith(subscription));
    }

    /// Unsubscribes the peer from a topic.
    pub fn unsubscribe(&mut self, topic: impl Into<String>) {
        self.actions.push(Action::Unsubscribe(topic.into()));
    }

    /// Sends a message to all peers that are subscribed to a topic, anywhere in the service; also to this one, if it
    /// is.
    pub fn publish(&mut self, topic: impl Into<String>, message: impl Into<Message>) {
        self.actions.push(Action::Publish {
            channel: topic.into(),
            message: message.into(),
        });
    }

    /// As [`publish`](Self::publish), to all but this peer.
    pub fn publish_to_others(&mut self, topic: impl Into<String>, message: impl Into<Message>) {
        self.actions.push(Action::PublishToOthers {
            channel: topic.into(),
            message: message.into(),
        });
    }

    /// Asks who is a member of a topic; [`members`](EventHandler::members) gets the answer.
    pub fn list_members(&mut self, topic: impl Into<String>) {
        self.actions.push(Action::ListMembers(topic.into()));
    }

    /// Without a WebSocket, only publications remain.
    fn refuse(&mut self, response: Response) {
        self.refuses = true;
        self.actions.retain(|action| {
            matches!(
                action,
                Action::Publish { .. } | Action::PublishToOthers { .. }
            )
        });
        self.actions.push(Action::Respond(response));
    }
}

impl<H: EventHandler> EventApp for H {
    fn handle(&self, connection: &str, state: &[u8], events: Vec<Event>) -> Vec<Action> {
        handle(self, connection, state, events)
            .unwrap_or_else(|error: StateError| vec![Action::Fail(error.to_string())])
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
        Event::Subscribed(subscribed) => handler.subscribed(subscribed, cx),
        Event::Published(delivery) => handler.published(delivery, cx),
        Event::Gap(gap) => handler.gap(gap, cx),
        Event::Members(members) => handler.members(members, cx),
        Event::Joined(member) => handler.joined(member, cx),
        Event::Left(member) => handler.left(member, cx),
        Event::Refused(refusal) => handler.refused(refusal, cx),
    }
}
