//! A connection, shared by all handles to it.

mod hooks;
mod inbox;
mod last_answers;
mod machine;
mod news;
mod pings;
mod session;
mod state;
pub(super) mod topics;

pub(super) use inbox::Item;

use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use core::cell::RefCell;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use super::Error;
use crate::head::Request;
use crate::protocol::{CloseCode, Closed, Connection, Instant, Piece, Report, UsageError};
use crate::session::{Calling, not_taken, register};
use hooks::{Hook, OnClose, OnPayload};
use state::State;

/// A connection, shared by its future and all handles to it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) request: Request,
    pub(super) subprotocol: Option<String>,
    pub(super) compress: bool,
    calling: RefCell<Option<Arc<Calling>>>,
    pub(super) on_ping: Hook<OnPayload>,
    pub(super) on_pong: Hook<OnPayload>,
    pub(super) on_close: Hook<OnClose>,
    state: RefCell<State>,
}

impl Shared {
    pub(super) fn new(
        connection: Connection,
        request: Request,
        subprotocol: Option<String>,
        compress: bool,
    ) -> Rc<Self> {
        Rc::new(Self {
            request,
            subprotocol,
            compress,
            calling: RefCell::new(None),
            on_ping: Hook::default(),
            on_pong: Hook::default(),
            on_close: Hook::default(),
            state: RefCell::new(State::new(connection)),
        })
    }

    /// Has the host call, so that it picks up a change made from elsewhere.
    fn call(&self) {
        if let Some(calling) = &*self.calling.borrow() {
            calling.call();
        }
    }

    // Called by the session.

    /// Takes the time, and the number of unsent bytes if it is known, and wakes the futures that wait for
    /// them.
    pub(super) fn advance(&self, now: Instant, unsent: Option<u64>) {
        let mut state = self.state.borrow_mut();
        state.now = now;
        state.connection.advance(now);
        if let Some(unsent) = unsent {
            state.unsent = not_taken(unsent);
        }
        state.timers.fire(now);
        if unsent.is_some_and(|unsent| unsent > 0) {
            state.last_answers.hold_time();
        }
        if state.has_room() && !state.sending.is_empty() {
            state.last_answers.has_room();
            state.sending.drain(..).for_each(Waker::wake);
        }
        if !state.flushing.is_empty() && state.buffered_amount() == 0 {
            state.flushing.drain(..).for_each(Waker::wake);
        }
    }

    pub(super) fn with_connection<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> R {
        act(&mut self.state.borrow_mut().connection)
    }

    /// Whether to stop reading from the peer.
    pub(super) fn is_full(&self) -> bool {
        self.state.borrow().inbox.is_full()
    }

    /// Whether the end of the connection, which has been received, has to wait for the app.
    pub(super) fn delays_end(&self) -> bool {
        self.state.borrow_mut().delays_end()
    }

    pub(super) fn report(&self) -> Report {
        let state = self.state.borrow();
        state.connection.report().with_fault(state.fault.clone())
    }

    // Called by the app.

    pub(super) fn now(&self) -> Instant {
        self.state.borrow().now
    }

    /// The longest message that is received whole.
    pub(super) fn max_message_size(&self) -> usize {
        self.state.borrow().connection.limits().max_message_size
    }

    pub(super) fn closed(&self) -> Option<Closed> {
        self.state.borrow().closed.clone()
    }

    /// Receives messages while they arrive, from the next one on.
    pub(super) fn stream_messages(&self) {
        self.with_connection(|connection| connection.stream_messages(true));
    }

