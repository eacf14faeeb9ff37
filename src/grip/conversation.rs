//! A connection during one request of the proxy: its events, and the actions to take.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::{mem, str};

use serde_json::{Value, json};

use super::meta::{Meta, Phase};
use super::publish::Publication;
use super::wire::WireEvent;
use crate::events::fault::Fault;
use crate::events::judge::{Target, carry_out};
use crate::events::{
    Action, Closed, Event, EventApp, MAX_BATCH, MAX_BATCH_SIZE, MAX_TOPICS, Receiver, Start,
    Subscribed, Subscription, TopicOperation, TopicRefusal,
};
use crate::protocol::{CloseCode, CloseReason, Message, ProtocolError};
use crate::topics::{self, TopicError, check_name};

/// The longest body of a response, in bytes: Pushpin drops a connection whose backend sends more.
const MAX_BODY: usize = 1_000_000;

/// The part of it that is reserved for a Close frame, so that the client learns why the connection ends.
const FOR_CLOSE: usize = 256;

pub(super) struct Conversation<'a, A: EventApp + ?Sized> {
    pub(super) app: &'a A,
    pub(super) id: &'a str,
    pub(super) meta: Meta,
    /// The body of the response.
    pub(super) output: Vec<u8>,
    pub(super) publications: Vec<Publication>,
    pub(super) log: Vec<String>,
    /// What the app is still to be told.
    pub(super) pending: Vec<Event>,
}

/// The most calls of the app that answer its own questions.
const MAX_ROUNDS: usize = 16;

impl<A: EventApp + ?Sized> Conversation<'_, A> {
    /// Gives the app the pending events, and carries out its answers.
    pub(super) fn run(&mut self, events: &[WireEvent<'_>]) {
        let mut messages = Vec::new();
        let mut size: usize = 0;
        for event in events {
            if let Some(message) = self.message(event) {
                size = size.saturating_add(message.as_bytes().len());
                messages.push(Event::Message(message));
                if messages.len() < MAX_BATCH && size < MAX_BATCH_SIZE {
                    continue;
                }
            }
            size = 0;
            // Anything else is answered after the messages before it.
            self.call(mem::take(&mut messages));
            self.control(event);
        }
        self.call(messages);
    }

    /// The event's message, if it is one for the app.
    fn message(&self, event: &WireEvent<'_>) -> Option<Message> {
        match *event {
            WireEvent::Text(payload) | WireEvent::Binary(payload) if self.is_too_long(payload) => {
                None
            }
            WireEvent::Text(text) => {
                Some(Message::Text(str::from_utf8(text).ok()?.to_owned().into()))
            }
            WireEvent::Binary(bytes) => Some(Message::Binary(bytes.to_vec().into())),
            _ => None,
        }
    }

    /// The proxy does not know the app's limit, so a message that it has received whole is refused here.
    fn is_too_long(&self, payload: &[u8]) -> bool {
        u32::try_from(payload.len()).map_or(true, |len| len > self.meta.max_message_size)
    }

    /// Handles an event that is not a message for the app.
    fn control(&mut self, event: &WireEvent<'_>) {
        match *event {
            WireEvent::Text(payload) | WireEvent::Binary(payload) if self.is_too_long(payload) => {
                self.give_up(ProtocolError::MessageTooBig);
            }
            WireEvent::Text(text) if str::from_utf8(text).is_err() => {
                self.give_up(ProtocolError::InvalidUtf8);
            }
            WireEvent::Ping(payload) if self.meta.phase == Phase::Open => {
                WireEvent::Pong(payload).encode(&mut self.output);
            }
            WireEvent::Close(payload) => self.close_with_peer(payload),
            WireEvent::Disconnect => self.end(crate::Closed::EndOfStream.into()),
            _ => {}
        }
    }

    /// Calls the app, and carries out its answer.
    fn call(&mut self, events: Vec<Event>) {
        if self.meta.phase == Phase::Ended || events.is_empty() {
            return;
        }
        let answer = self.app.handle(self.id, &self.meta.state, events);
        self.carry_out(answer);
    }

    pub(super) fn carry_out(&mut self, answer: Vec<Action>) {
        self.act(answer);
        for _ in 0..MAX_ROUNDS {
            for event in mem::take(&mut self.pending) {
                if self.meta.phase != Phase::Ended {
                    let answer = self.app.handle(self.id, &self.meta.state, vec![event]);
                    self.act(answer);
                }
            }
        }
        if !mem::take(&mut self.pending).is_empty() {
            self.log.push("app error: it asks again and again".into());
        }
    }

    fn act(&mut self, answer: Vec<Action>) {
        if let Err(fault) = carry_out(self, answer) {
            self.log.push(format!("app error: {fault}"));
            self.send_close(CloseCode::INTERNAL_ERROR, "");
            self.end_with(fault.as_event());
        }
    }

    /// RFC 6455 §5.5.1: a Close frame is answered with one, which "typically echos the status code". A proxy
    /// waits for it even if one has been sent before.
    fn close_with_peer(&mut self, payload: &[u8]) {
        match CloseReason::decode(payload) {
            Ok(reason) => {
                let code = payload.get(..2).unwrap_or_default();
                WireEvent::Close(code).encode(&mut self.output);
                self.end(crate::Closed::Handshake(reason).into());
            }
            Err(error) => self.give_up(error),
        }
    }

    /// The peer broke the protocol (RFC 6455 §7.1.7).
    fn give_up(&mut self, error: ProtocolError) {
        self.send_close(error.close_code(), "");
        self.end(crate::Closed::Failed(error).into());
    }

    fn end(&mut self, closed: Closed) {
        self.end_with(Event::Closed(closed));
    }

    /// The connection has ended, as far as the app is concerned.
    fn end_with(&mut self, closed: Event) {
        if mem::replace(&mut self.meta.phase, Phase::Ended) == Phase::Ended {
            return;
        }
        let answer = self.app.handle(self.id, &self.meta.state, vec![closed]);
        self.carry_out(answer);
    }

    fn send_close(&mut self, code: CloseCode, reason: &str) {
        if self.meta.phase == Phase::Open {
            let payload = [&code.as_u16().to_be_bytes(), reason.as_bytes()].concat();
            WireEvent::Close(&payload).encode(&mut self.output);
            self.meta.phase = Phase::Closing;
        }
    }

    /// A message for the proxy itself.
    fn control_message(&mut self, message: &Value) -> Result<(), Fault> {
        self.write(&WireEvent::Text(format!("c:{message}").as_bytes()))
    }

    fn write(&mut self, event: &WireEvent<'_>) -> Result<(), Fault> {
        let before = self.output.len();
        event.encode(&mut self.output);
        if self.output.len() > MAX_BODY - FOR_CLOSE {
            self.output.truncate(before);
            return Err(Fault::BeyondProxy(MAX_BODY));
        }
        Ok(())
    }
}

