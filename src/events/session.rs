//! The host's calls, for a connection whose app is of the event form. The only place where an app receives
//! events and its actions are carried out.

use crate::topics::Publication;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::mem;

use bytes::{Bytes, BytesMut};

use super::answer::Shared;
use super::channels::Subscriber;
use super::fault::{Fault, unless_closing};
use super::judge::{Target, carry_out, check_count, check_name};
use super::{
    Action, Closed, Event, EventApp, MAX_BATCH, MAX_BATCH_SIZE, MAX_CHANNEL_NAME, MAX_NAME,
    MAX_STATE, limits,
};
use crate::protocol;
use crate::protocol::extension::DeflateOptions;
use crate::protocol::{
    CloseCode, Connection, Initiator, Instant, Message, MessageLimits, Reader, Report, ResumeError,
    Writer,
};
use crate::session::{
    Calling, ConnectionId, Effects, ReadyList, Session, ShutdownReason, Suspended, not_taken,
    shut_down,
};

pub(super) struct EventSession<A: EventApp> {
    shared: Rc<Shared<A>>,
    id: String,
    /// The path of the request, which finds the app again.
    path: String,
    state: Vec<u8>,
    connection: Connection,
    subscriber: Rc<Subscriber>,
    /// The rest of the answer to `open`, until the socket is here.
    opening: Vec<Action>,
    /// Whether the app has been told of the end. It is told nothing after that.
    has_ended: bool,
    /// The first rule that an answer broke.
    fault: Option<Fault>,
}

impl<A: EventApp> EventSession<A> {
    pub(super) fn new(
        shared: Rc<Shared<A>>,
        id: String,
        path: String,
        connection: Connection,
        opening: Vec<Action>,
    ) -> Self {
        Self {
            shared,
            id,
            path,
            state: Vec::new(),
            connection,
            subscriber: Rc::default(),
            opening,
            has_ended: false,
            fault: None,
        }
    }

    /// Writes what [`resume`](Self::resume) reads; `None` if the connection is not at rest, or published
    /// messages are still to be sent.
    fn write(&self, now: Instant, state: &mut Writer) -> Option<()> {
        let is_open = self.subscriber.calling().is_some();
        if !is_open || self.has_ended || self.subscriber.is_waiting() {
            return None;
        }
        state.bytes(self.id.as_bytes())?;
        state.bytes(&self.state)?;
        let channels = self.subscriber.channels();
        state.number(channels.len() as u64);
        for channel in &*channels {
            state.bytes(channel.as_bytes())?;
        }
        state.number(self.connection.limits().max_message_size as u64);
        self.connection.suspend(now, state)
    }

    /// The session that was suspended at this instant.
    pub(super) fn resume(
        shared: Rc<Shared<A>>,
        at: Instant,
        suspended: Suspended,
    ) -> Result<Self, ResumeError> {
        let mut state = Reader(&suspended.state);
        let id = name(state.text(MAX_NAME)?)?;
        let app_state = state.bytes(MAX_STATE)?.to_vec();
        let channels = channels(&mut state)?;
        let limits = limits(usize::try_from(state.number()?).unwrap_or(usize::MAX));
        let options = DeflateOptions::default();
        let connection = Connection::resume(at, limits, &options, &mut state)?;
        state.end()?;
        let mut session = Self::new(shared, id, suspended.path, connection, Vec::new());
        session.state = app_state;
        for channel in channels {
            session
                .subscribe(channel)
                .map_err(|_| ResumeError::Invalid)?;
        }
        Ok(session)
    }

    /// Sets how to have the connection called.
    pub(super) fn called_by(&self, id: ConnectionId, ready: &ReadyList) {
        let calling = Calling::new(id, ready.clone());
        self.subscriber.called_by(Arc::new(calling));
    }

    fn begin(&self) {
        if let Some(calling) = self.subscriber.calling() {
            calling.begin();
        }
    }

    /// Gives the app the pending events, and carries out its answers.
    fn effects(&mut self) -> Effects {
        let mut output = self.connection.take_output();
        loop {
            let (messages, is_last) = self.next_messages();
            // The answer to a ping goes out after those to the messages before it.
            let pong = self.connection.take_output();
            self.call(messages);
            append(&mut output, self.connection.take_output());
            append(&mut output, pong);
            if is_last {
                break;
            }
        }
        // Only now, so that answers to messages go out before the end takes effect.
        while let Some(event) = self.connection.next_event() {
            if let protocol::Event::Closed(closed) = event {
                self.end(Event::Closed(closed.into()));
            }
        }
        append(&mut output, self.connection.take_output());
        if let Some(calling) = self.subscriber.calling() {
            calling.end();
        }
        Effects {
            topics: Vec::new(),
            output,
            wake_at: self.connection.deadline(),
            next: self.connection.disposition(),
        }
    }

    /// The pending messages, up to a ping and up to the most given at once; and whether nothing follows them.
    fn next_messages(&mut self) -> (Vec<Event>, bool) {
        let mut messages = Vec::new();
        let mut size: usize = 0;
        while messages.len() < MAX_BATCH && size < MAX_BATCH_SIZE {
            match self.connection.next_event_before_end() {
                Some(protocol::Event::Message(message)) => {
                    size = size.saturating_add(message.as_bytes().len());
                    messages.push(Event::Message(message));
                }
                // A ping has been answered, and a pong does not matter.
                Some(_) => break,
                None => return (messages, true),
            }
        }
        (messages, false)
    }

    /// Calls the app, and carries out its answer.
    fn call(&mut self, events: Vec<Event>) {
        if self.has_ended || events.is_empty() {
            return;
        }
        let answer = self.shared.app.handle(&self.id, &self.state, events);
        self.carry_out(answer);
    }

