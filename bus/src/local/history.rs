//! The histories of the local bus: what was published, within the operator's bounds.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limits::HistoryLimits;
use crate::message::{Keep, Publication, Start};
use crate::position::Position;
use crate::topic::Topic;

/// The histories of all topics that have one.
#[derive(Debug)]
pub(super) struct Histories {
    of: HashMap<Topic, History>,
    /// By last use, the longest ago first.
    by_use: BTreeMap<u64, Topic>,
    uses: u64,
    bytes: usize,
    limits: HistoryLimits,
    /// Where epochs begin: they must not repeat those of an earlier process.
    first_epoch: u64,
    epochs: u64,
}

/// The history of one topic. A new epoch begins with it.
#[derive(Debug)]
struct History {
    keep: Keep,
    position: Position,
    entries: VecDeque<(Arc<Publication>, Instant)>,
    bytes: usize,
    last_use: u64,
    used_at: Instant,
}

/// What a reader gets.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) position: Option<Position>,
    pub(super) recovered: bool,
    pub(super) missed: Vec<Arc<Publication>>,
}

/// What an entry counts for in addition to its message.
const OVERHEAD: usize = 128;

impl Histories {
    pub(super) fn new(limits: HistoryLimits) -> Self {
        Self {
            of: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            bytes: 0,
            limits,
            first_epoch: RandomState::new().hash_one("epoch"),
            epochs: 0,
        }
    }

    /// The names of the topics with history.
    pub(super) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.of.keys()
    }

    pub(super) fn position(&self, topic: &Topic) -> Option<Position> {
        Some(self.of.get(topic)?.position)
    }

    /// What a topic keeps, if it has history.
    pub(super) fn kept(&self, topic: &Topic) -> Option<(Keep, Position)> {
        let history = self.of.get(topic)?;
        Some((history.keep, history.position))
    }

    /// All publications of a topic's history, with their ages.
    pub(super) fn entries(
        &self,
        topic: &Topic,
        now: Instant,
    ) -> impl Iterator<Item = (&Publication, Duration)> {
        let entries = self.of.get(topic).map(|history| &history.entries);
        entries
            .into_iter()
            .flatten()
            .map(move |(publication, at)| (&**publication, now.saturating_duration_since(*at)))
    }

    /// Gives a topic the history that it has in another process. What is already kept stays if it has the same epoch.
    pub(super) fn adopt(&mut self, topic: &Topic, keep: Keep, position: Position, now: Instant) {
        if self
            .of
            .get(topic)
            .is_some_and(|history| history.position.epoch != position.epoch)
        {
            self.remove(topic);
        }
        let is_new = !self.of.contains_key(topic);
        self.keep(topic, keep, now);
        if let Some(history) = self.of.get_mut(topic)
            && is_new
        {
            history.position = position;
        }
    }

    /// Keeps a publication whose position comes from another process, if the topic has history.
    pub(super) fn record(
        &mut self,
        topic: &Topic,
        publication: Publication,
        at: Instant,
        now: Instant,
    ) -> Arc<Publication> {
        let kept = Arc::new(publication);
        let Some(history) = self.of.get_mut(topic) else {
            return kept;
        };
        let before = history.bytes;
        history.record(&kept, at, now);
        self.bytes = self.bytes + history.bytes - before;
        self.touch(topic, now);
        self.make_room(topic);
        kept
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives a topic a history of this length, or a longer one if it has that. `keep` must be allowed.
    pub(super) fn keep(&mut self, topic: &Topic, keep: Keep, now: Instant) {
        if let Some(history) = self.of.get_mut(topic) {
            history.keep = history.keep.max_of_both(keep);
            return;
        }
        if self.of.len() >= self.limits.topics {
            self.remove_least_recently_used();
        }
        self.epochs = self.epochs.wrapping_add(1);
        let epoch = self.first_epoch.wrapping_add(self.epochs);
        let history = History {
            keep,
            position: Position { epoch, offset: 0 },
            entries: VecDeque::new(),
            bytes: 0,
            last_use: 0,
            used_at: now,
        };
        self.of.insert(topic.clone(), history);
        self.touch(topic, now);
    }

    /// Gives a publication its position and keeps it, if the topic has history. `publication.position` is set.
    pub(super) fn add(
        &mut self,
        topic: &Topic,
        publication: Publication,
        now: Instant,
    ) -> Arc<Publication> {
        let Some(history) = self.of.get_mut(topic) else {
            return Arc::new(publication);
        };
        let before = history.bytes;
        let kept = history.add(publication, now);
        self.bytes = self.bytes + history.bytes - before;
        self.touch(topic, now);
        self.make_room(topic);
        kept
    }

    /// Reads what a subscriber that begins there has missed.
    pub(super) fn read(&mut self, topic: &Topic, start: Start, now: Instant) -> Read {
        let Some(history) = self.of.get_mut(topic) else {
            let recovered = !matches!(start, Start::After(_));
            return Read {
                recovered,
                ..Read::default()
            };
        };
        let before = history.bytes;
        history.expire(now);
        let read = history.read(start);
        self.bytes = self.bytes + history.bytes - before;
        self.touch(topic, now);
        read
    }

    /// Notes that a topic is used: the histories that are not go first.
    pub(super) fn touch(&mut self, topic: &Topic, now: Instant) {
        let Some(history) = self.of.get_mut(topic) else {
            return;
        };
        history.used_at = now;
        if history.last_use == self.uses && self.uses > 0 {
            return;
        }
        self.uses += 1;
        let name = self.by_use.remove(&history.last_use);
        history.last_use = self.uses;
        self.by_use
            .insert(self.uses, name.unwrap_or_else(|| topic.clone()));
    }

    /// Removes the history that was not used for the longest time if all of it is too old. With subscribers it stays,
    /// so that those that come back find the epoch that they know.
    pub(super) fn remove_expired(
        &mut self,
        has_subscribers: impl Fn(&Topic) -> bool,
        now: Instant,
    ) {
        let Some(topic) = self.by_use.values().next() else {
            return;
        };
        let Some(history) = self.of.get(topic) else {
            return;
        };
        let age = now.saturating_duration_since(history.used_at);
        if age < history.keep.age() {
            return;
        }
        let topic = topic.clone();
        if has_subscribers(&topic) {
            self.touch(&topic, now);
        } else {
            self.remove(&topic);
        }
    }

    fn make_room(&mut self, recent: &Topic) {
        while self.bytes > self.limits.bytes {
            if self.of.len() > 1 {
                self.remove_least_recently_used();
                continue;
            }
            let Some(history) = self.of.get_mut(recent) else {
                return;
            };
            let before = history.bytes;
            history.remove_oldest();
            self.bytes = self.bytes + history.bytes - before;
        }
    }

    fn remove_least_recently_used(&mut self) {
        if let Some(topic) = self.by_use.values().next().cloned() {
            self.remove(&topic);
        }
    }

    fn remove(&mut self, topic: &Topic) {
        if let Some(history) = self.of.remove(topic) {
            self.bytes -= history.bytes;
            self.by_use.remove(&history.last_use);
        }
    }
}

