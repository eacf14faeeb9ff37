//! What waits for a connection until its output is sent: publications and events, in order and bounded.

use std::collections::VecDeque;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;

use wasocket_bus::position::Position;
use wasocket_bus::topic::Topic;

use crate::contract::bindings::{Gap, TopicEvent};
use crate::limits::unsent::{UnsentBudget, UnsentShare};
use crate::topics::publication::Arrived;
use crate::topics::settings::SlowSubscriber;

/// What an entry counts for in addition to its message.
const OVERHEAD: usize = 128;

/// What waits for one connection.
pub(crate) struct Waiting {
    entries: VecDeque<Entry>,
    /// What the entries count for, except those that are admitted whatever they count for.
    bytes: usize,
    share: UnsentShare,
    slowness: Slowness,
}

/// What a connection is given next.
#[derive(Clone, Debug)]
pub(crate) enum Due {
    /// A publication, by `deliver`.
    Publication(Rc<Arrived>),
    /// An event, by `tell`.
    Event(TopicEvent),
}

/// Whether a subscriber keeps up.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Slowness {
    KeepsUp,
    TooSlow,
    /// It has been told, and is given nothing more.
    Told,
}

/// What waits, while something else is to come before it.
pub(super) struct Entries(VecDeque<Entry>);

struct Entry {
    /// `None` for an answer that has no place in the order of a topic.
    topic: Option<Topic>,
    due: Due,
    /// The number of bytes that it counts for.
    cost: usize,
    /// What may become of it; `None` if it always stays.
    policy: Option<SlowSubscriber>,
}

/// What had to be dropped so that something else could wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) publications: u64,
    pub(crate) gaps: u64,
    /// Whether the connection is too slow from now on.
    pub(crate) is_too_slow: bool,
}

