use alloc::collections::VecDeque;

use crate::protocol::{Message, MessageType, Piece};

/// The number of messages, or pieces of them, that may wait for the app before reading from the peer stops.
const MAX_ITEMS: usize = 16;

/// The same in bytes; the last one may exceed it.
const MAX_BYTES: usize = 256 * 1024;

/// Messages that have been received, but not yet taken by the app.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    items: VecDeque<Item>,
    bytes: usize,
    /// The reader of the message at the front, of which more is to come.
    reader: Option<u64>,
    last_reader: u64,
    /// Whether to skip the rest of the message in progress.
    skips: bool,
}

#[derive(Debug)]
pub(crate) enum Item {
    Whole(Message),
    Piece(Piece),
}

impl Item {
    pub(crate) fn message_type(&self) -> MessageType {
        match self {
            Self::Whole(message) => message.message_type(),
            Self::Piece(piece) => piece.message_type,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Whole(message) => message.as_bytes().len(),
            Self::Piece(piece) => piece.bytes.len(),
        }
    }

    fn is_last(&self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Piece(piece) => piece.last,
        }
    }
}

impl Inbox {
    /// Whether to stop reading from the peer.
    pub(crate) fn is_full(&self) -> bool {
        self.items.len() >= MAX_ITEMS || self.bytes >= MAX_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn push(&mut self, item: Item) {
        if self.skips {
            self.skips = !item.is_last();
            return;
        }
        self.bytes += item.len();
        self.items.push_back(item);
    }

    fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.bytes = self.bytes.saturating_sub(item.len());
        Some(item)
    }

    /// The beginning of the next message, or all of it, and the number of its reader.
    pub(crate) fn begin(&mut self) -> Option<(Item, u64)> {
        let item = self.pop()?;
        self.last_reader = self.last_reader.wrapping_add(1);
        self.reader = (!item.is_last()).then_some(self.last_reader);
        Some((item, self.last_reader))
    }

    /// The next piece of the message that is being read.
    pub(crate) fn next_piece(&mut self) -> Option<Piece> {
        let piece = match self.pop()? {
            Item::Piece(piece) => piece,
            Item::Whole(message) => message.into(),
        };
        if piece.last {
            self.reader = None;
        }
        Some(piece)
    }

    /// Whether this reader's message has more to come.
    pub(crate) fn is_reader(&self, number: u64) -> bool {
        self.reader == Some(number)
    }

    /// Skips the rest of the message that is being read, if any.
    pub(crate) fn abandon(&mut self) {
        if self.reader.take().is_none() {
            return;
        }
        while let Some(item) = self.pop() {
            if item.is_last() {
                return;
            }
        }
        self.skips = true;
    }

    pub(crate) fn clear(&mut self) {
        self.items = VecDeque::new();
        self.bytes = 0;
    }
}
