//! A runner's end of a connection, for tests.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use support::TIMEOUT;
use tokio::time::timeout;

use crate::engine::redis::{Redis, RedisConnector};
use crate::engine::{
    Connector, Engine, EngineError, History, Incoming, MemberKey, Members, Origin, Received,
    Request, Response, Sent, Ticket,
};
use crate::message::{Keep, Kind, Message, Start};
use crate::position::Position;
use crate::topic::Topic;

/// A connection, and what has come over it.
pub(super) struct Runner {
    pub(super) engine: Redis,
    pub(super) number: u64,
    next_ticket: u64,
    next_publication: u64,
    /// What came while an answer was awaited.
    early: VecDeque<Incoming>,
}

impl Runner {
    pub(super) async fn connect(connector: &RedisConnector, number: u64) -> Self {
        let engine = connector.connect(number).await.expect("Redis");
        Self {
            engine,
            number,
            next_ticket: 0,
            next_publication: 0,
            early: VecDeque::new(),
        }
    }

    /// Begins a request without waiting for its answer.
    pub(super) fn begin(&mut self, request: Request) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.engine.begin(ticket, request);
        ticket
    }

    pub(super) async fn ask(&mut self, request: Request) -> Result<Response, EngineError> {
        let ticket = self.begin(request);
        loop {
            match self.next_now().await? {
                Incoming::Done(answered, response) => {
                    assert_eq!(answered, ticket, "an answer to another request");
                    return response;
                }
                other => self.early.push_back(other),
            }
        }
    }

    /// What comes next, also the end of the connection.
    pub(super) async fn next_now(&mut self) -> Result<Incoming, EngineError> {
        timeout(TIMEOUT * 4, self.engine.next())
            .await
            .expect("nothing comes")
    }

    /// What comes next and is no answer.
    pub(super) async fn next(&mut self) -> Incoming {
        match self.early.pop_front() {
            Some(incoming) => incoming,
            None => self.next_now().await.expect("a connection"),
        }
    }

    pub(super) async fn next_publication(&mut self) -> (Topic, Received) {
        match self.next().await {
            Incoming::Published(topic, received) => (topic, received),
            other => panic!("not a publication: {other:?}"),
        }
    }

    /// Nothing more has come, as a round trip shows.
    pub(super) async fn assert_nothing_came(&mut self) {
        self.ask(Request::Renew).await.expect("a lease");
        assert!(self.early.is_empty(), "{:?}", self.early);
    }

    pub(super) async fn subscribe(&mut self, topic: &Topic) {
        self.done(Request::Subscribe(topic.clone())).await;
    }

    pub(super) async fn keep(&mut self, topic: &Topic, count: u32, seconds: u32) {
        let keep = Keep { count, seconds };
        self.done(Request::Keep(topic.clone(), keep)).await;
    }

    pub(super) async fn done(&mut self, request: Request) {
        let response = self.ask(request).await.expect("done");
        assert!(matches!(response, Response::Done), "{response:?}");
    }

    pub(super) fn sent(&mut self, topic: &Topic, message: Message) -> Sent {
        self.next_publication += 1;
        Sent {
            topic: topic.clone(),
            message,
            origin: Origin {
                runner: self.number,
                number: self.next_publication,
            },
        }
    }

    pub(super) async fn publish(&mut self, topic: &Topic, message: Message) -> Option<Position> {
        let sent = self.sent(topic, message);
        self.publish_again(sent).await
    }

    pub(super) async fn publish_again(&mut self, sent: Sent) -> Option<Position> {
        match self.ask(Request::Publish(sent)).await {
            Ok(Response::Published(position)) => position,
            other => panic!("not published: {other:?}"),
        }
    }

    pub(super) async fn history(&mut self, topic: &Topic, start: Start) -> History {
        match self.ask(Request::History(topic.clone(), start)).await {
            Ok(Response::History(history)) => history,
            other => panic!("no history: {other:?}"),
        }
    }

    pub(super) async fn enter(&mut self, topic: &Topic, number: u64, info: &str) {
        let info = Bytes::copy_from_slice(info.as_bytes());
        self.done(Request::Enter(topic.clone(), self.member(number), info))
            .await;
    }

    pub(super) async fn members(&mut self, topic: &Topic, most: usize) -> Members {
        match self.ask(Request::Members(topic.clone(), most)).await {
            Ok(Response::Members(mut members)) => {
                members.listed.sort();
                members
            }
            other => panic!("no members: {other:?}"),
        }
    }

    pub(super) fn member(&self, number: u64) -> MemberKey {
        MemberKey {
            runner: self.number,
            number,
        }
    }
}

pub(super) fn text(text: &str) -> Message {
    Message {
        kind: Kind::Text,
        bytes: Bytes::copy_from_slice(text.as_bytes()),
    }
}

/// The texts of a history.
pub(super) fn texts(history: &History) -> Vec<&str> {
    let publications = history.publications.iter();
    publications
        .map(|received| std::str::from_utf8(&received.message.bytes).expect("text"))
        .collect()
}

pub(super) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
