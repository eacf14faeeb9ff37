//! An engine in memory. Nothing happens in it but what a test lets happen: a request is carried out, an answer arrives, a
//! publication arrives, and a connection goes with all that was on its way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::engine::{
    History, Incoming, MemberKey, Members, Origin, Received, Request, Response, Sent, Ticket,
};
use crate::message::{Keep, Start};
use crate::position::Position;
use crate::topic::Topic;

#[derive(Debug)]
pub(super) struct Server {
    epoch: u64,
    topics: BTreeMap<Topic, Stored>,
    members: BTreeMap<(Topic, MemberKey), Bytes>,
    pub(super) connections: Vec<Connection>,
}

/// One topic at the server.
#[derive(Debug, Default)]
struct Stored {
    keep: Option<Keep>,
    offset: u64,
    log: Vec<Received>,
    /// The position of the last publication of each runner, to recognise those that come again.
    latest: BTreeMap<u64, (u64, Option<Position>)>,
}

/// The way between the server and a runner.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) is_up: bool,
    requests: VecDeque<(Ticket, Request)>,
    /// Answers and publications may overtake each other.
    answers: VecDeque<Incoming>,
    live: VecDeque<Incoming>,
    subscribed: BTreeSet<Topic>,
}

impl Server {
    pub(super) fn new(connections: usize) -> Self {
        Self {
            epoch: 1,
            topics: BTreeMap::new(),
            members: BTreeMap::new(),
            connections: (0..connections).map(|_| Connection::default()).collect(),
        }
    }

    /// All memory is lost, and with it all connections.
    pub(super) fn forget(&mut self) {
        self.epoch += 1;
        self.topics.clear();
        self.members.clear();
        self.cut_all();
    }

    /// The last publications are lost, as after a power failure.
    pub(super) fn forget_last(&mut self, topic: &Topic, count: usize) {
        let stored = self.topics.get_mut(topic).unwrap();
        let kept = stored.log.len().saturating_sub(count);
        stored.log.truncate(kept);
        let last = stored.log.last().and_then(|last| last.position);
        stored.offset = last.map_or(0, |last| last.offset);
        self.cut_all();
    }

    fn cut_all(&mut self) {
        for connection in &mut self.connections {
            *connection = Connection::default();
        }
    }

    pub(super) fn cut(&mut self, of: usize) {
        self.connections[of] = Connection::default();
    }

    pub(super) fn connect(&mut self, of: usize) {
        self.connections[of].is_up = true;
    }

    pub(super) fn begin(&mut self, of: usize, requests: Vec<(Ticket, Request)>) {
        if self.connections[of].is_up {
            self.connections[of].requests.extend(requests);
        }
    }

    /// Carries out the next request. Returns whether there was one.
    pub(super) fn carry_out(&mut self, of: usize) -> bool {
        let Some((ticket, request)) = self.connections[of].requests.pop_front() else {
            return false;
        };
        let response = self.respond(of, request);
        let done = Incoming::Done(ticket, Ok(response));
        self.connections[of].answers.push_back(done);
        true
    }

    pub(super) fn next_answer(&mut self, of: usize) -> Option<Incoming> {
        self.connections[of].answers.pop_front()
    }

    pub(super) fn next_live(&mut self, of: usize) -> Option<Incoming> {
        self.connections[of].live.pop_front()
    }

    /// A publication is lost on its way to one runner. Only of a topic with history, where that can be noticed.
    pub(super) fn lose(&mut self, of: usize) {
        let live = &mut self.connections[of].live;
        // The last one may stay unnoticed until the next: the engines see to it that a connection loses the end only
        // when it is lost itself.
        let can_be_noticed = |index: usize| match (&live[index], live.get(index + 1)) {
            (Incoming::Published(one, received), Some(Incoming::Published(next, _))) => {
                one == next && received.position.is_some()
            }
            _ => false,
        };
        if let Some(index) = (0..live.len()).find(|index| can_be_noticed(*index)) {
            live.remove(index);
        }
    }

    /// A publication comes to one runner twice.
    pub(super) fn repeat(&mut self, of: usize) {
        let live = &mut self.connections[of].live;
        if let Some(Incoming::Published(topic, received)) = live.front() {
            let again = Incoming::Published(topic.clone(), received.clone());
            live.push_front(again);
        }
    }

