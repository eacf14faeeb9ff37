//! Replies of Redis as responses. What is in Redis may have been written by anything: whatever is not understood is left
//! out, and counts as missing.

use bytes::Bytes;
use redis::Value;

use crate::engine::redis::envelope::{info, message, origin, runner};
use crate::engine::{EngineError, History, MemberKey, Members, Received, Request, Response};
use crate::message::Start;
use crate::position::Position;

/// What is remembered of a request to understand its reply.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected {
    Nothing,
    /// Whether there are more members to remove.
    Sweep,
    Position,
    History(Start),
    Members,
}

impl Expected {
    pub(super) fn of(request: &Request) -> Self {
        match request {
            Request::Publish(_) => Self::Position,
            Request::History(_, start) => Self::History(*start),
            Request::Members(..) => Self::Members,
            Request::Subscribe(_)
            | Request::Unsubscribe(_)
            | Request::Keep(..)
            | Request::Enter(..)
            | Request::Leave(..) => Self::Nothing,
            Request::Renew => Self::Sweep,
        }
    }

    /// # Errors
    ///
    /// If the reply has not the form that the script gives it.
    pub(super) fn read(self, value: Value) -> Result<Response, EngineError> {
        let response = match self {
            Self::Nothing | Self::Sweep => Some(Response::Done),
            Self::Position => published(&value),
            Self::History(start) => history(value, start).map(Response::History),
            Self::Members => members(value).map(Response::Members),
        };
        response.ok_or_else(|| {
            EngineError(String::from(
                "Redis has sent a reply that its script does not give: is there something between it and the runner?",
            ))
        })
    }
}

fn published(value: &Value) -> Option<Response> {
    match value {
        Value::Nil => Some(Response::Published(None)),
        value => Some(Response::Published(Some(text(value)?.parse().ok()?))),
    }
}

/// `[EPOCH, OFFSET, IS-WHOLE, ENTRIES]`, the entries newest first.
fn history(value: Value, start: Start) -> Option<History> {
    let Value::Array(parts) = value else {
        return matches!(value, Value::Nil).then(|| without_history(start));
    };
    let [epoch, offset, is_whole, Value::Array(entries)] = <[Value; 4]>::try_from(parts).ok()?
    else {
        return None;
    };
    let position: Position = format!("{}-{}", text(&epoch)?, text(&offset)?)
        .parse()
        .ok()?;
    let publications: Vec<_> = entries
        .into_iter()
        .rev()
        .filter_map(|entry| remembered(entry, position.epoch))
        .collect();
    let is_complete = match start {
        Start::Now | Start::Last(_) => true,
        Start::After(start) => {
            is_whole == Value::Int(1) && is_chain(start, &publications, position)
        }
    };
    Some(History {
        publications,
        position: Some(position),
        is_complete,
    })
}

/// What there is of a topic without history.
fn without_history(start: Start) -> History {
    History {
        is_complete: !matches!(start, Start::After(_)),
        ..History::default()
    }
}

/// Whether the publications lead from one position to another, each naming the one before it.
fn is_chain(start: Position, publications: &[Received], end: Position) -> bool {
    let mut last = start.offset;
    for publication in publications {
        let Some(position) = publication.position else {
            return false;
        };
        if publication.previous != Some(last) {
            return false;
        }
        last = position.offset;
    }
    start.epoch == end.epoch && last == end.offset
}

/// An entry of the stream, `[OFFSET-0, [head, KIND PREVIOUS FROM [RUNNER NUMBER], data, ..]]`.
fn remembered(entry: Value, epoch: u64) -> Option<Received> {
    let Value::Array(parts) = entry else {
        return None;
    };
    let [id, Value::Array(fields)] = <[Value; 2]>::try_from(parts).ok()? else {
        return None;
    };
    let offset = text(&id)?.strip_suffix("-0")?.parse().ok()?;
    let [_, head, _, Value::BulkString(data)] = <[Value; 4]>::try_from(fields).ok()? else {
        return None;
    };
    let words: Vec<_> = text(&head)?.split(' ').collect();
    let (kind, previous, origin) = match words.as_slice() {
        [kind, previous, _] => (kind, previous, None),
        [kind, previous, _, runner, number] => (kind, previous, Some(origin(runner, number)?)),
        _ => return None,
    };
    Some(Received {
        message: message(kind, Bytes::from(data))?,
        position: Some(Position { epoch, offset }),
        previous: Some(previous.parse().ok()?),
        origin,
    })
}

/// `[COUNT, [RUNNER, NUMBER, INFO, ..]]`
fn members(value: Value) -> Option<Members> {
    let Value::Array(parts) = value else {
        return None;
    };
    let [Value::Int(count), Value::Array(listed)] = <[Value; 2]>::try_from(parts).ok()? else {
        return None;
    };
    Some(Members {
        count: u64::try_from(count).ok()?,
        listed: listed.chunks_exact(3).filter_map(member).collect(),
    })
}

fn member(parts: &[Value]) -> Option<(MemberKey, Bytes)> {
    let [name, number, Value::BulkString(said)] = parts else {
        return None;
    };
    let key = MemberKey {
        runner: runner(text(name)?)?,
        number: text(number)?.parse().ok()?,
    };
    Some((key, info(Bytes::copy_from_slice(said))?))
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}