impl<A: EventApp + ?Sized> Target for Conversation<'_, A> {
    fn send(&mut self, message: Message) -> Result<(), Fault> {
        if self.meta.phase != Phase::Open {
            return Ok(());
        }
        // Everything after the prefix is for the client, so a message that begins with `c:` is not taken for
        // the proxy's.
        let content = [b"m:", message.as_bytes()].concat();
        self.write(&match message {
            Message::Text(_) => WireEvent::Text(&content),
            Message::Binary(_) => WireEvent::Binary(&content),
        })
    }

    fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Fault> {
        self.send_close(code, CloseReason::cut(reason));
        Ok(())
    }

    fn set_state(&mut self, state: Vec<u8>) {
        self.meta.state = state;
    }

    fn subscribe(&mut self, channel: String) -> Result<(), Fault> {
        check_name(&channel)?;
        if self.meta.channels.contains(&channel) {
            return Ok(());
        }
        if self.meta.channels.len() >= MAX_TOPICS {
            return Err(TopicError::TooMany.into());
        }
        if self.meta.channels.is_empty() {
            self.control_message(&json!({ "type": "set-meta", "name": "user", "value": self.id }))?;
        }
        // `skip-self`: the connection receives its own publications in the response, so that they keep their
        // order and do not depend on whether this subscription or the publication is faster.
        let filters = ["skip-self"];
        self.control_message(
            &json!({ "type": "subscribe", "channel": channel, "filters": filters }),
        )?;
        self.meta.channels.push(channel);
        Ok(())
    }

    fn unsubscribe(&mut self, channel: &str) {
        if !self.meta.channels.iter().any(|own| own == channel) {
            return;
        }
        self.meta.channels.retain(|own| own != channel);
        let message = json!({ "type": "unsubscribe", "channel": channel });
        if let Err(fault) = self.control_message(&message) {
            self.log.push(fault.to_string());
        }
    }

    /// The proxy keeps neither history nor members.
    fn subscribe_with(&mut self, subscription: Subscription) -> Result<(), Fault> {
        subscription.check()?;
        let topic = subscription.topic.clone();
        let event = match unsupported(&subscription) {
            Some(reason) => refused(topic, TopicOperation::Subscribe, reason),
            None => {
                self.subscribe(subscription.topic)?;
                Event::Subscribed(Subscribed {
                    topic,
                    position: None,
                    recovered: true,
                })
            }
        };
        self.pending.push(event);
        Ok(())
    }

    fn publish(&mut self, publication: topics::Publication) -> Result<(), Fault> {
        let topics::Publication {
            topic: channel,
            message,
            to_others,
        } = publication;
        check_name(&channel)?;
        if !to_others && self.meta.channels.contains(&channel) {
            self.send(message.clone())?;
        }
        self.publications.push(Publication {
            channel,
            message,
            sender: Some(self.id.to_owned()),
        });
        Ok(())
    }

    fn list_members(&mut self, topic: String) -> Result<(), Fault> {
        check_name(&topic)?;
        let reason = "the proxy does not know who is a member";
        self.pending
            .push(refused(topic, TopicOperation::ListMembers, reason));
        Ok(())
    }
}

fn refused(topic: String, operation: TopicOperation, reason: &str) -> Event {
    Event::Refused(TopicRefusal {
        topic,
        operation,
        reason: reason.into(),
    })
}

/// What a subscription asks for that a proxy cannot give.
fn unsupported(subscription: &Subscription) -> Option<&'static str> {
    if subscription.start != Start::Now || subscription.keep.is_some() {
        return Some("the proxy keeps no history");
    }
    if subscription.member.is_some() || subscription.watch_members {
        return Some("the proxy does not know who is a member");
    }
    (subscription.receiver != Receiver::Peer)
        .then_some("the proxy gives publications to the peer only, without a position")
}
