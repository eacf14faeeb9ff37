use alloc::collections::VecDeque;

use crate::protocol::{Message, MessageType, Piece};

/// How many messages, or pieces of them, wait for the app before no more is read from the peer.
const MAX_ITEMS: usize = 16;

/// The same in bytes; what comes last may go beyond.
const MAX_BYTES: usize = 256 * 1024;

/// What has been received, and not yet taken by the app.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    items: VecDeque<Item>,
    bytes: usize,
    /// Who reads the message at the front, of which more is to come.
    reader: Option<u64>,
    last_reader: u64,
    /// Nobody wants the rest of the message that is under way.
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
    /// Whether nothing more is to be read from the peer.
    pub(crate) fn is_full(&self) -> bool {
        self.items.len() >= MAX_ITEMS || self.bytes >= MAX_BYTES
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

    /// The beginning of the next message, or all of it, and the number of who reads it from now on.
    pub(crate) fn begin(&mut self) -> Option<(Item, u64)> {
        let item = self.pop()?;
        self.last_reader = self.last_reader.wrapping_add(1);
        self.reader = (!item.is_last()).then_some(self.last_reader);
        Some((item, self.last_reader))
    }

    /// More of the message that is read.
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

    /// Whether more of its message is for this reader.
    pub(crate) fn is_reader(&self, number: u64) -> bool {
        self.reader == Some(number)
    }

    /// Gives up the rest of the message that is read, if one is.
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
