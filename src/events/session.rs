//! What the host calls, for a connection whose app is of the event form. The one place where events are
//! given to an app and its actions carried out.

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
use super::judge::{Target, carry_out};
use super::{Action, Closed, Event, EventApp, MAX_BATCH, MAX_BATCH_SIZE};
use crate::ready::Calling;
use crate::session::shut_down;
use crate::{
    CloseCode, Connection, ConnectionId, Effects, Initiator, Instant, Message, ReadyList, Report,
    Session, ShutdownReason, connection,
};

pub(super) struct EventSession<A: EventApp> {
    shared: Rc<Shared<A>>,
    id: String,
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
        connection: Connection,
        opening: Vec<Action>,
    ) -> Self {
        Self {
            shared,
            id,
            state: Vec::new(),
            connection,
            subscriber: Rc::default(),
            opening,
            has_ended: false,
            fault: None,
        }
    }

    fn begin(&self) {
        if let Some(calling) = self.subscriber.calling() {
            calling.begin();
        }
    }

    /// Gives the app what there is, and does what it says.
    fn effects(&mut self) -> Effects {
        let mut output = self.connection.take_output();
        loop {
            let (messages, is_last) = self.next_messages();
            // The answer to a ping goes out behind those to the messages before it.
            let pong = self.connection.take_output();
            self.call(messages);
            append(&mut output, self.connection.take_output());
            append(&mut output, pong);
            if is_last {
                break;
            }
        }
        // Only now, so that answers to messages go out before what follows from their end.
        while let Some(event) = self.connection.next_event() {
            if let connection::Event::Closed(closed) = event {
                self.end(Event::Closed(closed.into()));
            }
        }
        append(&mut output, self.connection.take_output());
        if let Some(calling) = self.subscriber.calling() {
            calling.end();
        }
        Effects {
            output,
            wake_at: self.connection.deadline(),
            next: self.connection.disposition(),
        }
    }

    /// As many messages as there are, up to a ping and up to what is given at once; and whether nothing
    /// is behind them.
    fn next_messages(&mut self) -> (Vec<Event>, bool) {
        let mut messages = Vec::new();
        let mut size: usize = 0;
        while messages.len() < MAX_BATCH && size < MAX_BATCH_SIZE {
            match self.connection.next_event_before_end() {
                Some(connection::Event::Message(message)) => {
                    size = size.saturating_add(message.as_bytes().len());
                    messages.push(Event::Message(message));
                }
                // A ping has been answered; a pong is of no interest.
                Some(_) => break,
                None => return (messages, true),
            }
        }
        (messages, false)
    }

    /// Has the app say what is to be done, and does it.
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

    /// Sends what has been published since; or gives up a peer that has let it become too much.
    fn send_published(&mut self) {
        for message in self.subscriber.take() {
            // Not open: nothing more is to be sent.
            let _ = self.connection.send_prepared(&message);
        }
        if self.subscriber.is_late() {
            let code = CloseCode::TRY_AGAIN_LATER;
            let _ = self
                .connection
                .close_by(Initiator::Protocol, code, "too slow");
        }
    }

    /// The app's answer broke a rule.
    fn fail(&mut self, fault: Fault) {
        let event = fault.as_event();
        self.fault.get_or_insert(fault);
        // Not open: the closing handshake is under way already.
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
        // This connection may be among the subscribers, and what it is sent keeps its order.
        self.send_published();
        Ok(())
    }
}

/// Without a copy, where there is nothing to add to.
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
        self.subscriber
            .called_by(Arc::new(Calling::new(id, ready.clone())));
        self.connection.receive_bytes(now, BytesMut::new());
        let opening = mem::take(&mut self.opening);
        self.carry_out(opening);
        self.receive(now, residual)
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
        // A peer that has not taken what it was sent before gets no more until it has.
        if unsent == 0 || self.subscriber.is_late() {
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

    fn lost(&mut self, now: Instant) {
        self.begin();
        self.connection.receive_eof(now);
        let _ = self.effects();
    }

    fn report(&self) -> Report {
        let fault = self.fault.map(|fault| fault.to_string());
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