impl Waiting {
    pub(super) fn new(budget: &Arc<UnsentBudget>) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            share: UnsentShare::new(budget),
            slowness: Slowness::KeepsUp,
        }
    }

    /// Whether the connection keeps up, and is given what waits.
    pub(super) fn keeps_up(&self) -> bool {
        self.slowness == Slowness::KeepsUp
    }

    /// What waits, each with the topic in whose order it stands.
    pub(super) fn entries(&self) -> impl Iterator<Item = (Option<&Topic>, &Due)> {
        self.entries
            .iter()
            .map(|entry| (entry.topic.as_ref(), &entry.due))
    }

    /// Takes what waits, to be [appended](Self::append) again.
    pub(super) fn take_entries(&mut self) -> Entries {
        Entries(mem::take(&mut self.entries))
    }

    /// Adds what was taken.
    pub(super) fn append(&mut self, Entries(entries): Entries) {
        if self.keeps_up() {
            self.entries.extend(entries);
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.slowness != Slowness::TooSlow
    }

    /// Takes what comes next; while output is unsent, only that the connection is too slow.
    pub(super) fn next(&mut self, is_sent: bool) -> Option<Due> {
        if self.slowness == Slowness::TooSlow {
            self.slowness = Slowness::Told;
            return Some(Due::Event(TopicEvent::TooSlow));
        }
        if !is_sent {
            return None;
        }
        let entry = self.entries.pop_front()?;
        self.discount(&entry);
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
        Some(entry.due)
    }

    /// Adds what waits in any case: the answer to what the connection has asked for.
    pub(super) fn add_answer(&mut self, topic: Option<&Topic>, due: Due) {
        if self.slowness == Slowness::KeepsUp {
            self.entries.push_back(Entry {
                topic: topic.cloned(),
                due,
                cost: 0,
                policy: None,
            });
        }
    }

    /// Adds a publication. `is_unsent`: whether it waits for the peer.
    pub(super) fn add(&mut self, arrived: &Rc<Arrived>, is_unsent: bool, max: usize) -> Dropped {
        let due = Due::Publication(Rc::clone(arrived));
        let (length, policy) = (arrived.length, arrived.policy);
        self.add_bounded(&arrived.topic, due, length, policy, is_unsent, max)
    }

    /// Adds an event that may be dropped like a publication.
    pub(super) fn add_event(
        &mut self,
        topic: &Topic,
        event: TopicEvent,
        policy: SlowSubscriber,
        max: usize,
    ) -> Dropped {
        self.add_bounded(topic, Due::Event(event), 0, policy, false, max)
    }

    /// Adds a gap, unless the last entry of the topic is one: then that gets the position.
    pub(super) fn add_gap(&mut self, topic: &Topic, position: Option<Position>) {
        if self.slowness != Slowness::KeepsUp {
            return;
        }
        let end = self.entries.len();
        if !self.join_gap(topic, position, end) {
            self.add_answer(Some(topic), gap(topic, position));
        }
    }

    /// Forgets the publications of a topic.
    pub(super) fn forget(&mut self, topic: &Topic) {
        let is_kept = |entry: &Entry| entry.topic.as_ref() != Some(topic) || entry.is_event();
        if self.entries.iter().all(is_kept) {
            return;
        }
        for entry in mem::take(&mut self.entries) {
            if is_kept(&entry) {
                self.entries.push_back(entry);
            } else {
                self.discount(&entry);
            }
        }
    }

    fn add_bounded(
        &mut self,
        topic: &Topic,
        due: Due,
        length: usize,
        policy: SlowSubscriber,
        is_unsent: bool,
        max: usize,
    ) -> Dropped {
        let mut dropped = Dropped::default();
        if self.slowness != Slowness::KeepsUp {
            dropped.publications = 1;
            return dropped;
        }
        if policy == SlowSubscriber::Latest && is_unsent {
            while let Some(index) = self.droppable(|entry| entry.topic.as_ref() == Some(topic)) {
                self.drop_entry(index, &mut dropped);
            }
        }
        let cost = OVERHEAD.saturating_add(length);
        let was_empty = self.bytes == 0;
        self.bytes = self.bytes.saturating_add(cost);
        self.entries.push_back(Entry {
            topic: Some(topic.clone()),
            due,
            cost,
            policy: Some(policy),
        });
        // A single one may be longer than all that may wait.
        while !was_empty && (self.bytes > max || self.share.set(self.bytes).is_err()) {
            let last = self.entries.len().saturating_sub(1);
            match self.droppable(|entry| entry.policy != Some(SlowSubscriber::Close)) {
                Some(index) if index < last => self.drop_entry(index, &mut dropped),
                _ if policy == SlowSubscriber::Close => return self.give_up(dropped),
                // The next one takes its place.
                _ => break,
            }
        }
        // Beyond its share of the budget there is only the one that was just added.
        let _ = self.share.set(self.bytes);
        dropped
    }

    /// The oldest entry of this kind that may be dropped.
    fn droppable(&self, is_meant: impl Fn(&Entry) -> bool) -> Option<usize> {
        let may = |entry: &Entry| entry.policy.is_some() && is_meant(entry);
        self.entries.iter().position(may)
    }

    /// Drops an entry, and leaves a gap in its place.
    fn drop_entry(&mut self, index: usize, dropped: &mut Dropped) {
        let Some(entry) = self.entries.remove(index) else {
            return;
        };
        self.discount(&entry);
        let position = match &entry.due {
            Due::Publication(arrived) => {
                dropped.publications += 1;
                arrived.position
            }
            Due::Event(_) => None,
        };
        let Some(topic) = entry.topic else {
            return;
        };
        if !self.join_gap(&topic, position, index) {
            dropped.gaps += 1;
            let gap = Entry {
                due: gap(&topic, position),
                topic: Some(topic),
                cost: 0,
                policy: None,
            };
            self.entries.insert(index, gap);
        }
    }

    /// Whether the last entry of the topic before this index is a gap, which then gets the position.
    fn join_gap(&mut self, topic: &Topic, position: Option<Position>, index: usize) -> bool {
        let mut before = self.entries.range_mut(..index).rev();
        let last = before.find(|entry| entry.topic.as_ref() == Some(topic));
        let Some(Due::Event(TopicEvent::Gap(gap))) = last.map(|entry| &mut entry.due) else {
            return false;
        };
        if let Some(position) = position {
            gap.position = Some(position.to_string());
        }
        true
    }

    /// The connection is too slow: what waits is dropped.
    fn give_up(&mut self, mut dropped: Dropped) -> Dropped {
        let is_publication = |entry: &&Entry| !entry.is_event();
        dropped.publications += self.entries.iter().filter(is_publication).count() as u64;
        dropped.is_too_slow = true;
        self.entries = VecDeque::new();
        self.bytes = 0;
        let _ = self.share.set(0);
        self.slowness = Slowness::TooSlow;
        dropped
    }

    fn discount(&mut self, entry: &Entry) {
        self.bytes = self.bytes.saturating_sub(entry.cost);
        // It shrinks, which is never refused.
        let _ = self.share.set(self.bytes);
    }
}

