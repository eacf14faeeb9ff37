//! Checks that an answer keeps the rules of the interface `app`, and carries it out in order: the same for
//! connections of this protocol and for those that a proxy holds.

use alloc::string::String;
use alloc::vec::Vec;

use super::fault::{Fault, check_size};
use super::{Accept, Action, MAX_STATE, Subscription};
use crate::head::Response;
use crate::protocol::{CloseCode, Message};
use crate::topics::{Publication, check_name};

/// A WebSocket that actions apply to. All of them keep the rules but those of topics, which the target checks.
pub(crate) trait Target {
    /// Has no effect if the connection is closing or closed.
    fn send(&mut self, message: Message) -> Result<(), Fault>;
    /// Has no effect if the connection is closing or closed.
    fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Fault>;
    fn set_state(&mut self, state: Vec<u8>);
    fn subscribe(&mut self, topic: String) -> Result<(), Fault>;
    fn subscribe_with(&mut self, subscription: Subscription) -> Result<(), Fault>;
    fn unsubscribe(&mut self, topic: &str);
    fn publish(&mut self, publication: Publication) -> Result<(), Fault>;
    fn list_members(&mut self, topic: String) -> Result<(), Fault>;
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
        Action::Subscribe(topic) => target.subscribe(topic),
        Action::SubscribeWith(subscription) => target.subscribe_with(subscription),
        Action::Unsubscribe(topic) => {
            target.unsubscribe(&topic);
            Ok(())
        }
        Action::Publish { channel, message } => target.publish(to_all(channel, message)),
        Action::PublishToOthers { channel, message } => target.publish(to_others(channel, message)),
        Action::ListMembers(topic) => target.list_members(topic),
        Action::Fail(reason) => Err(Fault::Failed(reason)),
    }
}

/// Carries out the publications of an answer without a WebSocket, up to the first action that needs one.
pub(crate) fn publications(
    actions: Vec<Action>,
    mut publish: impl FnMut(Publication),
) -> Result<(), Fault> {
    actions.into_iter().try_for_each(|action| {
        let publication = match action {
            Action::Publish { channel, message } | Action::PublishToOthers { channel, message } => {
                to_all(channel, message)
            }
            _ => return Err(Fault::NoWebSocket),
        };
        check_name(&publication.topic)?;
        publish(publication);
        Ok(())
    })
}

fn to_all(topic: String, message: Message) -> Publication {
    Publication {
        topic,
        message,
        to_others: false,
    }
}

fn to_others(topic: String, message: Message) -> Publication {
    Publication {
        to_others: true,
        ..to_all(topic, message)
    }
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
