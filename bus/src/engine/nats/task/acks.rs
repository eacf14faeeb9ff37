//! What the server has not confirmed yet.
//!
//! A stream confirms each publication. The rest it does not confirm; but it does what a connection asks in order, so
//! that a message to ourselves, when it comes back, confirms everything before it. One such message is under way at a
//! time.

use std::collections::BTreeMap;

use async_nats::Client;
use bytes::Bytes;

use crate::engine::nats::names::last_token;
use crate::engine::nats::store::failed;
use crate::engine::{EngineError, Incoming, Response, Ticket};

/// The token of messages to ourselves.
const OURSELVES: &str = "self";

/// What an answer of a stream is about.
#[derive(Debug)]
pub(super) enum Awaited {
    Publication(Ticket),
    Leave(Ticket),
    Renew(Ticket),
    /// Anything else.
    Done(Ticket),
}

impl Awaited {
    /// The request that is answered.
    pub(super) fn ticket(&self) -> Ticket {
        let (Self::Publication(ticket)
        | Self::Leave(ticket)
        | Self::Renew(ticket)
        | Self::Done(ticket)) = self;
        *ticket
    }
}

/// What an answer turned out to be.
pub(super) enum Answer {
    /// What came before is confirmed.
    Confirmed(Vec<Incoming>),
    /// Of a stream.
    Stored(Awaited),
    /// Of nothing that is waited for.
    Stray,
}

/// What the server has not confirmed yet.
pub(super) struct Acks {
    inbox: String,
    next: u64,
    awaited: BTreeMap<u64, Awaited>,
    /// Done since the message to ourselves that is under way.
    unconfirmed: Vec<(Ticket, Response)>,
    /// Done before it; `None` if there is none.
    confirming: Option<Vec<(Ticket, Response)>>,
}

impl Acks {
    pub(super) fn new(client: &Client) -> Self {
        Self {
            inbox: client.new_inbox(),
            next: 0,
            awaited: BTreeMap::new(),
            unconfirmed: vec![],
            confirming: None,
        }
    }

    /// Where all answers go.
    pub(super) fn subject(&self) -> String {
        format!("{}.*", self.inbox)
    }

    /// The subject for the answer of a stream.
    pub(super) fn await_stream(&mut self, awaited: Awaited) -> String {
        let token = self.next;
        self.next = self.next.wrapping_add(1);
        self.awaited.insert(token, awaited);
        format!("{}.{token}", self.inbox)
    }

    /// Answers a request once the server has done what was asked before.
    pub(super) fn await_confirmation(&mut self, ticket: Ticket, response: Response) {
        self.unconfirmed.push((ticket, response));
    }

    /// Asks for a confirmation, if one is needed and none is under way.
    ///
    /// # Errors
    ///
    /// If the connection is gone.
    pub(super) async fn confirm(&mut self, client: &Client) -> Result<(), EngineError> {
        if self.unconfirmed.is_empty() || self.confirming.is_some() {
            return Ok(());
        }
        self.confirming = Some(std::mem::take(&mut self.unconfirmed));
        let subject = format!("{}.{OURSELVES}", self.inbox);
        let sent = client.publish(subject, Bytes::new()).await;
        sent.map_err(|error| failed(&error))
    }

    /// Takes an answer.
    pub(super) fn answer(&mut self, subject: &str) -> Answer {
        let token = last_token(subject);
        if token == OURSELVES {
            let confirmed = self.confirming.take().unwrap_or_default();
            let done = |(ticket, response)| Incoming::Done(ticket, Ok(response));
            return Answer::Confirmed(confirmed.into_iter().map(done).collect());
        }
        let awaited = token
            .parse()
            .ok()
            .and_then(|token: u64| self.awaited.remove(&token));
        awaited.map_or(Answer::Stray, Answer::Stored)
    }

    /// A mark after everything that is awaited now.
    pub(super) fn mark(&self) -> u64 {
        self.next
    }

    /// Whether everything before a mark is answered.
    pub(super) fn has_reached(&self, mark: u64) -> bool {
        self.oldest().is_none_or(|oldest| oldest >= mark)
    }

    /// The oldest that a stream has not answered.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.awaited.first_key_value().map(|(token, _)| *token)
    }
}
