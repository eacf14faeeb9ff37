use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use super::Error;
use super::hooks::{Hook, OnClose, OnPayload};
use super::inbox::{Inbox, Item};
use crate::ready::Calling;
use crate::task::{Machine, Timers, register};
use crate::{
    CloseCode, CloseReason, Closed, Connection, Disposition, Effects, Event, Instant, Piece,
    Report, Request, UsageError,
};

/// A connection as all handles to it share it, and its future.
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

#[derive(Debug)]
struct State {
    connection: Connection,
    now: Instant,
    inbox: Inbox,
    /// The app takes no more messages.
    discards: bool,
    closed: Option<Closed>,
    /// How much of the output is not sent, as far as the host has told.
    unsent: u64,
    /// Those who wait for a message, or the end.
    receiving: Vec<Waker>,
    /// Those who wait for room.
    sending: Vec<Waker>,
    /// Those who wait until everything is sent.
    flushing: Vec<Waker>,
    /// Those who wait for the end of a message that is being sent.
    queueing: Vec<Waker>,
    pings: Vec<Ping>,
    last_ping: u64,
    timers: Timers,
    /// What the app has done wrong.
    fault: Option<String>,
}

#[derive(Debug)]
struct Ping {
    number: u64,
    sent: Instant,
    /// How long the pong took to come.
    took: Option<Duration>,
    waker: Waker,
}

impl Shared {
    pub(super) fn new(
        connection: Connection,
        request: Request,
        subprotocol: Option<String>,
        compress: bool,
    ) -> Rc<Self> {
        let state = State {
            connection,
            now: Instant::default(),
            inbox: Inbox::default(),
            discards: false,
            closed: None,
            unsent: 0,
            receiving: Vec::new(),
            sending: Vec::new(),
            flushing: Vec::new(),
            queueing: Vec::new(),
            pings: Vec::new(),
            last_ping: 0,
            timers: Timers::default(),
            fault: None,
        };
        Rc::new(Self {
            request,
            subprotocol,
            compress,
            calling: RefCell::new(None),
            on_ping: Hook::default(),
            on_pong: Hook::default(),
            on_close: Hook::default(),
            state: RefCell::new(state),
        })
    }

    /// Has the host call, so that it gets what has been changed from elsewhere.
    fn call(&self) {
        if let Some(calling) = &*self.calling.borrow() {
            calling.call();
        }
    }

    // What the session does.

    /// Something has happened: the time, and how much of the output is unsent if that is known.
    pub(super) fn advance(&self, now: Instant, unsent: Option<u64>) {
        let mut state = self.state.borrow_mut();
        state.now = now;
        state.connection.advance(now);
        if let Some(unsent) = unsent {
            state.unsent = unsent;
        }
        state.timers.fire(now);
        if state.has_room() {
            state.sending.drain(..).for_each(Waker::wake);
        }
        if !state.flushing.is_empty() && state.buffered_amount() == 0 {
            state.flushing.drain(..).for_each(Waker::wake);
        }
    }

    pub(super) fn with_connection<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> R {
        act(&mut self.state.borrow_mut().connection)
    }

    /// Whether nothing more is to be read from the peer.
    pub(super) fn is_full(&self) -> bool {
        self.state.borrow().inbox.is_full()
    }

    fn call_hooks(&self, event: &Event) {
        match event {
            Event::Ping(payload) => drop(self.on_ping.call(|hook| hook(payload))),
            Event::Pong(payload) => drop(self.on_pong.call(|hook| hook(payload))),
            Event::Closed(_) => self.release(),
            _ => {}
        }
    }

    /// Lets the app answer the peer's Close frame, if that has arrived.
    fn answer_close(&self) {
        let Some(reason) = self.with_connection(|connection| connection.unanswered_close()) else {
            return;
        };
        if let Some(Some(own)) = self.on_close.call(|hook| hook(reason.as_ref())) {
            let reason = shortened(&own.reason);
            // Not open: the hook has closed the connection itself.
            let _ = self.with_connection(|connection| connection.close(own.code, reason));
        }
    }

    /// The next event, or the end.
    fn next_event(&self) -> Option<Event> {
        let event = self.with_connection(Connection::next_event_before_end);
        event.or_else(|| {
            self.answer_close();
            self.with_connection(Connection::end_event)
        })
    }

    pub(super) fn report(&self) -> Report {
        let state = self.state.borrow();
        state.connection.report().with_fault(state.fault.clone())
    }

    // What the app does.

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

    /// From the next one on, messages are received while they arrive.
    pub(super) fn stream_messages(&self) {
        self.with_connection(|connection| connection.stream_messages(true));
    }

