//! Answers of apps of the event form, as data: `actions.json`.

use serde::Deserialize;
use serde_json::Value;

/// The answers, as data.
pub const ACTIONS: &str = include_str!("../actions.json");

/// The answers of apps of the event form.
#[must_use]
pub fn actions() -> Vec<ActionVector> {
    serde_json::from_str(ACTIONS).unwrap_or_default()
}

/// An answer of an app, and its outcome.
#[derive(Clone, Debug, Deserialize)]
pub struct ActionVector {
    /// The subject.
    pub name: String,
    /// The event that is answered: `request`, `open`, or `message`.
    pub answers: String,
    actions: Vec<Value>,
    /// The text messages sent to the peer of a WebSocket.
    #[serde(default)]
    pub received: Vec<String>,
    /// The status of the response if there is no WebSocket.
    pub status: Option<u16>,
    /// The reason that the app is given if the answer breaks a rule.
    pub fault: Option<String>,
}

/// An action of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A response with this status and body.
    Respond(u16, String),
    /// The handshake is completed.
    Accept,
    /// A text message.
    Send(String),
    /// The closing handshake, with a code and a reason.
    Close(u16, String),
    /// A state.
    SetState(String),
    /// A topic.
    Subscribe(String),
    /// A topic.
    Unsubscribe(String),
    /// A topic, and a text message for it.
    Publish(String, String),
    /// The same, for all but the publisher.
    PublishToOthers(String, String),
    /// A topic, and what the member says of itself.
    SubscribeWith(String, String),
    /// A topic.
    ListMembers(String),
    /// A failure of the app.
    Fail(String),
}

impl ActionVector {
    /// The actions in order; empty if the data breaks the notation.
    #[must_use]
    pub fn actions(&self) -> Vec<Action> {
        let actions: Option<Vec<_>> = self.actions.iter().map(parse).collect();
        actions.unwrap_or_default().concat()
    }
}

/// The actions that a line stands for; `None` if it breaks the notation.
fn parse(line: &Value) -> Option<Vec<Action>> {
    let text = |index| text(line.get(index)?);
    let number = |index| u16::try_from(line.get(index)?.as_u64()?).ok();
    let action = match line.get(0)?.as_str()? {
        "times" => {
            return Some(vec![parse(line.get(2)?)?; number(1)?.into()].concat());
        }
        "respond" => Action::Respond(number(1)?, text(2).unwrap_or_default()),
        "accept" => Action::Accept,
        "send" => Action::Send(text(1)?),
        "close" => Action::Close(number(1)?, text(2)?),
        "set-state" => Action::SetState(text(1)?),
        "subscribe" => Action::Subscribe(text(1)?),
        "unsubscribe" => Action::Unsubscribe(text(1)?),
        "publish" => Action::Publish(text(1)?, text(2)?),
        "publish-to-others" => Action::PublishToOthers(text(1)?, text(2)?),
        "subscribe-with" => Action::SubscribeWith(text(1)?, text(2)?),
        "list-members" => Action::ListMembers(text(1)?),
        "fail" => Action::Fail(text(1)?),
        _ => return None,
    };
    Some(vec![action])
}

/// A text, or one that is repeated: `["x", 100]`.
fn text(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let count = usize::try_from(value.get(1)?.as_u64()?).ok()?;
    Some(value.get(0)?.as_str()?.repeat(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_an_action() {
        let vectors: Vec<ActionVector> = serde_json::from_str(ACTIONS).expect("actions.json");
        assert!(vectors.len() > 50);
        for ActionVector { name, actions, .. } in &vectors {
            assert!(actions.iter().all(|line| parse(line).is_some()), "{name}");
        }
    }
}
