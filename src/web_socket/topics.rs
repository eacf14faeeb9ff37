//! Topics, for an app's function.

use alloc::rc::Rc;
use alloc::string::String;
use core::future::poll_fn;

use super::shared::Shared;
use super::shared::topics::Question;
use super::{Error, IntoMessage, Published, Sender, WebSocket};
use crate::topics::{
    Members, Publication, Subscribed, Subscription, TopicError, TopicEvent, TopicOperation,
};

impl WebSocket {
    /// Subscribes the peer to a topic: it is sent what is published there from now on, anywhere in the service, until
    /// [`unsubscribe`](Self::unsubscribe) or the end. Has no effect if there is a subscription already.
    ///
    /// ```
    /// use wasocket::{Error, Message, WebSocket};
    ///
    /// /// A room: everybody is sent what one says.
    /// async fn room(ws: WebSocket) -> Result<(), Error> {
    ///     ws.subscribe("room")?;
    ///     while let Some(message) = ws.receive::<Message>().await? {
    ///         ws.publish("room", message)?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Topic`] if the name or the number of topics breaks a rule. A refusal by the host comes through
    /// [`receive_published`](Self::receive_published).
    pub fn subscribe(&self, topic: impl Into<String>) -> Result<(), Error> {
        let topic = topic.into();
        self.0.0.want(|topics| topics.subscribe(topic))
    }

    /// Subscribes with more to say than the name: from where on, with how much history, as which member, for whom.
    /// Replaces an earlier subscription to the topic. Waits until it is in effect.
    ///
    /// # Errors
    ///
    /// [`Error::Topic`] if it breaks a rule or the host refuses it; [`Error::Closed`] when the connection ends first.
    pub async fn subscribe_with(&self, subscription: Subscription) -> Result<Subscribed, Error> {
        let topic = subscription.topic.clone();
        self.0
            .0
            .want(|topics| topics.subscribe_with(subscription))?;
        match self.answer(TopicOperation::Subscribe, topic).await? {
            TopicEvent::Subscribed(subscribed) => Ok(subscribed),
            event => Err(refused(event)),
        }
    }

    /// Ends a subscription; has no effect if there is none.
    pub fn unsubscribe(&self, topic: &str) {
        let _ = self.0.0.want(|topics| {
            topics.unsubscribe(topic);
            Ok(())
        });
    }

    /// Who is a member of a topic, in the whole service.
    ///
    /// # Errors
    ///
    /// [`Error::Topic`] if the name breaks a rule or the host refuses to say; [`Error::Closed`] when the connection
    /// ends first.
    pub async fn presence(&self, topic: impl Into<String>) -> Result<Members, Error> {
        let topic = topic.into();
        let name = topic.clone();
        self.0.0.want(|topics| topics.list_members(topic))?;
        match self.answer(TopicOperation::ListMembers, name).await? {
            TopicEvent::Members(members) => Ok(members),
            event => Err(refused(event)),
        }
    }

    /// What was published on topics of which the app is the [receiver](crate::topics::Receiver::App), and what else
    /// there is to know of topics, in order. `None` when the peer has closed the connection with a closing handshake.
    ///
    /// Nothing is lost if the future is dropped, so it can be awaited together with [`receive`](Self::receive), as
    /// with `select`. An app for which more than 1 MiB waits does not keep up: its connection is closed with code
    /// 1013.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the connection ended in any other way.
    pub async fn receive_published(&self) -> Result<Option<Published>, Error> {
        poll_fn(|context| self.0.0.poll_published(context)).await
    }

    async fn answer(&self, operation: TopicOperation, topic: String) -> Result<TopicEvent, Error> {
        let shared: &Rc<Shared> = &self.0.0;
        Question::new(shared, operation, topic).await
    }
}

impl Sender {
    /// Publishes a message: it is sent to all subscribers of the topic, anywhere in the service. Those of one
    /// connection arrive in order. Does not wait for any of them.
    ///
    /// What is published after the end of the connection goes out if the function has not awaited anything since.
    ///
    /// # Errors
    ///
    /// [`Error::Topic`] if the name breaks a rule; [`Error::Codec`] when the value has no form as a message. A refusal
    /// by the host comes through [`receive_published`](WebSocket::receive_published).
    pub fn publish(
        &self,
        topic: impl Into<String>,
        message: impl IntoMessage,
    ) -> Result<(), Error> {
        self.publish_to(topic.into(), message, false)
    }

    /// As [`publish`](Self::publish), to all but the peer of this connection.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    pub fn publish_to_others(
        &self,
        topic: impl Into<String>,
        message: impl IntoMessage,
    ) -> Result<(), Error> {
        self.publish_to(topic.into(), message, true)
    }

    fn publish_to(
        &self,
        topic: String,
        message: impl IntoMessage,
        to_others: bool,
    ) -> Result<(), Error> {
        let publication = Publication {
            topic,
            message: message.into_message()?,
            to_others,
        };
        self.0.want(|topics| topics.publish(publication))
    }
}

fn refused(event: TopicEvent) -> Error {
    match event {
        TopicEvent::Refused(refusal) => TopicError::Refused(refusal).into(),
        _ => crate::protocol::UsageError::Superseded.into(),
    }
}