impl History {
    fn add(&mut self, mut publication: Publication, now: Instant) -> Arc<Publication> {
        self.position.offset += 1;
        publication.position = Some(self.position);
        let kept = Arc::new(publication);
        self.push(&kept, now);
        self.expire(now);
        kept
    }

    /// Keeps a publication that has a position. If that is of another epoch, drops all others.
    fn record(&mut self, kept: &Arc<Publication>, at: Instant, now: Instant) {
        let Some(position) = kept.position else {
            return;
        };
        if position.epoch != self.position.epoch {
            self.entries.clear();
            self.bytes = 0;
        }
        if position.epoch != self.position.epoch || position.offset > self.position.offset {
            self.position = position;
        }
        self.push(kept, at);
        self.expire(now);
    }

    fn push(&mut self, kept: &Arc<Publication>, at: Instant) {
        self.bytes += cost(kept);
        self.entries.push_back((Arc::clone(kept), at));
    }

    fn expire(&mut self, now: Instant) {
        let too_many = |entries: &VecDeque<_>| entries.len() > self.keep.count as usize;
        let is_old = |(_, at): &(_, Instant)| now.saturating_duration_since(*at) >= self.keep.age();
        while too_many(&self.entries) || self.entries.front().is_some_and(is_old) {
            if let Some((oldest, _)) = self.entries.pop_front() {
                self.bytes -= cost(&oldest);
            }
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((oldest, _)) = self.entries.pop_front() {
            self.bytes -= cost(&oldest);
        }
    }

    fn read(&self, start: Start) -> Read {
        let (recovered, skipped) = match start {
            Start::Now => (true, self.entries.len()),
            Start::Last(count) => (true, self.entries.len().saturating_sub(count as usize)),
            Start::After(position) => self.after(position),
        };
        let missed = self.entries.iter().skip(skipped);
        Read {
            position: Some(self.position),
            recovered,
            missed: missed.map(|(kept, _)| Arc::clone(kept)).collect(),
        }
    }

    /// Whether history reaches back to a position, and how many entries are before it.
    fn after(&self, position: Position) -> (bool, usize) {
        let missing = self.position.offset.checked_sub(position.offset);
        let missing = missing.and_then(|count| usize::try_from(count).ok());
        match missing {
            Some(missing) if position.epoch == self.position.epoch => {
                let all = self.entries.len();
                let skipped = all.checked_sub(missing);
                (skipped.is_some(), skipped.unwrap_or(all))
            }
            // Of another epoch: nothing here is known to be new to the subscriber, or to be all.
            _ => (false, self.entries.len()),
        }
    }
}

fn cost(publication: &Publication) -> usize {
    OVERHEAD + publication.message.bytes.len()
}
