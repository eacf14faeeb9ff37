//! Watches what workers get and what is published, and says what is wrong with it.
//!
//! It knows nothing of engines, so it checks any of them, and the bus without one: everything that is announced with a
//! position is seen exactly once and in order by every subscriber that was live, and so is everything that is published
//! while it is, or a gap is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::Arrival;
use crate::message::{Kind, Message, Publication, Start, SubscriberId};
use crate::position::Position;
use crate::topic::Topic;

/// A worker of one of the processes.
pub(crate) type Place = (usize, usize);

/// The account of one run.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    subscriptions: BTreeMap<(Place, SubscriberId), Account>,
    published: Vec<Call>,
    announced: BTreeMap<(Topic, u64, u64), String>,
    clock: u64,
    /// Whether an engine forgot what it had: then what was published before may come twice, behind a gap.
    pub(crate) has_amnesia: bool,
    pub(crate) gaps: usize,
    pub(crate) seen: usize,
}

/// A publication that was accepted.
#[derive(Debug)]
struct Call {
    topic: Topic,
    content: String,
    excluded: Option<(Place, SubscriberId)>,
    at: u64,
}

/// What one subscription got.
#[derive(Debug)]
struct Account {
    topic: Topic,
    start: Start,
    asked_at: u64,
    live_at: Option<u64>,
    has_left: bool,
    contents: Vec<String>,
    /// From where on nothing may be missing; `None` behind a gap without a position.
    complete_after: Option<Position>,
    last: Option<Position>,
    gap_at: u64,
    recovered: bool,
}

impl Checker {
    /// The next message of a publisher. The number counts its publications.
    pub(crate) fn message(place: Place, number: usize) -> Message {
        Message {
            kind: Kind::Text,
            bytes: format!("{}.{}:{number}", place.0, place.1).into(),
        }
    }

    pub(crate) fn subscribes(
        &mut self,
        place: Place,
        subscriber: SubscriberId,
        topic: &Topic,
        start: Start,
    ) {
        let account = Account {
            topic: topic.clone(),
            start,
            asked_at: self.clock,
            live_at: None,
            has_left: false,
            contents: vec![],
            complete_after: None,
            last: None,
            gap_at: 0,
            recovered: false,
        };
        self.subscriptions.insert((place, subscriber), account);
    }

    pub(crate) fn leaves(&mut self, place: Place, subscriber: SubscriberId) {
        if let Some(account) = self.subscriptions.get_mut(&(place, subscriber)) {
            account.has_left = true;
        }
    }

    /// Where it stands.
    pub(crate) fn position(&self, place: Place, subscriber: SubscriberId) -> Option<Position> {
        let account = self.subscriptions.get(&(place, subscriber))?;
        account.last.or(account.complete_after)
    }

    /// What it has seen.
    pub(crate) fn contents(&self, place: Place, subscriber: SubscriberId) -> Vec<String> {
        self.subscriptions[&(place, subscriber)].contents.clone()
    }

    /// Whether every subscription was answered, or left before.
    pub(crate) fn is_answered(&self) -> bool {
        let mut accounts = self.subscriptions.values();
        accounts.all(|account| account.live_at.is_some() || account.has_left)
    }

    /// Whether all that was published to live subscribers has been seen by them, gaps aside.
    pub(crate) fn is_complete(&self) -> bool {
        self.missing().is_none()
    }

    pub(crate) fn publishes(
        &mut self,
        topic: &Topic,
        message: &Message,
        excluded: Option<(Place, SubscriberId)>,
    ) {
        self.clock += 1;
        self.published.push(Call {
            topic: topic.clone(),
            content: content(message),
            excluded,
            at: self.clock,
        });
    }

    /// What a worker took from its inbox.
    pub(crate) fn takes(&mut self, place: Place, arrivals: Vec<Arrival>) {
        for arrival in arrivals {
            self.clock += 1;
            match arrival {
                Arrival::Publication { topic, publication } => {
                    self.announce(&topic, &publication);
                    for (subscriber, account) in self.live(place, &topic) {
                        if publication.exclude != Some(subscriber) {
                            account.see(&publication);
                        } else if publication.position.is_some() {
                            account.last = publication.position;
                        }
                    }
                }
                Arrival::Subscribed {
                    subscriber,
                    topic,
                    position,
                    recovered,
                    missed,
                } => self.subscribed((place, subscriber), &topic, position, recovered, missed),
                Arrival::Gap { topic, position } => {
                    self.gaps += 1;
                    let clock = self.clock;
                    for (_, account) in self.live(place, &topic) {
                        account.complete_after = position;
                        account.last = position;
                        account.gap_at = clock;
                    }
                }
                Arrival::Refused { subscriber, .. } => self.leaves(place, subscriber),
                _ => {}
            }
        }
    }

