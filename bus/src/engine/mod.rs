//! Engines: servers that carry publications between runners, and keep history and members for all of them.
//!
//! An [`Engine`] is one connection to such a server. It translates and remembers nothing: what to do when it is gone,
//! when something is missing or comes twice, decides the bus, for all engines alike.

pub(crate) mod nats;
pub(crate) mod redis;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

pub(crate) use crate::message::MemberKey;
use crate::message::{Keep, Message, Start};
use crate::position::Position;
use crate::topic::Topic;

/// How long a runner's members outlive it. The bus renews the lease several times in this time.
pub(crate) const LEASE: Duration = Duration::from_secs(15);

/// Makes connections to one engine.
pub(crate) trait Connector {
    /// What it connects with.
    type Engine: Engine;

    /// Makes a connection. `runner` is this process in every [`Origin`] and [`MemberKey`] of its own. It may be dropped
    /// when it takes too long.
    ///
    /// # Errors
    ///
    /// If the engine cannot be reached, or refuses.
    fn connect(&self, runner: u64) -> impl Future<Output = Result<Self::Engine, EngineError>>;
}

/// One connection to an engine.
pub(crate) trait Engine {
    /// Begins a request. Its answer comes from [`next`](Self::next), as [`Incoming::Done`] with this ticket. Requests
    /// that concern one topic take effect in the order in which they were begun; all are pipelined.
    fn begin(&mut self, ticket: Ticket, request: Request);

    /// Waits for what comes next. Safe to drop and call again.
    ///
    /// # Errors
    ///
    /// When the connection is gone: the caller makes a new one. Whether requests without an answer were carried out is
    /// then unknown.
    fn next(&mut self) -> impl Future<Output = Result<Incoming, EngineError>>;
}

/// The name of a request until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// What the bus asks of an engine.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    /// To send what is published on a topic from now on. Answered once that is certain.
    Subscribe(Topic),
    /// To stop.
    Unsubscribe(Topic),
    /// To give a topic this history, or a longer one if another runner wants it.
    Keep(Topic, Keep),
    /// To publish. If the same origin is published twice, as after a lost connection, the second changes nothing.
    Publish(Sent),
    /// To read history.
    History(Topic, Start),
    /// To list a member of a topic, or to change what it says of itself. It is a member until `Leave`, or until this
    /// runner's lease ends.
    Enter(Topic, MemberKey, Bytes),
    /// To remove a member.
    Leave(Topic, MemberKey),
    /// To list members, at most this number.
    Members(Topic, usize),
    /// To prolong this runner's lease.
    Renew,
}

/// What an engine answers.
#[derive(Clone, Debug)]
pub(crate) enum Response {
    /// It is done.
    Done,
    /// It is published, here if the topic has history.
    Published(Option<Position>),
    /// The history that was asked for.
    History(History),
    /// The members.
    Members(Members),
}

/// Part of a topic's history, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) publications: Vec<Received>,
    /// Where the topic stands now; `None` if it has no history.
    pub(crate) position: Option<Position>,
    /// Whether it reaches back to the start that was asked for.
    pub(crate) is_complete: bool,
}

/// The members of a topic.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    /// How many there are, also where not all are listed.
    pub(crate) count: u64,
    pub(crate) listed: Vec<(MemberKey, Bytes)>,
}

/// Where a publication comes from: the runner, and the number of the publication among all of that runner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Origin {
    pub(crate) runner: u64,
    pub(crate) number: u64,
}

/// A publication on its way to an engine.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) topic: Topic,
    pub(crate) message: Message,
    pub(crate) origin: Origin,
}

/// A publication that comes from an engine.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) message: Message,
    pub(crate) position: Option<Position>,
    /// The offset of the one before it in the topic, if it has a position: how a loss is noticed.
    pub(crate) previous: Option<u64>,
    /// `None` if it was published by something other than a runner.
    pub(crate) origin: Option<Origin>,
}

/// What comes from an engine.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// The answer to a request.
    Done(Ticket, Result<Response, EngineError>),
    /// A publication on a topic that is subscribed to.
    Published(Topic, Received),
    /// A member has come to a topic that is subscribed to, or has changed what it says of itself.
    Joined(Topic, MemberKey, Bytes),
    /// A member has left, or its runner's lease has ended.
    Left(Topic, MemberKey, Bytes),
}

/// What went wrong, for the operator: a text that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EngineError(pub(crate) String);
