//! The contract in plain Rust: the types of `wit/` that the kit needs.

use wasocket_host_core::turn;

use wasocket::topics::{Form, Publication, TopicAction};
pub(crate) use wasocket::{ConnectionId, Disposition as Next};

/// A field line.
pub(crate) type Field = (String, Vec<u8>);

/// The app's decision on a request.
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    pub(crate) wake_others: Vec<ConnectionId>,
    pub(crate) publications: Vec<Publication>,
}

pub(crate) enum Verdict {
    Answer(Answer),
    Pending(Handle),
}

pub(crate) enum Answer {
    Respond(Response),
    Takeover(Takeover),
}

/// The result of polling a pending request.
pub(crate) struct PollResult {
    pub(crate) answer: Option<Answer>,
    /// In nanoseconds.
    pub(crate) wake_at: Option<u64>,
    pub(crate) wake_others: Vec<ConnectionId>,
    pub(crate) publications: Vec<Publication>,
}

/// The head of a response.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    pub status: u16,
    pub fields: Vec<Field>,
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Response {
    pub head: ResponseHead,
    pub body: Vec<u8>,
    pub reason: Option<String>,
}

/// A socket taken over.
#[derive(Debug)]
pub struct Takeover {
    pub response: Option<ResponseHead>,
    pub connection: Handle,
    pub final_bytes: Vec<u8>,
}

/// The kit's name for a resource of the app: a connection, or a request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub(crate) u64);

/// The effects of a call.
pub(crate) struct Effects {
    pub(crate) output: Vec<u8>,
    /// In nanoseconds.
    pub(crate) wake_at: Option<u64>,
    pub(crate) next: Next,
    pub(crate) wake_others: Vec<ConnectionId>,
    pub(crate) topics: Vec<TopicAction>,
}

/// The effects of the last call.
pub(crate) struct LastEffects {
    pub(crate) wake_others: Vec<ConnectionId>,
    pub(crate) publications: Vec<Publication>,
}

/// What connections do with a publication.
pub(crate) struct Deliveries {
    pub(crate) forms: Vec<Form>,
    pub(crate) shared: Option<u32>,
    /// In the order of the connections.
    pub(crate) exceptions: Vec<(usize, Exception)>,
    pub(crate) wake_others: Vec<ConnectionId>,
}

pub(crate) enum Exception {
    Form(u32),
    /// Its `wake_others` are empty.
    Effects(Effects),
}

/// The same `next`, for a [`turn::Turn`].
pub(crate) fn turn_next(next: Next) -> turn::Next {
    match next {
        Next::Open => turn::Next::Open,
        Next::Pause => turn::Next::Pause,
        Next::Close => turn::Next::Close,
        Next::Abort => turn::Next::Abort,
    }
}

impl From<wasocket::ResponseHead> for ResponseHead {
    fn from(head: wasocket::ResponseHead) -> Self {
        Self {
            status: head.status,
            fields: head.fields.into(),
        }
    }
}

impl From<wasocket::Response> for Response {
    fn from(response: wasocket::Response) -> Self {
        Self {
            head: response.head.into(),
            body: response.body,
            reason: response.reason.map(Into::into),
        }
    }
}