    fn carry_out(&mut self, answer: Vec<Action>) {
        if let Err(fault) = carry_out(self, answer) {
            self.fail(fault);
        }
    }

    /// Sends the messages published since the last call, or closes the connection of a peer that was too slow
    /// for them.
    fn send_published(&mut self) {
        for message in self.subscriber.take() {
            // Fails if the connection is not open: nothing more is sent then.
            let _ = self.connection.send_prepared(&message);
        }
        if self.subscriber.is_late() {
            let code = CloseCode::TRY_AGAIN_LATER;
            let _ = self
                .connection
                .close_by(Initiator::Protocol, code, "too slow");
        }
    }

    /// The app's answer broke a rule, or says that the app has failed.
    fn fail(&mut self, fault: Fault) {
        let event = fault.as_event();
        self.fault.get_or_insert(fault);
        // Fails if the connection is not open: the closing handshake is already in progress.
        let _ = self.connection.close(CloseCode::INTERNAL_ERROR, "");
        self.end(event);
    }

    /// The connection has ended, as far as the app is concerned.
    fn end(&mut self, closed: Event) {
        if mem::replace(&mut self.has_ended, true) {
            return;
        }
        let answer = self.shared.app.handle(&self.id, &self.state, vec![closed]);
        self.carry_out(answer);
        self.shared.channels.leave(&self.subscriber);
    }
}

impl<A: EventApp> Target for EventSession<A> {
    fn send(&mut self, message: Message) -> Result<(), Fault> {
        unless_closing(self.connection.send(message))
    }

    fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Fault> {
        unless_closing(self.connection.close(code, reason))
    }

    fn set_state(&mut self, state: Vec<u8>) {
        self.state = state;
    }

    fn subscribe(&mut self, channel: String) -> Result<(), Fault> {
        self.shared.channels.subscribe(&self.subscriber, channel)
    }

    fn unsubscribe(&mut self, channel: &str) {
        self.shared.channels.unsubscribe(&self.subscriber, channel);
    }

    fn publish(&mut self, channel: String, message: Message) -> Result<(), Fault> {
        self.shared.channels.publish(&channel, message);
        // This connection may be among the subscribers, and its messages keep their order.
        self.send_published();
        Ok(())
    }
}

/// The name of a connection, as the interface `app` defines it.
fn name(text: &str) -> Result<String, ResumeError> {
    let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_name.then(|| text.into()).ok_or(ResumeError::Invalid)
}

/// Reads the channels of a connection.
fn channels(state: &mut Reader<'_>) -> Result<Vec<String>, ResumeError> {
    let mut channels = Vec::new();
    for _ in 0..state.number()? {
        let channel = state.text(MAX_CHANNEL_NAME)?;
        let is_one = check_name(channel).and_then(|()| check_count(channels.len()));
        is_one.map_err(|_| ResumeError::Invalid)?;
        channels.push(channel.into());
    }
    Ok(channels)
}

/// Appends without a copy if there is nothing to append to.
fn append(output: &mut Vec<u8>, more: Vec<u8>) {
    if output.is_empty() {
        *output = more;
    } else {
        output.extend_from_slice(&more);
    }
}

impl<A: EventApp> Session for EventSession<A> {
    fn open(
        &mut self,
        now: Instant,
        id: ConnectionId,
        ready: &ReadyList,
        residual: Vec<u8>,
    ) -> Effects {
        self.called_by(id, ready);
        self.connection.receive_bytes(now, BytesMut::new());
        let opening = mem::take(&mut self.opening);
        self.carry_out(opening);
        self.receive(now, residual)
    }

    fn set_limits(&mut self, limits: MessageLimits) {
        self.connection.set_limits(limits);
    }

    fn receive(&mut self, now: Instant, bytes: Vec<u8>) -> Effects {
        self.begin();
        self.connection.receive_bytes(now, Bytes::from(bytes));
        self.send_published();
        self.effects()
    }

    fn receive_eof(&mut self, now: Instant) -> Effects {
        self.begin();
        self.connection.receive_eof(now);
        self.effects()
    }

    fn wake(&mut self, now: Instant, unsent: u64) -> Effects {
        self.begin();
        self.connection.handle_timeout(now, unsent);
        // A peer gets no more until it has taken what was sent before.
        if not_taken(unsent) == 0 || self.subscriber.is_late() {
            self.send_published();
        }
        self.effects()
    }

    fn shutdown(&mut self, now: Instant, reason: ShutdownReason) -> Effects {
        self.begin();
        self.connection.advance(now);
        shut_down(&mut self.connection, reason);
        self.effects()
    }

    fn lost(&mut self, now: Instant) -> Vec<Publication> {
        self.begin();
        self.connection.receive_eof(now);
        let _ = self.effects();
        Vec::new()
    }

    fn suspend(&self, now: Instant) -> Option<Suspended> {
        let mut state = Writer::default();
        self.write(now, &mut state)?;
        Some(Suspended {
            path: self.path.clone(),
            state: state.0,
        })
    }

    fn report(&self) -> Report {
        let fault = self.fault.as_ref().map(Fault::to_string);
        self.connection.report().with_fault(fault)
    }
}

impl<A: EventApp> Drop for EventSession<A> {
    fn drop(&mut self) {
        self.shared.channels.leave(&self.subscriber);
    }
}

impl From<crate::Closed> for Closed {
    fn from(closed: crate::Closed) -> Self {
        Self {
            code: closed.code(),
            reason: match closed {
                crate::Closed::Handshake(Some(reason)) => reason.reason,
                crate::Closed::Failed(error) => error.to_string(),
                _ => String::new(),
            },
        }
    }
}
