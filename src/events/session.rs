//! The host's calls, for a connection whose app is of the event form. The only place where an app receives
//! events and its actions are carried out.

use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::mem;

use bytes::{Bytes, BytesMut};

use super::answer::Shared;
use super::fault::{Fault, unless_closing};
use super::judge::{Target, carry_out};
use super::{
    Action, Closed, Event, EventApp, MAX_BATCH, MAX_BATCH_SIZE, MAX_NAME, MAX_STATE, Receiver,
    Subscription, limits,
};
use crate::protocol;
use crate::protocol::extension::DeflateOptions;
use crate::protocol::{
    CloseCode, Connection, Initiator, Instant, Message, MessageLimits, Reader, Report, ResumeError,
    Writer,
};
use crate::session::{
    ConnectionId, Delivered, Effects, Keepalive, ReadyList, Session, ShutdownReason, Suspended,
    shut_down,
};
use crate::topics::{Broadcast, OwnTopics, Publication, TopicEvent, TopicOperation, publications};

pub(super) struct EventSession<A: EventApp> {
    shared: Rc<Shared<A>>,
    id: String,
    /// The path of the request, which finds the app again.
    path: String,
    state: Vec<u8>,
    connection: Connection,
    topics: OwnTopics,
    /// The rest of the answer to `open`, until the socket is here.
    opening: Option<Vec<Action>>,
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
            topics: OwnTopics::default(),
            opening: Some(opening),
            has_ended: false,
            fault: None,
        }
    }

    /// Writes what [`resume`](Self::resume) reads; `None` if the connection is not at rest.
    fn write(&self, now: Instant, state: &mut Writer) -> Option<()> {
        if self.opening.is_some() || self.has_ended {
            return None;
        }
        state.bytes(self.id.as_bytes())?;
        state.bytes(&self.state)?;
        self.topics.suspend(state)?;
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
        if !can_read(&shared.app, &id, &app_state) {
            return Err(ResumeError::Invalid);
        }
        let topics = OwnTopics::resume(&mut state)?;
        let limits = limits(usize::try_from(state.number()?).unwrap_or(usize::MAX));
        let options = DeflateOptions::default();
        let connection = Connection::resume(at, limits, &options, &mut state)?;
        state.end()?;
        Ok(Self {
            state: app_state,
            topics,
            opening: None,
            ..Self::new(shared, id, suspended.path, connection, Vec::new())
        })
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
        let next = self.connection.disposition();
        Effects {
            topics: self.topics.take_actions(next),
            output,
            wake_at: self.connection.deadline(),
            next,
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

    /// The peer has not kept up with what is published.
    fn close_slow(&mut self) {
        let code = CloseCode::TRY_AGAIN_LATER;
        // Fails if the connection is not open: the closing handshake is already in progress.
        let _ = self
            .connection
            .close_by(Initiator::Protocol, code, "too slow");
    }

    /// Tells the app what has happened on a topic, unless it is of one that it has left meanwhile.
    fn on_topic_event(&mut self, event: TopicEvent) {
        let concerns = |topic: &str| self.topics.receiver(topic).is_some();
        let event = match event {
            TopicEvent::TooSlow => return self.close_slow(),
            TopicEvent::Refused(refusal) => {
                if refusal.operation == TopicOperation::Subscribe {
                    self.topics.forget(&refusal.topic);
                }
                Event::Refused(refusal)
            }
            TopicEvent::Members(members) => Event::Members(members),
            TopicEvent::Subscribed(told) if concerns(&told.topic) => Event::Subscribed(told),
            TopicEvent::Gap(told) if concerns(&told.topic) => Event::Gap(told),
            TopicEvent::Joined(told) if concerns(&told.topic) => Event::Joined(told),
            TopicEvent::Left(told) if concerns(&told.topic) => Event::Left(told),
            _ => return,
        };
        self.call(vec![event]);
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
        self.topics.leave();
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

    fn subscribe(&mut self, topic: String) -> Result<(), Fault> {
        Ok(self.topics.subscribe(topic)?)
    }

    fn subscribe_with(&mut self, subscription: Subscription) -> Result<(), Fault> {
        Ok(self.topics.subscribe_with(subscription)?)
    }

    fn unsubscribe(&mut self, topic: &str) {
        self.topics.unsubscribe(topic);
    }

    fn publish(&mut self, publication: Publication) -> Result<(), Fault> {
        Ok(self.topics.publish(publication)?)
    }

    fn list_members(&mut self, topic: String) -> Result<(), Fault> {
        Ok(self.topics.list_members(topic)?)
    }
}

/// Whether the app can continue from the state, which another version of it may have set.
fn can_read(app: &impl EventApp, id: &str, state: &[u8]) -> bool {
    let is_failure = |action: &Action| matches!(action, Action::Fail(_));
    state.is_empty() || !app.handle(id, state, Vec::new()).iter().any(is_failure)
}

/// The name of a connection, as the interface `app` defines it.
fn name(text: &str) -> Result<String, ResumeError> {
    let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_name.then(|| text.into()).ok_or(ResumeError::Invalid)
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
    fn open(&mut self, now: Instant, _: ConnectionId, _: &ReadyList, residual: Vec<u8>) -> Effects {
        self.connection.receive_bytes(now, BytesMut::new());
        let opening = self.opening.take().unwrap_or_default();
        self.carry_out(opening);
        self.receive(now, residual)
    }

    fn set_limits(&mut self, limits: MessageLimits) {
        self.connection.set_limits(limits);
    }

    fn receive(&mut self, now: Instant, bytes: Vec<u8>) -> Effects {
        self.connection.receive_bytes(now, Bytes::from(bytes));
        self.effects()
    }

    fn receive_eof(&mut self, now: Instant) -> Effects {
        self.connection.receive_eof(now);
        self.effects()
    }

    fn wake(&mut self, now: Instant, unsent: u64) -> Effects {
        self.connection.handle_timeout(now, unsent);
        self.effects()
    }

    fn shutdown(&mut self, now: Instant, reason: ShutdownReason) -> Effects {
        self.connection.advance(now);
        shut_down(&mut self.connection, reason);
        self.effects()
    }

    fn lost(&mut self, now: Instant) -> Vec<Publication> {
        self.connection.receive_eof(now);
        publications(self.effects().topics)
    }

    fn deliver(&mut self, now: Instant, broadcast: &Broadcast) -> Delivered {
        let receiver = self.topics.receiver(&broadcast.delivery().topic);
        let with_position = receiver == Some(Receiver::PeerWithPosition);
        match receiver {
            Some(Receiver::Peer | Receiver::PeerWithPosition) => {
                if let Some(form) = broadcast.send_on(&mut self.connection, now, with_position) {
                    return Delivered::Form(form);
                }
                self.connection.advance(now);
                let message = broadcast.message(with_position);
                // Fails if the connection is not open: nothing more is sent then.
                let _ = self.connection.send_prepared(message);
            }
            Some(Receiver::App) => {
                self.connection.advance(now);
                self.call(vec![Event::Published(broadcast.delivery().clone())]);
            }
            None => self.connection.advance(now),
        }
        Delivered::Effects(self.effects())
    }

    fn tell(&mut self, now: Instant, event: TopicEvent) -> Effects {
        self.connection.advance(now);
        self.on_topic_event(event);
        self.effects()
    }

    fn suspend(&self, now: Instant) -> Option<Suspended> {
        let mut state = Writer::default();
        self.write(now, &mut state)?;
        Some(Suspended {
            path: self.path.clone(),
            state: state.0,
        })
    }

    fn keepalive(&self) -> Option<Keepalive> {
        let terms = self.connection.keepalive()?;
        Some(Keepalive {
            ping_at: terms.ping_at,
            interval: terms.interval,
            timeout: terms.timeout,
            ping: Keepalive::PING,
            answer: Keepalive::PONG,
            answer_mask: Keepalive::PONG_MASK,
            wake_at: terms.wake_at,
        })
    }

    fn kept_alive(&mut self, answered: Option<Instant>, pinged: Option<Instant>) {
        self.connection.kept_alive(answered, pinged);
    }

    fn report(&self) -> Report {
        let fault = self.fault.as_ref().map(Fault::to_string);
        self.connection.report().with_fault(fault)
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
