//! What waits for a client that has not taken its output.

use alloc::collections::VecDeque;
use alloc::rc::Rc;

use wasocket_host_core::topics::Delivery;

use crate::handler::{Message, TopicEvent};

/// The most bytes that wait for a client that has not taken its output.
const MAX_WAITING: usize = 1024 * 1024;

/// What an event counts for there: little more than a member has to say.
const EVENT_SIZE: usize = 512;

/// Something that has arrived.
pub(crate) enum Item {
    Publication(Rc<Delivery<Message>>),
    Event(TopicEvent),
}

/// What has arrived while output was unsent.
#[derive(Default)]
pub(super) struct Arrivals {
    items: VecDeque<Item>,
    size: usize,
}

impl Arrivals {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn push(&mut self, item: Item) {
        self.size = self.size.saturating_add(item.size());
        self.items.push_back(item);
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.size = self.size.saturating_sub(item.size());
        Some(item)
    }

    /// A single item always may wait, or it could never be delivered.
    pub(super) fn is_too_long(&self) -> bool {
        self.size > MAX_WAITING && self.items.len() > 1
    }
}

impl Item {
    fn size(&self) -> usize {
        match self {
            Self::Publication(delivery) => delivery.size,
            Self::Event(_) => EVENT_SIZE,
        }
    }
}
