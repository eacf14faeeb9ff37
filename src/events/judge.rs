//! Checks that an answer keeps the rules of the interface `app`, and carries it out in order: the same for
//! connections of this protocol and for those that a proxy holds.

use alloc::string::String;
use alloc::vec::Vec;

use super::fault::{Fault, check_size};
use super::{Accept, Action, MAX_CHANNEL_NAME, MAX_CHANNELS, MAX_STATE};
use crate::head::Response;
use crate::protocol::{CloseCode, Message};

/// A WebSocket that actions apply to. All of them keep the rules.
pub(crate) trait Target {
    /// Has no effect if the connection is closing or closed.
    fn send(&mut self, message: Message) -> Result<(), Fault>;
    /// Has no effect if the connection is closing or closed.
    fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Fault>;
    fn set_state(&mut self, state: Vec<u8>);
    /// See [`check_count`].
    fn subscribe(&mut self, channel: String) -> Result<(), Fault>;
    fn unsubscribe(&mut self, channel: &str);
    fn publish(&mut self, channel: String, message: Message) -> Result<(), Fault>;
}

/// Carries out an answer up to the first action that breaks a rule. Does nothing if the answer is too large.
pub(crate) fn carry_out(target: &mut impl Target, answer: Vec<Action>) -> Result<(), Fault> {
    check_size(&answer)?;
    let mut actions = answer.into_iter();
    actions.try_for_each(|action| act(target, action))
}

fn act(target: &mut impl Target, action: Action) -> Result<(), Fault> {
    match action {
        Action::Respond(_) => Err(Fault::RespondMisplaced),
        Action::Accept(_) => Err(Fault::AcceptMisplaced),
        Action::Send(message) => target.send(message),
        Action::Close { code, reason } => {
            target.close(CloseCode::new(code).map_err(Fault::Usage)?, &reason)
        }
        Action::SetState(state) if state.len() > MAX_STATE => Err(Fault::StateTooLong(state.len())),
        Action::SetState(state) => {
            target.set_state(state);
            Ok(())
        }
        Action::Subscribe(channel) => {
            check_name(&channel)?;
            target.subscribe(channel)
        }
        Action::Unsubscribe(channel) => {
            target.unsubscribe(&channel);
            Ok(())
        }
        Action::Publish { channel, message } => {
            check_name(&channel)?;
            target.publish(channel, message)
        }
        Action::PublishToOthers { channel, message } => {
            check_name(&channel)?;
            target.publish(channel, message)
        }
        Action::SubscribeWith(subscription) => {
            check_name(&subscription.topic)?;
            target.subscribe(subscription.topic)
        }
        Action::ListMembers(topic) => check_name(&topic),
        Action::Fail(reason) => Err(Fault::Failed(reason)),
    }
}

/// Carries out the publications of an answer, up to the first action that needs a WebSocket.
pub(crate) fn publications(
    actions: Vec<Action>,
    mut publish: impl FnMut(String, Message),
) -> Result<(), Fault> {
    actions.into_iter().try_for_each(|action| match action {
        Action::Publish { channel, message } => {
            check_name(&channel)?;
            publish(channel, message);
            Ok(())
        }
        _ => Err(Fault::NoWebSocket),
    })
}

/// Whether a channel may have this name.
pub(crate) fn check_name(channel: &str) -> Result<(), Fault> {
    if channel.is_empty() || channel.len() > MAX_CHANNEL_NAME {
        return Err(Fault::ChannelName);
    }
    Ok(())
}

/// Whether a connection with this many channels may have one more.
pub(crate) fn check_count(channels: usize) -> Result<(), Fault> {
    if channels >= MAX_CHANNELS {
        return Err(Fault::TooManyChannels);
    }
    Ok(())
}

/// The reply to a request.
pub(crate) enum Reply {
    Respond(Response),
    Accept(Accept),
}

/// The action that answers the request (404 if there is none), and all others.
pub(crate) fn split(answer: Vec<Action>) -> Result<(Reply, Vec<Action>), Fault> {
    check_size(&answer)?;
    let mut reply = None;
    let mut others = Vec::new();
    for action in answer {
        let given = match action {
            Action::Respond(response) => Reply::Respond(response),
            Action::Accept(accept) => Reply::Accept(accept),
            Action::Fail(reason) => return Err(Fault::Failed(reason)),
            other => {
                others.push(other);
                continue;
            }
        };
        if reply.replace(given).is_some() {
            return Err(Fault::AnsweredTwice);
        }
    }
    let not_found = || Reply::Respond(Response::text(404, "Not Found\n"));
    Ok((reply.unwrap_or_else(not_found), others))
}