    /// The next message, or its beginning, and the number of its reader; none when the peer has ended
    /// the connection well.
    pub(super) fn poll_message(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<(Item, u64)>, Error>> {
        let mut state = self.state.borrow_mut();
        if state.inbox.is_full() {
            self.call();
        }
        state.inbox.abandon();
        if let Some(begun) = state.inbox.begin() {
            return Poll::Ready(Ok(Some(begun)));
        }
        match &state.closed {
            Some(Closed::Handshake(_)) => Poll::Ready(Ok(None)),
            Some(closed) => Poll::Ready(Err(Error::Closed(closed.clone()))),
            None => {
                register(&mut state.receiving, context.waker());
                Poll::Pending
            }
        }
    }

    /// More of the message that this reader reads.
    pub(super) fn poll_piece(
        &self,
        reader: u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<Piece, Error>> {
        let mut state = self.state.borrow_mut();
        if !state.inbox.is_reader(reader) {
            return Poll::Ready(Err(UsageError::Superseded.into()));
        }
        if state.inbox.is_full() {
            self.call();
        }
        if let Some(piece) = state.inbox.next_piece() {
            return Poll::Ready(Ok(piece));
        }
        if let Some(closed) = &state.closed {
            return Poll::Ready(Err(Error::Closed(closed.clone())));
        }
        register(&mut state.receiving, context.waker());
        Poll::Pending
    }

    /// A reader has gone, before the end of its message or behind it.
    pub(super) fn abandon(&self, reader: u64) {
        let mut state = self.state.borrow_mut();
        if !state.inbox.is_reader(reader) {
            return;
        }
        if state.inbox.is_full() {
            self.call();
        }
        state.inbox.abandon();
    }

    /// Waits until there is room for a message, and no other is under way.
    pub(super) fn poll_room(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut state = self.state.borrow_mut();
        state.check_open()?;
        if state.connection.is_sending_message() {
            register(&mut state.queueing, context.waker());
            return Poll::Pending;
        }
        state.poll_room(context)
    }

    /// Waits until there is room for more of the message that is under way.
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
            // What is left the host sends before it closes the socket.
            Some(Closed::Handshake(_)) => return Poll::Ready(Ok(())),
            Some(closed) => return Poll::Ready(Err(Error::Closed(closed.clone()))),
        }
        if state.buffered_amount() == 0 {
            return Poll::Ready(Ok(()));
        }
        // The host may have sent it, and no reason yet to say so.
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

    /// The message that is sent in fragments ends; others can be sent.
    pub(super) fn end_message(&self) -> Result<(), Error> {
        self.act(Connection::end_message)?;
        let mut state = self.state.borrow_mut();
        state.queueing.drain(..).for_each(Waker::wake);
        Ok(())
    }

    /// The message that is sent in fragments will have no end, unless it has one already.
    pub(super) fn abandon_message(&self) {
        if self.is_sending_message() {
            let _ = self.act(|connection| connection.close(CloseCode::INTERNAL_ERROR, ""));
            let mut state = self.state.borrow_mut();
            state.fault = Some("a message that was begun has been given up".into());
            state.queueing.drain(..).for_each(Waker::wake);
        }
    }

    /// Does something to the connection, while it is open, that has output.
    pub(super) fn act<R>(
        &self,
        act: impl FnOnce(&mut Connection) -> Result<R, UsageError>,
    ) -> Result<R, Error> {
        let mut state = self.state.borrow_mut();
        state.check_open()?;
        let result = act(&mut state.connection)?;
        drop(state);
        self.call();
        Ok(result)
    }

    /// Begins the closing handshake. No message is received any more.
    pub(super) fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.act(|connection| connection.close(code, reason))?;
        self.state.borrow_mut().discard();
        Ok(())
    }

    /// Ends the connection without a Close frame. No message is received any more.
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
        let number = self.state.borrow().last_ping.wrapping_add(1);
        self.act(|connection| connection.ping(&ping_payload(number)))?;
        let mut state = self.state.borrow_mut();
        state.last_ping = number;
        let sent = state.now;
        state.pings.push(Ping {
            number,
            sent,
            took: None,
            waker: Waker::noop().clone(),
        });
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
        let ping = state.pings.iter_mut().find(|ping| ping.number == number);
        match ping {
            Some(Ping {
                took: Some(took), ..
            }) => Poll::Ready(Ok(*took)),
            Some(ping) => {
                ping.waker.clone_from(context.waker());
                Poll::Pending
            }
            None => Poll::Ready(Err(UsageError::NotOpen.into())),
        }
    }

    pub(super) fn forget_ping(&self, number: u64) {
        let mut state = self.state.borrow_mut();
        state.pings.retain(|ping| ping.number != number);
    }

    pub(super) fn add_timer(&self, at: Instant) -> u64 {
        self.state.borrow_mut().timers.add(at)
    }

    pub(super) fn poll_timer(&self, number: u64, context: &mut Context<'_>) -> Poll<()> {
        // Polled by another connection, the timer has to be told to the host yet.
        self.call();
        self.state.borrow_mut().timers.poll(number, context)
    }

    pub(super) fn remove_timer(&self, number: u64) {
        self.state.borrow_mut().timers.remove(number);
    }
}

impl Machine for Shared {
    /// What the peer is told, and the operator, of a failure.
    type Output = (CloseReason, Option<String>);

