use alloc::string::String;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};

use super::inbox::{Inbox, Item};
use super::last_answers::LastAnswers;
use super::news::News;
use super::pings::Pings;
use crate::protocol::{Closed, Connection, Event, Instant, UsageError};
use crate::session::{Timers, register};
use crate::topics::OwnTopics;
use crate::web_socket::Error;

/// The part of a shared connection that changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) connection: Connection,
    pub(super) now: Instant,
    pub(super) inbox: Inbox,
    pub(super) last_answers: LastAnswers,
    /// Whether the app takes no more messages.
    pub(super) discards: bool,
    pub(super) closed: Option<Closed>,
    /// The number of unsent bytes, as far as the host has reported.
    pub(super) unsent: u64,
    /// Waiting for a message, or the end.
    pub(super) receiving: Vec<Waker>,
    /// Waiting for room.
    pub(super) sending: Vec<Waker>,
    /// Waiting until everything is sent.
    pub(super) flushing: Vec<Waker>,
    /// Waiting for the end of a message that is being sent.
    pub(super) queueing: Vec<Waker>,
    pub(super) pings: Pings,
    pub(super) timers: Timers,
    pub(super) topics: OwnTopics,
    pub(super) news: News,
    /// The app's fault.
    pub(super) fault: Option<String>,
}

impl State {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            now: Instant::default(),
            inbox: Inbox::default(),
            last_answers: LastAnswers::default(),
            discards: false,
            closed: None,
            unsent: 0,
            receiving: Vec::new(),
            sending: Vec::new(),
            flushing: Vec::new(),
            queueing: Vec::new(),
            pings: Pings::default(),
            timers: Timers::default(),
            topics: OwnTopics::default(),
            news: News::default(),
            fault: None,
        }
    }

    /// The number of bytes on their way: those that the host has not sent, as far as it has reported, and
    /// those that it has not received.
    pub(super) fn buffered_amount(&self) -> u64 {
        let buffered = self.connection.buffered_output() as u64;
        self.unsent.saturating_add(buffered)
    }

    pub(super) fn has_room(&self) -> bool {
        let max = self.connection.limits().max_buffered_amount as u64;
        // If nothing is on its way, there is room for anything.
        self.buffered_amount() < max.max(1)
    }

    /// Whether the peer, or its Close frame, waits for the app to take messages.
    pub(super) fn holds_up_peer(&self) -> bool {
        self.inbox.is_full() || self.connection.has_unanswered_end()
    }

    /// Whether a future waits for room, or soon will, and so needs to know at once that the host has sent
    /// this.
    pub(super) fn asks(&self) -> bool {
        !self.has_room() || !self.sending.is_empty() || !self.flushing.is_empty()
    }

    /// Whether one will, once this much more is on its way.
    pub(super) fn asks_after(&self, more: usize) -> bool {
        let max = self.connection.limits().max_buffered_amount;
        self.asks() || more >= max
    }

    pub(super) fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.has_room() {
            return Poll::Ready(Ok(()));
        }
        register(&mut self.sending, context.waker());
        Poll::Pending
    }

    pub(super) fn check_open(&self) -> Result<(), Error> {
        match &self.closed {
            Some(closed) => Err(Error::Closed(closed.clone())),
            None if self.connection.is_open() => Ok(()),
            None => Err(UsageError::NotOpen.into()),
        }
    }

    pub(super) fn discard(&mut self) {
        self.discards = true;
        self.inbox.clear();
    }

    pub(super) fn on_event(&mut self, event: Event) {
        match event {
            Event::Message(_) | Event::Piece(_) if self.discards => {}
            Event::Message(message) => self.on_item(Item::Whole(message)),
            Event::Piece(piece) => self.on_item(Item::Piece(piece)),
            Event::Ping(_) => {}
            Event::Pong(payload) => self.pings.on_pong(&payload, self.now),
            Event::Closed(closed) => {
                self.closed = Some(closed);
                let waiting = self.receiving.drain(..).chain(self.sending.drain(..));
                let waiting = waiting.chain(self.queueing.drain(..));
                waiting.chain(self.flushing.drain(..)).for_each(Waker::wake);
                self.pings.wake_all();
                self.news.wake_all();
            }
        }
    }

    fn on_item(&mut self, item: Item) {
        self.inbox.push(item);
        self.receiving.drain(..).for_each(Waker::wake);
    }
}