impl Entry {
    fn is_event(&self) -> bool {
        matches!(self.due, Due::Event(_))
    }
}

fn gap(topic: &Topic, position: Option<Position>) -> Due {
    Due::Event(TopicEvent::Gap(Gap {
        topic: topic.to_string(),
        position: position.map(|position| position.to_string()),
    }))
}

#[cfg(test)]
mod tests {
    use wasocket_bus::message::{Kind, Message, Publication};

    use super::*;

    const MAX: usize = 3 * (OVERHEAD + 10);

    fn topic(name: &str) -> Topic {
        Topic::new(name).unwrap_or_else(|_| unreachable!("a name"))
    }

    fn arrived(name: &str, offset: u64, policy: SlowSubscriber) -> Rc<Arrived> {
        let publication = Publication {
            message: Message {
                kind: Kind::Binary,
                bytes: vec![0; 10].into(),
            },
            position: Some(Position { epoch: 0, offset }),
            exclude: None,
        };
        Rc::new(Arrived::new(&topic(name), &publication, policy, None))
    }

    /// Adds one publication for each offset.
    fn add(
        waiting: &mut Waiting,
        name: &str,
        offsets: std::ops::RangeInclusive<u64>,
        policy: SlowSubscriber,
    ) -> Dropped {
        let mut all = Dropped::default();
        for offset in offsets {
            let dropped = waiting.add(&arrived(name, offset, policy), true, MAX);
            all.publications += dropped.publications;
            all.gaps += dropped.gaps;
            all.is_too_slow |= dropped.is_too_slow;
        }
        all
    }

    /// What is due, as text: `a3` for a publication, `gap a3` for a gap.
    fn all(waiting: &mut Waiting) -> Vec<String> {
        let text = |due| match due {
            Due::Publication(arrived) => {
                let offset = arrived.position.map(|position| position.offset);
                format!("{}{}", arrived.topic, offset.unwrap_or_default())
            }
            Due::Event(TopicEvent::Gap(gap)) => {
                let position = gap.position.unwrap_or_default();
                let (_, offset) = position.split_once('-').unwrap_or_default();
                format!("gap {}{offset}", gap.topic)
            }
            Due::Event(TopicEvent::TooSlow) => "too slow".to_owned(),
            Due::Event(_) => "event".to_owned(),
        };
        std::iter::from_fn(|| waiting.next(true))
            .map(text)
            .collect()
    }

    fn waiting() -> Waiting {
        Waiting::new(&UnsentBudget::new(1 << 20))
    }

    #[test]
    fn what_waits_comes_in_order_once_the_output_is_sent() {
        let mut waiting = waiting();
        assert!(waiting.is_empty());
        let dropped = add(&mut waiting, "a", 1..=3, SlowSubscriber::Close);
        assert_eq!(dropped, Dropped::default());
        assert!(!waiting.is_empty() && waiting.next(false).is_none());
        assert_eq!(all(&mut waiting), ["a1", "a2", "a3"]);
        assert!(waiting.is_empty() && waiting.bytes == 0);
    }

