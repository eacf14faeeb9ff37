//! One topic of the bus.

use std::collections::VecDeque;

use wasocket::topics::{Delivery, History, Start, SubscriptionRequest};

use super::{Member, NodeId, PeerId};

/// A topic: its subscribers in the order in which they came, and its latest publications.
#[derive(Debug)]
pub(super) struct Topic {
    epoch: u64,
    /// The offset of the latest publication.
    offset: u64,
    /// How much is kept; `None` if there are no positions.
    keep: Option<History>,
    history: VecDeque<Kept>,
    pub(super) subscribers: Vec<Subscriber>,
}

#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) node: NodeId,
    pub(super) peer: PeerId,
    pub(super) request: SubscriptionRequest,
}

/// A publication in history.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    offset: u64,
    /// In nanoseconds.
    at: u64,
    /// The node that has delivered it to its own subscribers already.
    pub(super) origin: Option<NodeId>,
    pub(super) delivery: Delivery,
}

/// Where a topic stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    epoch: u64,
    offset: u64,
}

/// What a new subscriber has missed.
#[derive(Debug, Default)]
pub(super) struct Missed {
    pub(super) deliveries: Vec<Delivery>,
    pub(super) recovered: bool,
}

impl Topic {
    pub(super) fn new(epoch: u64) -> Self {
        Self {
            epoch,
            offset: 0,
            keep: None,
            history: VecDeque::new(),
            subscribers: Vec::new(),
        }
    }

    /// Where the topic stands.
    pub(super) fn position(&self) -> Option<String> {
        self.keep.map(|_| self.position_of(self.offset))
    }

    fn position_of(&self, offset: u64) -> String {
        format!("{:016x}-{offset}", self.epoch)
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            epoch: self.epoch,
            offset: self.offset,
        }
    }

    pub(super) fn beginning(&self) -> Mark {
        Mark {
            epoch: self.epoch,
            offset: 0,
        }
    }

    /// Keeps at least this much from now on.
    pub(super) fn keep(&mut self, more: Option<History>) {
        let Some(more) = more else { return };
        let own = self.keep.unwrap_or(more);
        self.keep = Some(History {
            count: own.count.max(more.count),
            seconds: own.seconds.max(more.seconds),
        });
    }

    /// Puts a publication in its place.
    pub(super) fn append(
        &mut self,
        mut delivery: Delivery,
        origin: Option<NodeId>,
        now: u64,
    ) -> Delivery {
        self.offset += 1;
        let Some(keep) = self.keep else {
            return delivery;
        };
        delivery.position = self.position();
        self.history.push_back(Kept {
            offset: self.offset,
            at: now,
            origin,
            delivery: delivery.clone(),
        });
        while self.history.len() > keep.count as usize {
            self.history.pop_front();
        }
        delivery
    }

    /// Drops what is too old.
    pub(super) fn expire(&mut self, now: u64) {
        let age = self.keep.map_or(0, |keep| u64::from(keep.seconds));
        let oldest = now.saturating_sub(age.saturating_mul(1_000_000_000));
        self.history.retain(|kept| kept.at >= oldest);
    }

    /// What a subscriber with this start has missed.
    pub(super) fn missed(&self, start: &Start) -> Missed {
        match start {
            Start::Now => Missed {
                deliveries: Vec::new(),
                recovered: true,
            },
            Start::Last(count) => {
                let skipped = self.history.len().saturating_sub(*count as usize);
                let latest = self.history.iter().skip(skipped);
                Missed {
                    deliveries: latest.map(|kept| kept.delivery.clone()).collect(),
                    recovered: true,
                }
            }
            Start::After(position) => self.after_position(position).unwrap_or_default(),
        }
    }

    fn after_position(&self, position: &str) -> Option<Missed> {
        let (epoch, offset) = position.split_once('-')?;
        let mark = Mark {
            epoch: u64::from_str_radix(epoch, 16).ok()?,
            offset: offset.parse().ok()?,
        };
        if self.position_of(mark.offset) != position {
            return None;
        }
        let kept = self.after(mark)?;
        Some(Missed {
            deliveries: kept.map(|kept| kept.delivery.clone()).collect(),
            recovered: true,
        })
    }

    /// What follows; `None` if history does not reach back that far, or there is none.
    pub(super) fn after(&self, mark: Mark) -> Option<impl Iterator<Item = &Kept>> {
        if self.keep.is_none() || mark.epoch != self.epoch {
            return None;
        }
        let missed = usize::try_from(self.offset.checked_sub(mark.offset)?).ok()?;
        let kept = self.history.iter();
        let kept = kept.filter(move |kept| kept.offset > mark.offset);
        (kept.clone().count() == missed).then_some(kept)
    }

    /// Forgets history; positions begin again.
    pub(super) fn restart(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.offset = 0;
        self.history.clear();
    }

    pub(super) fn members(&self) -> impl Iterator<Item = Member> + '_ {
        self.subscribers.iter().filter_map(|own| {
            Some(Member {
                node: own.node,
                info: own.request.member.clone()?,
            })
        })
    }

    pub(super) fn remove(&mut self, node: NodeId, peer: PeerId) -> Option<Subscriber> {
        let is_own = |own: &Subscriber| own.node == node && own.peer == peer;
        let place = self.subscribers.iter().position(is_own)?;
        Some(self.subscribers.remove(place))
    }
}