    fn called_by(&self, calling: Arc<Calling>) {
        *self.calling.borrow_mut() = Some(calling);
    }

    fn take_event(&self) -> bool {
        if self.is_full() {
            return false;
        }
        let Some(event) = self.next_event() else {
            return false;
        };
        self.call_hooks(&event);
        self.state.borrow_mut().on_event(event);
        true
    }

    fn release(&self) {
        self.on_ping.clear();
        self.on_pong.clear();
        self.on_close.clear();
    }

    fn finish(&self, (reason, fault): Self::Output) {
        let mut state = self.state.borrow_mut();
        state.discard();
        let text = shortened(&reason.reason);
        // Where the connection is closing already, an error that comes of that is no failure.
        if state.connection.close(reason.code, text).is_ok() {
            state.fault = fault;
        }
    }

    fn effects(&self, is_woken: bool) -> Effects {
        let mut state = self.state.borrow_mut();
        let output = state.connection.take_output();
        state.unsent = state.unsent.saturating_add(output.len() as u64);
        let again = is_woken || (!output.is_empty() && state.asks());
        let wake_at = if again {
            Some(state.now)
        } else {
            [state.connection.deadline(), state.timers.next()]
                .into_iter()
                .flatten()
                .min()
        };
        let is_full = state.inbox.is_full();
        state.connection.hold(is_full);
        let next = match state.connection.disposition() {
            Disposition::Open if is_full => Disposition::Pause,
            next => next,
        };
        Effects {
            output,
            wake_at,
            next,
        }
    }
}

impl State {
    /// How much is on its way: what the host has not sent, as far as it has told, and what it has not got.
    fn buffered_amount(&self) -> u64 {
        let buffered = self.connection.buffered_output() as u64;
        self.unsent.saturating_add(buffered)
    }

    fn has_room(&self) -> bool {
        let max = self.connection.limits().max_buffered_amount as u64;
        // Where nothing is on its way, there is room for anything.
        self.buffered_amount() < max.max(1)
    }

    /// Whoever waits for room, or will want some, learns at once whether the host has sent this at once.
    fn asks(&self) -> bool {
        !self.has_room() || !self.sending.is_empty() || !self.flushing.is_empty()
    }

    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.has_room() {
            return Poll::Ready(Ok(()));
        }
        register(&mut self.sending, context.waker());
        Poll::Pending
    }

    fn check_open(&self) -> Result<(), Error> {
        match &self.closed {
            Some(closed) => Err(Error::Closed(closed.clone())),
            None if self.connection.is_open() => Ok(()),
            None => Err(UsageError::NotOpen.into()),
        }
    }

    fn discard(&mut self) {
        self.discards = true;
        self.inbox.clear();
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Message(_) | Event::Piece(_) if self.discards => {}
            Event::Message(message) => self.on_item(Item::Whole(message)),
            Event::Piece(piece) => self.on_item(Item::Piece(piece)),
            Event::Ping(_) => {}
            Event::Pong(payload) => self.on_pong(&payload),
            Event::Closed(closed) => {
                self.closed = Some(closed);
                let waiting = self.receiving.drain(..).chain(self.sending.drain(..));
                let waiting = waiting.chain(self.queueing.drain(..));
                waiting.chain(self.flushing.drain(..)).for_each(Waker::wake);
                self.pings.iter().for_each(|ping| ping.waker.wake_by_ref());
            }
        }
    }

    fn on_item(&mut self, item: Item) {
        self.inbox.push(item);
        self.receiving.drain(..).for_each(Waker::wake);
    }

    /// RFC 6455 §5.5.3: a peer may answer only the latest of several pings; so its pong is for the
    /// earlier ones, too.
    fn on_pong(&mut self, payload: &[u8]) {
        let Some(number) = ping_number(payload) else {
            return;
        };
        let now = self.now;
        for ping in &mut self.pings {
            if ping.number <= number && ping.took.is_none() {
                ping.took = Some(now.since(ping.sent));
                ping.waker.wake_by_ref();
            }
        }
    }
}

/// What begins the payload of a ping that is waited for, unlike those of the app's own.
const PING_TAG: [u8; 8] = *b"wasocket";

fn ping_payload(number: u64) -> [u8; 16] {
    let mut payload = [0; 16];
    let (tag, rest) = payload.split_at_mut(PING_TAG.len());
    tag.copy_from_slice(&PING_TAG);
    rest.copy_from_slice(&number.to_be_bytes());
    payload
}

fn ping_number(payload: &[u8]) -> Option<u64> {
    let number = payload.strip_prefix(&PING_TAG)?.try_into().ok()?;
    Some(u64::from_be_bytes(number))
}

/// As much of a reason as fits into a Close frame (RFC 6455 §5.5.1), ending between characters.
fn shortened(reason: &str) -> &str {
    const MAX: usize = crate::frame::MAX_CONTROL_PAYLOAD - 2;
    reason
        .get(..reason.floor_char_boundary(MAX))
        .unwrap_or_default()
}