    fn respond(&mut self, of: usize, request: Request) -> Response {
        match request {
            Request::Subscribe(topic) => {
                self.connections[of].subscribed.insert(topic);
            }
            Request::Unsubscribe(topic) => {
                self.connections[of].subscribed.remove(&topic);
            }
            Request::Keep(topic, keep) => {
                let stored = self.topics.entry(topic).or_default();
                stored.keep = Some(stored.keep.map_or(keep, |other| other.max_of_both(keep)));
            }
            Request::Publish(sent) => return Response::Published(self.publish(sent)),
            Request::History(topic, start) => {
                let epoch = self.epoch;
                let stored = self.topics.entry(topic).or_default();
                return Response::History(stored.history(epoch, start));
            }
            Request::Enter(topic, key, info) => {
                self.members.insert((topic.clone(), key), info.clone());
                self.send_round(&topic, || {
                    Incoming::Joined(topic.clone(), key, info.clone())
                });
            }
            Request::Leave(topic, key) => {
                if let Some(info) = self.members.remove(&(topic.clone(), key)) {
                    self.send_round(&topic, || Incoming::Left(topic.clone(), key, info.clone()));
                }
            }
            Request::Members(topic, _) => return Response::Members(self.members(&topic)),
            Request::Renew => {}
        }
        Response::Done
    }

    fn publish(&mut self, sent: Sent) -> Option<Position> {
        let Sent {
            topic,
            message,
            origin,
        } = sent;
        let stored = self.topics.entry(topic.clone()).or_default();
        let Origin { runner, number } = origin;
        if let Some((latest, position)) = stored.latest.get(&runner)
            && *latest >= number
        {
            return *position;
        }
        let mut received = Received {
            message,
            position: None,
            previous: None,
            origin: Some(origin),
        };
        if let Some(keep) = stored.keep {
            let previous = stored.offset;
            stored.offset += 1 + number % 3;
            received.previous = Some(previous);
            received.position = Some(Position {
                epoch: self.epoch,
                offset: stored.offset,
            });
            stored.log.push(received.clone());
            let excess = stored.log.len().saturating_sub(keep.count as usize);
            stored.log.drain(..excess);
        }
        let position = received.position;
        stored.latest.insert(runner, (number, position));
        self.send_round(&topic, || {
            Incoming::Published(topic.clone(), received.clone())
        });
        position
    }

    fn members(&self, topic: &Topic) -> Members {
        let members = self.members.iter().filter(|((of, _), _)| of == topic);
        let listed: Vec<_> = members
            .map(|((_, key), info)| (*key, info.clone()))
            .collect();
        Members {
            count: listed.len() as u64,
            listed,
        }
    }

    /// What the listed members of a topic say about themselves.
    pub(super) fn listed(&self, topic: &Topic) -> Vec<String> {
        let listed = self.members(topic).listed.into_iter();
        listed
            .map(|(_, info)| String::from_utf8_lossy(&info).into_owned())
            .collect()
    }

    fn send_round(&mut self, topic: &Topic, incoming: impl Fn() -> Incoming) {
        for connection in &mut self.connections {
            if connection.subscribed.contains(topic) {
                connection.live.push_back(incoming());
            }
        }
    }
}

impl Stored {
    fn history(&self, epoch: u64, start: Start) -> History {
        let Some(_) = self.keep else {
            return History {
                is_complete: !matches!(start, Start::After(_)),
                ..History::default()
            };
        };
        let (skipped, is_complete) = match start {
            Start::Now => (self.log.len(), true),
            Start::Last(count) => (self.log.len().saturating_sub(count as usize), true),
            Start::After(after) => self.after(epoch, after),
        };
        History {
            publications: self.log[skipped..].to_vec(),
            position: Some(Position {
                epoch,
                offset: self.offset,
            }),
            is_complete,
        }
    }

    fn after(&self, epoch: u64, after: Position) -> (usize, bool) {
        if after.epoch != epoch || after.offset > self.offset {
            return (0, false);
        }
        let is_before = |one: &&Received| one.position.is_some_and(|at| at.offset <= after.offset);
        let skipped = self.log.iter().take_while(is_before).count();
        let first = self.log.get(skipped);
        let previous = first.map_or(self.offset, |first| first.previous.unwrap_or(0));
        (skipped, previous <= after.offset)
    }
}
