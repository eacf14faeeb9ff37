//! What topics keep of their publications, within bounds.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Delivery, Instant, Keep, Start};

/// The most topics with history.
const MAX_TOPICS: usize = 10_000;
/// The most publications of one topic.
const MAX_COUNT: u32 = 1_000;
/// The greatest age of a publication, in seconds.
const MAX_SECONDS: u32 = 24 * 60 * 60;
/// The most bytes, all topics together. If there are more, the history that was used least recently goes.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// What a publication counts for in addition to its message.
pub(super) const OVERHEAD: usize = 128;

const NANOSECONDS: u64 = 1_000_000_000;

/// The histories of all topics that have one.
#[derive(Debug)]
pub(super) struct Histories<M> {
    of: BTreeMap<String, History<M>>,
    bytes: usize,
    epoch: u64,
    uses: u64,
}

/// The history of one topic. A new epoch begins with it.
#[derive(Debug)]
struct History<M> {
    keep: Keep,
    epoch: u64,
    /// Of the last publication.
    offset: u64,
    entries: VecDeque<(Rc<Delivery<M>>, Instant)>,
    last_use: u64,
}

/// What a subscriber that begins there has missed.
#[derive(Debug)]
pub(super) struct Read<M> {
    pub(super) position: Option<String>,
    pub(super) recovered: bool,
    pub(super) missed: Vec<Rc<Delivery<M>>>,
}

/// The longer one of what is granted already, and what is granted of a wish.
pub(super) fn longer(granted: Option<Keep>, wanted: Option<Keep>) -> Option<Keep> {
    let wanted = wanted.map(|keep| Keep {
        count: keep.count.min(MAX_COUNT),
        seconds: keep.seconds.min(MAX_SECONDS),
    });
    let wanted = wanted.filter(|keep| keep.count > 0 && keep.seconds > 0);
    match (granted, wanted) {
        (Some(one), Some(other)) => Some(Keep {
            count: one.count.max(other.count),
            seconds: one.seconds.max(other.seconds),
        }),
        (one, other) => one.or(other),
    }
}

impl<M> Histories<M> {
    pub(super) fn new(epoch: u64) -> Self {
        Self {
            of: BTreeMap::new(),
            bytes: 0,
            epoch,
            uses: 0,
        }
    }

    /// Gives a topic a history of this length, or a longer one if it has that.
    pub(super) fn keep(&mut self, topic: &str, keep: Keep) {
        if let Some(history) = self.of.get_mut(topic) {
            history.keep = longer(Some(history.keep), Some(keep)).unwrap_or(keep);
            return;
        }
        if self.of.len() >= MAX_TOPICS {
            self.remove_least_recently_used();
        }
        self.epoch = self.epoch.wrapping_add(1);
        self.uses = self.uses.saturating_add(1);
        let history = History {
            keep,
            epoch: self.epoch,
            offset: 0,
            entries: VecDeque::new(),
            last_use: self.uses,
        };
        self.of.insert(topic.to_owned(), history);
    }

    /// Gives a publication its position and keeps it, if the topic has history.
    pub(super) fn add(&mut self, mut delivery: Delivery<M>, now: Instant) -> Rc<Delivery<M>> {
        let topic = delivery.topic.clone();
        let Some(history) = self.used(&topic, now) else {
            return Rc::new(delivery);
        };
        history.offset = history.offset.saturating_add(1);
        delivery.position = Some(history.position());
        let kept = Rc::new(delivery);
        history.entries.push_back((Rc::clone(&kept), now));
        let dropped = history.expire(now);
        self.bytes = self.bytes.saturating_add(kept.size);
        self.bytes = self.bytes.saturating_sub(dropped);
        while self.bytes > MAX_BYTES {
            self.make_room(&topic);
        }
        kept
    }

    pub(super) fn read(&mut self, topic: &str, start: &Start, now: Instant) -> Read<M> {
        let Some(history) = self.used(topic, now) else {
            return Read {
                position: None,
                recovered: !matches!(start, Start::After(_)),
                missed: Vec::new(),
            };
        };
        let count = history.missed_by(start);
        let skipped = history.entries.len().saturating_sub(count.unwrap_or(0));
        let missed = history.entries.iter().skip(skipped);
        Read {
            position: Some(history.position()),
            recovered: count.is_some(),
            missed: missed.map(|(kept, _)| Rc::clone(kept)).collect(),
        }
    }

    /// The history of a topic, without what is too old.
    fn used(&mut self, topic: &str, now: Instant) -> Option<&mut History<M>> {
        let history = self.of.get_mut(topic)?;
        self.uses = self.uses.saturating_add(1);
        history.last_use = self.uses;
        self.bytes = self.bytes.saturating_sub(history.expire(now));
        Some(history)
    }

    fn make_room(&mut self, recent: &str) {
        if self.of.len() > 1 {
            self.remove_least_recently_used();
        } else if let Some(history) = self.of.get_mut(recent) {
            self.bytes = self.bytes.saturating_sub(history.remove_oldest());
        }
    }

    fn remove_least_recently_used(&mut self) {
        let oldest = self.of.iter().min_by_key(|(_, history)| history.last_use);
        let Some(topic) = oldest.map(|(topic, _)| topic.clone()) else {
            return;
        };
        let removed = self.of.remove(&topic);
        let entries = removed.into_iter().flat_map(|history| history.entries);
        let size: usize = entries.map(|(kept, _)| kept.size).sum();
        self.bytes = self.bytes.saturating_sub(size);
    }
}

impl<M> History<M> {
    fn position(&self) -> String {
        format!("{:016x}-{}", self.epoch, self.offset)
    }

    /// Drops what is too much or too old; the number of its bytes.
    fn expire(&mut self, now: Instant) -> usize {
        let age = u64::from(self.keep.seconds).saturating_mul(NANOSECONDS);
        let count = usize::try_from(self.keep.count).unwrap_or(usize::MAX);
        let is_old = |(_, at): &(_, Instant)| now.saturating_sub(*at) >= age;
        let mut dropped = 0_usize;
        while self.entries.len() > count || self.entries.front().is_some_and(is_old) {
            dropped = dropped.saturating_add(self.remove_oldest());
        }
        dropped
    }

    fn remove_oldest(&mut self) -> usize {
        let oldest = self.entries.pop_front();
        oldest.map_or(0, |(kept, _)| kept.size)
    }

    /// How many of the latest entries a subscriber has missed; `None` if that cannot be said.
    fn missed_by(&self, start: &Start) -> Option<usize> {
        let kept = self.entries.len();
        match start {
            Start::Now => Some(0),
            Start::Last(count) => {
                Some(usize::try_from(*count).map_or(kept, |count| count.min(kept)))
            }
            Start::After(position) => {
                let missed = self.offset.checked_sub(self.offset_of(position)?)?;
                usize::try_from(missed)
                    .ok()
                    .filter(|missed| *missed <= kept)
            }
        }
    }

    /// The offset of a position of this epoch.
    fn offset_of(&self, position: &str) -> Option<u64> {
        let (epoch, offset) = position.split_once('-')?;
        let is_epoch = epoch.len() == 16 && u64::from_str_radix(epoch, 16) == Ok(self.epoch);
        let is_number = offset.bytes().all(|byte| byte.is_ascii_digit());
        offset.parse().ok().filter(|_| is_epoch && is_number)
    }
}
