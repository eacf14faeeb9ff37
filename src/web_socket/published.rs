use crate::topics::{Delivery, Gap, MemberChange, TopicRefusal};

/// What [`WebSocket::receive_published`](crate::WebSocket::receive_published) returns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Published {
    /// Something was published on a topic of which the app is the [receiver](crate::topics::Receiver::App).
    Message(Delivery),
    /// Publications may have been lost on the way to this connection, on any topic that it subscribes to.
    Gap(Gap),
    /// A member of a topic with [`watch_members`](crate::topics::Subscription::watch_members) has joined, or says something else of
    /// itself.
    Joined(MemberChange),
    /// A member of a topic with [`watch_members`](crate::topics::Subscription::watch_members) has left.
    Left(MemberChange),
    /// The host has refused a publication, or a [`subscribe`](crate::WebSocket::subscribe), or has ended a subscription.
    Refused(TopicRefusal),
}