    fn subscribed(
        &mut self,
        of: (Place, SubscriberId),
        topic: &Topic,
        position: Option<Position>,
        recovered: bool,
        missed: Vec<Arc<Publication>>,
    ) {
        let clock = self.clock;
        for publication in &missed {
            self.announce(topic, publication);
        }
        let account = self.subscriptions.get_mut(&of).expect("a subscription");
        assert!(!account.has_left, "{of:?} became live after it had left");
        assert_eq!(account.live_at, None, "{of:?} became live twice");
        account.live_at = Some(clock);
        account.recovered = recovered;
        account.complete_after = match account.start {
            Start::After(after) if recovered => Some(after),
            _ => position,
        };
        for publication in &missed {
            account.see(publication);
        }
        account.last = position;
    }

    fn announce(&mut self, topic: &Topic, publication: &Publication) {
        self.seen += 1;
        let Some(Position { epoch, offset }) = publication.position else {
            return;
        };
        let content = content(&publication.message);
        let at = (topic.clone(), epoch, offset);
        let known = self.announced.entry(at).or_insert_with(|| content.clone());
        assert_eq!(known, &content, "two publications have one position");
    }

    fn live(
        &mut self,
        place: Place,
        topic: &Topic,
    ) -> impl Iterator<Item = (SubscriberId, &mut Account)> {
        let accounts = self.subscriptions.iter_mut();
        accounts.filter_map(move |((at, subscriber), account)| {
            let is_live = account.live_at.is_some() && !account.has_left;
            (*at == place && is_live && account.topic == *topic).then_some((*subscriber, account))
        })
    }

    /// Checks the whole account, at rest.
    pub(crate) fn check(&self) {
        for (of, account) in &self.subscriptions {
            if !self.has_amnesia {
                account.check_order(of);
            }
            let waits = account.live_at.is_none() && !account.has_left;
            assert!(!waits, "{of:?} was never answered: {account:?}");
        }
        if let Some(missing) = self.missing() {
            panic!("{missing}");
        }
    }

    /// The first thing that is missing.
    fn missing(&self) -> Option<String> {
        let accounts = self.subscriptions.iter();
        accounts
            .flat_map(|(of, account)| {
                let offset = self.missing_position(*of, account);
                offset.or_else(|| self.missing_call(*of, account))
            })
            .next()
    }

    fn missing_position(&self, of: (Place, SubscriberId), account: &Account) -> Option<String> {
        let Position { epoch, offset } = account.complete_after?;
        let end = match account.last {
            _ if !account.has_left => u64::MAX,
            Some(last) if last.epoch == epoch => last.offset,
            _ => return None,
        };
        let topic = account.topic.clone();
        let range =
            (topic.clone(), epoch, offset.saturating_add(1))..=(topic, epoch, end.max(offset + 1));
        let seen: BTreeSet<_> = account.contents.iter().collect();
        let is_from_now = account.start == Start::Now || !account.recovered;
        let is_excused =
            |call: &Call| call.excluded == Some(of) || (is_from_now && call.at <= account.asked_at);
        let is_excluded = |content: &String| {
            let mut calls = self.published.iter();
            calls.any(|call| call.content == *content && is_excused(call))
        };
        for ((_, _, at), content) in self.announced.range(range) {
            if *at <= end && !seen.contains(content) && !is_excluded(content) {
                return Some(format!(
                    "{of:?} has not seen {content} at {at}: {account:?}"
                ));
            }
        }
        None
    }

    fn missing_call(&self, of: (Place, SubscriberId), account: &Account) -> Option<String> {
        let live_at = account.live_at.filter(|_| !account.has_left)?;
        let seen: BTreeSet<_> = account.contents.iter().collect();
        let must_see = |call: &&Call| {
            let is_within = call.at > live_at && call.at > account.gap_at;
            is_within && call.topic == account.topic && call.excluded != Some(of)
        };
        let mut calls = self.published.iter().filter(must_see);
        let missing = calls.find(|call| !seen.contains(&call.content))?;
        Some(format!("{of:?} has not seen {missing:?}: {account:?}"))
    }
}

impl Account {
    fn see(&mut self, publication: &Publication) {
        self.contents.push(content(&publication.message));
        let Some(position) = publication.position else {
            return;
        };
        if let Some(last) = self.last.filter(|last| last.epoch == position.epoch) {
            assert!(
                last.offset < position.offset,
                "{position} came behind {last}: {self:?}"
            );
        }
        self.last = Some(position);
    }

    /// Nothing comes twice, and what one publisher sends comes in its order.
    fn check_order(&self, of: &(Place, SubscriberId)) {
        let mut latest: BTreeMap<&str, usize> = BTreeMap::new();
        for content in &self.contents {
            let (publisher, number) = content.split_once(':').expect("one of our messages");
            let number = number.parse().expect("a number");
            if let Some(before) = latest.insert(publisher, number) {
                assert!(
                    before < number,
                    "{of:?} got {content} behind {before}: {self:?}"
                );
            }
        }
    }
}

fn content(message: &Message) -> String {
    String::from_utf8_lossy(&message.bytes).into_owned()
}
