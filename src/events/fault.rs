use alloc::string::{String, ToString};
use core::fmt;

use super::{Action, Closed, Event, MAX_ACTIONS, MAX_ANSWER, MAX_STATE};
use crate::protocol::{CloseCode, Message, UsageError};
use crate::topics::TopicError;

/// A rule that an app's answer breaks, or a failure that it reports of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The app has failed, and says why.
    Failed(String),
    TooManyActions(usize),
    TooLong(usize),
    AnsweredTwice,
    RespondMisplaced,
    AcceptMisplaced,
    NoWebSocket,
    StateTooLong(usize),
    Topic(TopicError),
    /// More than a proxy accepts in one response; this is its limit.
    #[cfg(feature = "grip")]
    BeyondProxy(usize),
    Usage(UsageError),
}

impl Fault {
    /// The event that tells the app.
    pub(crate) fn as_event(&self) -> Event {
        Event::Closed(Closed {
            code: CloseCode::INTERNAL_ERROR.as_u16(),
            reason: self.to_string(),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) => f.write_str(text),
            Self::TooManyActions(count) => {
                write!(f, "the answer has {count} actions, {MAX_ACTIONS} at most")
            }
            Self::TooLong(size) => {
                write!(f, "the answer has {size} bytes, {MAX_ANSWER} at most")
            }
            Self::AnsweredTwice => f.write_str("the request is answered twice"),
            Self::RespondMisplaced => f.write_str("respond answers a request only, or open"),
            Self::AcceptMisplaced => f.write_str("accept answers open only"),
            Self::NoWebSocket => f.write_str("there is no WebSocket to do this to"),
            Self::StateTooLong(size) => {
                write!(f, "the state has {size} bytes, {MAX_STATE} at most")
            }
            Self::Topic(error) => error.fmt(f),
            #[cfg(feature = "grip")]
            Self::BeyondProxy(most) => {
                write!(f, "the proxy takes at most {most} bytes at once")
            }
            Self::Usage(error) => error.fmt(f),
        }
    }
}

impl From<TopicError> for Fault {
    fn from(error: TopicError) -> Self {
        Self::Topic(error)
    }
}

/// Sending on a closing connection is not a fault, since the app cannot know.
pub(crate) fn unless_closing(result: Result<(), UsageError>) -> Result<(), Fault> {
    match result {
        Ok(()) | Err(UsageError::NotOpen) => Ok(()),
        Err(error) => Err(Fault::Usage(error)),
    }
}

/// Checks that an answer is not too large to be carried out at all.
pub(crate) fn check_size(actions: &[Action]) -> Result<(), Fault> {
    if actions.len() > MAX_ACTIONS {
        return Err(Fault::TooManyActions(actions.len()));
    }
    let size = actions.iter().map(size).fold(0, usize::saturating_add);
    if size > MAX_ANSWER {
        return Err(Fault::TooLong(size));
    }
    Ok(())
}

fn size(action: &Action) -> usize {
    let of = |message: &Message| message.as_bytes().len();
    match action {
        Action::Respond(response) => response.body.len(),
        Action::Accept(_) => 0,
        Action::Send(message) => of(message),
        Action::Close { reason, .. } | Action::Fail(reason) => reason.len(),
        Action::SetState(state) => state.len(),
        Action::Subscribe(channel) | Action::Unsubscribe(channel) => channel.len(),
        Action::Publish { channel, message } | Action::PublishToOthers { channel, message } => {
            channel.len().saturating_add(of(message))
        }
        Action::SubscribeWith(subscription) => {
            let member = subscription.member.as_deref().unwrap_or_default();
            subscription.topic.len().saturating_add(member.len())
        }
        Action::ListMembers(topic) => topic.len(),
    }
}