    #[test]
    fn a_subscriber_that_is_too_slow_is_told_at_once_and_given_nothing_more() {
        let mut waiting = waiting();
        let dropped = add(&mut waiting, "a", 1..=5, SlowSubscriber::Close);
        assert!(dropped.is_too_slow);
        assert_eq!(dropped.publications, 5);
        assert!(matches!(
            waiting.next(false),
            Some(Due::Event(TopicEvent::TooSlow))
        ));
        add(&mut waiting, "a", 6..=6, SlowSubscriber::Close);
        waiting.add_gap(&topic("a"), None);
        assert!(waiting.is_empty());
    }

    #[test]
    fn the_oldest_are_dropped_and_leave_one_gap() {
        let mut waiting = waiting();
        let dropped = add(&mut waiting, "a", 1..=6, SlowSubscriber::DropOldest);
        assert_eq!((dropped.publications, dropped.gaps), (3, 1));
        assert_eq!(all(&mut waiting), ["gap a3", "a4", "a5", "a6"]);
    }

    #[test]
    fn a_gap_comes_before_what_remains_of_its_topic() {
        let mut waiting = waiting();
        add(&mut waiting, "a", 1..=1, SlowSubscriber::Close);
        add(&mut waiting, "b", 1..=4, SlowSubscriber::DropOldest);
        assert_eq!(all(&mut waiting), ["a1", "gap b2", "b3", "b4"]);
        // What may be dropped makes room for what may not.
        add(&mut waiting, "b", 1..=3, SlowSubscriber::DropOldest);
        let dropped = add(&mut waiting, "a", 1..=2, SlowSubscriber::Close);
        assert!(!dropped.is_too_slow);
        assert_eq!(all(&mut waiting), ["gap b2", "b3", "a1", "a2"]);
    }

    #[test]
    fn only_the_latest_waits_for_a_peer_that_is_behind() {
        let mut waiting = waiting();
        add(&mut waiting, "a", 1..=2, SlowSubscriber::Latest);
        add(&mut waiting, "b", 1..=1, SlowSubscriber::Close);
        let dropped = add(&mut waiting, "a", 3..=9, SlowSubscriber::Latest);
        assert_eq!((dropped.publications, dropped.gaps), (7, 0));
        assert_eq!(all(&mut waiting), ["gap a8", "b1", "a9"]);
        // One that is only busy loses nothing.
        for offset in 1..=3 {
            waiting.add(&arrived("a", offset, SlowSubscriber::Latest), false, MAX);
        }
        assert_eq!(all(&mut waiting), ["a1", "a2", "a3"]);
    }

    #[test]
    fn a_single_publication_may_be_longer_than_all_that_may_wait() {
        let mut waiting = waiting();
        let dropped = waiting.add(&arrived("a", 1, SlowSubscriber::Close), true, 1);
        assert_eq!(dropped, Dropped::default());
        assert!(
            waiting
                .add(&arrived("a", 2, SlowSubscriber::Close), true, 1)
                .is_too_slow
        );
    }

    #[test]
    fn what_waits_counts_as_unsent() {
        let budget = UnsentBudget::new(2 * (OVERHEAD + 10));
        let mut waiting = Waiting::new(&budget);
        let dropped = add(&mut waiting, "a", 1..=3, SlowSubscriber::DropOldest);
        assert_eq!(dropped.publications, 1);
        assert_eq!(budget.total(), 2 * (OVERHEAD + 10));
        drop(waiting);
        assert_eq!(budget.total(), 0);
    }

    #[test]
    fn what_is_forgotten_is_not_given() {
        let mut waiting = waiting();
        add(&mut waiting, "a", 1..=1, SlowSubscriber::Close);
        add(&mut waiting, "b", 1..=1, SlowSubscriber::Close);
        waiting.forget(&topic("a"));
        assert_eq!(waiting.bytes, OVERHEAD + 10);
        assert_eq!(all(&mut waiting), ["b1"]);
    }
}