    /// The next message, or its beginning, and the number of its reader; `None` when the peer has ended the
    /// connection with a closing handshake.
    pub(super) fn poll_message(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<(Item, u64)>, Error>> {
        let mut state = self.state.borrow_mut();
        if state.holds_up_peer() {
            self.call();
        }
        state.inbox.abandon();
        if let Some(begun) = state.inbox.begin() {
            state.last_answers.taken();
            return Poll::Ready(Ok(Some(begun)));
        }
        match &state.closed {
            Some(Closed::Handshake(_)) => Poll::Ready(Ok(None)),
            Some(closed) => Poll::Ready(Err(Error::Closed(closed.clone()))),
            None => {
                state.last_answers.asked();
                register(&mut state.receiving, context.waker());
                Poll::Pending
            }
        }
    }

    /// The next piece of the message that this reader reads.
    pub(super) fn poll_piece(
        &self,
        reader: u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<Piece, Error>> {
        let mut state = self.state.borrow_mut();
        if !state.inbox.is_reader(reader) {
            return Poll::Ready(Err(UsageError::Superseded.into()));
        }
        if state.holds_up_peer() {
            self.call();
        }
        if let Some(piece) = state.inbox.next_piece() {
            state.last_answers.taken();
            return Poll::Ready(Ok(piece));
        }
        if let Some(closed) = &state.closed {
            return Poll::Ready(Err(Error::Closed(closed.clone())));
        }
        state.last_answers.asked();
        register(&mut state.receiving, context.waker());
        Poll::Pending
    }

    /// A reader was dropped, before or after the end of its message.
    pub(super) fn abandon(&self, reader: u64) {
        let mut state = self.state.borrow_mut();
        if !state.inbox.is_reader(reader) {
            return;
        }
        if state.holds_up_peer() {
            self.call();
        }
        state.inbox.abandon();
    }

    /// Waits until there is room for a message, and no other is being written.
    pub(super) fn poll_room(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut state = self.state.borrow_mut();
        state.check_open()?;
        if state.connection.is_sending_message() {
            register(&mut state.queueing, context.waker());
            return Poll::Pending;
        }
        state.poll_room(context)
    }

    /// Waits until there is room for more of the message that is being written.
    pub(super) fn poll_room_inside(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut state = self.state.borrow_mut();
        state.check_open()?;
        state.poll_room(context)
    }

    /// Waits until the host has sent everything.
    pub(super) fn poll_sent(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut state = self.state.borrow_mut();
        match &state.closed {
            None => {}
            // The host sends the rest before it closes the socket.
            Some(Closed::Handshake(_)) => return Poll::Ready(Ok(())),
            Some(closed) => return Poll::Ready(Err(Error::Closed(closed.clone()))),
        }
        if state.buffered_amount() == 0 {
            return Poll::Ready(Ok(()));
        }
        // The host may have sent it, but had no reason to report so yet.
        self.call();
        register(&mut state.flushing, context.waker());
        Poll::Pending
    }

    pub(super) fn buffered_amount(&self) -> u64 {
        self.state.borrow().buffered_amount()
    }

    pub(super) fn has_room(&self) -> bool {
        self.state.borrow().has_room()
    }

    pub(super) fn is_sending_message(&self) -> bool {
        self.state.borrow().connection.is_sending_message()
    }

    /// Ends the message that is sent in fragments, so that others can be sent.
    pub(super) fn end_message(&self) -> Result<(), Error> {
        self.act(Connection::end_message)?;
        let mut state = self.state.borrow_mut();
        state.send_held();
        state.queueing.drain(..).for_each(Waker::wake);
        Ok(())
    }

    /// Abandons the message that is sent in fragments, unless it has ended.
    pub(super) fn abandon_message(&self) {
        if self.is_sending_message() {
            let _ = self.act(|connection| connection.close(CloseCode::INTERNAL_ERROR, ""));
            let mut state = self.state.borrow_mut();
            state.fault = Some("a message that was begun has been given up".into());
            state.queueing.drain(..).for_each(Waker::wake);
        }
    }

    /// Does something that produces output, if the connection is open.
    pub(super) fn act<R>(
        &self,
        act: impl FnOnce(&mut Connection) -> Result<R, UsageError>,
    ) -> Result<R, Error> {
        let mut state = self.state.borrow_mut();
        state.check_open()?;
        let result = act(&mut state.connection)?;
        state.last_answers.answered();
        drop(state);
        self.call();
        Ok(result)
    }

    /// Begins the closing handshake. No more messages are received.
    pub(super) fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.act(|connection| connection.close(code, reason))?;
        self.state.borrow_mut().discard();
        Ok(())
    }

    /// Ends the connection without a Close frame. No more messages are received.
    pub(super) fn abort(&self) {
        let mut state = self.state.borrow_mut();
        state.connection.abort();
        state.discard();
        drop(state);
        self.call();
    }

    pub(super) fn poll_closed(&self, context: &mut Context<'_>) -> Poll<Closed> {
        let mut state = self.state.borrow_mut();
        if let Some(closed) = &state.closed {
            return Poll::Ready(closed.clone());
        }
        register(&mut state.receiving, context.waker());
        Poll::Pending
    }

    /// Sends a ping, and returns its number.
    pub(super) fn ping(&self) -> Result<u64, Error> {
        let number = self.state.borrow().pings.next();
        self.act(|connection| connection.ping(&pings::payload(number)))?;
        let mut state = self.state.borrow_mut();
        let now = state.now;
        state.pings.sent(number, now);
        Ok(number)
    }

    pub(super) fn poll_pong(
        &self,
        number: u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<Duration, Error>> {
        let mut state = self.state.borrow_mut();
        if let Some(closed) = &state.closed {
            return Poll::Ready(Err(Error::Closed(closed.clone())));
        }
        let pong = state.pings.poll(number, context);
        pong.map(|took| took.ok_or_else(|| UsageError::NotOpen.into()))
    }

    pub(super) fn forget_ping(&self, number: u64) {
        self.state.borrow_mut().pings.forget(number);
    }

    pub(super) fn add_timer(&self, at: Instant) -> u64 {
        self.state.borrow_mut().timers.add(at)
    }

    pub(super) fn poll_timer(&self, number: u64, context: &mut Context<'_>) -> Poll<()> {
        // If another connection polls the timer, the host does not know it yet.
        self.call();
        self.state.borrow_mut().timers.poll(number, context)
    }

    pub(super) fn remove_timer(&self, number: u64) {
        self.state.borrow_mut().timers.remove(number);
    }
}
