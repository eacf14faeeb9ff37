//! What the tests do with an engine.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::timeout;

use super::server::{PATIENCE, Server};
use crate::engine::nats::{Nats, NatsConnector};
use crate::engine::{
    Connector, Engine, EngineError, History, Incoming, MemberKey, Members, Origin, Received,
    Request, Response, Sent, Ticket,
};
use crate::message::{Keep, Kind, Message, Start};
use crate::position::Position;
use crate::topic::Topic;

/// An engine, and what came from it while an answer was waited for.
pub(super) struct Client {
    pub(super) engine: Nats,
    runner: u64,
    tickets: u64,
    numbers: u64,
    heard: VecDeque<Incoming>,
}

pub(super) fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

pub(super) fn text(text: &str) -> Message {
    Message {
        kind: Kind::Text,
        bytes: Bytes::copy_from_slice(text.as_bytes()),
    }
}

pub(super) fn binary(bytes: Vec<u8>) -> Message {
    Message {
        kind: Kind::Binary,
        bytes: bytes.into(),
    }
}

pub(super) const KEEP: Keep = Keep {
    count: 100,
    seconds: 3600,
};

impl Client {
    pub(super) async fn new(server: &Server, runner: u64) -> Self {
        Self::with(server.connector(), runner).await
    }

    pub(super) async fn with(connector: NatsConnector, runner: u64) -> Self {
        Self {
            engine: connector.connect(runner).await.unwrap(),
            runner,
            tickets: 0,
            numbers: 0,
            heard: VecDeque::new(),
        }
    }

    pub(super) fn begin(&mut self, request: Request) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.engine.begin(ticket, request);
        ticket
    }

    pub(super) async fn next(&mut self) -> Result<Incoming, EngineError> {
        timeout(PATIENCE, self.engine.next())
            .await
            .expect("something from the engine")
    }

    pub(super) async fn answer(&mut self, ticket: Ticket) -> Result<Response, EngineError> {
        loop {
            match self.next().await.unwrap() {
                Incoming::Done(done, response) if done == ticket => return response,
                other => self.heard.push_back(other),
            }
        }
    }

    pub(super) async fn ask(&mut self, request: Request) -> Result<Response, EngineError> {
        let ticket = self.begin(request);
        self.answer(ticket).await
    }

    /// The next that is not an answer.
    pub(super) async fn hear(&mut self) -> Incoming {
        loop {
            let incoming = match self.heard.pop_front() {
                Some(incoming) => incoming,
                None => self.next().await.unwrap(),
            };
            if !matches!(incoming, Incoming::Done(..)) {
                return incoming;
            }
        }
    }

    pub(super) async fn receive(&mut self) -> (Topic, Received) {
        match self.hear().await {
            Incoming::Published(topic, received) => (topic, received),
            other => panic!("not a publication: {other:?}"),
        }
    }

    pub(super) async fn subscribe(&mut self, name: &str) {
        self.ask(Request::Subscribe(topic(name))).await.unwrap();
    }

    pub(super) async fn keep(&mut self, name: &str, keep: Keep) {
        self.ask(Request::Keep(topic(name), keep)).await.unwrap();
    }

    pub(super) fn sent(&mut self, name: &str, message: Message) -> Sent {
        self.numbers += 1;
        Sent {
            topic: topic(name),
            message,
            origin: Origin {
                runner: self.runner,
                number: self.numbers,
            },
        }
    }

    pub(super) async fn publish(&mut self, name: &str, message: Message) -> Option<Position> {
        let sent = self.sent(name, message);
        match self.ask(Request::Publish(sent)).await.unwrap() {
            Response::Published(position) => position,
            other => panic!("not published: {other:?}"),
        }
    }

    pub(super) async fn history(&mut self, name: &str, start: Start) -> History {
        match self
            .ask(Request::History(topic(name), start))
            .await
            .unwrap()
        {
            Response::History(history) => history,
            other => panic!("no history: {other:?}"),
        }
    }

    pub(super) async fn members(&mut self, name: &str, most: usize) -> Members {
        match self.ask(Request::Members(topic(name), most)).await.unwrap() {
            Response::Members(members) => members,
            other => panic!("no members: {other:?}"),
        }
    }

    pub(super) async fn enter(&mut self, name: &str, number: u64, info: &str) -> MemberKey {
        let key = MemberKey {
            runner: self.runner,
            number,
        };
        let info = Bytes::copy_from_slice(info.as_bytes());
        self.ask(Request::Enter(topic(name), key, info))
            .await
            .unwrap();
        key
    }
}

impl Client {
    /// What was heard while answers were waited for.
    pub(super) fn heard(&mut self) -> Option<Incoming> {
        self.heard
            .retain(|incoming| !matches!(incoming, Incoming::Done(..)));
        self.heard.pop_front()
    }
}
