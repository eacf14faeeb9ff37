//! A publication on its way to this worker's subscribers, and the bytes that several of them are sent.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use wasocket_bus::message::{Kind, Message, Publication, SubscriberId};
use wasocket_bus::position::Position;
use wasocket_bus::topic::Topic;

use crate::contract::bindings::{Delivery, TopicMessage};
use crate::observe::metrics::topics::Prefix;
use crate::topics::settings::SlowSubscriber;

/// A publication that has arrived. One for all subscribers of the worker.
pub(crate) struct Arrived {
    pub(super) topic: Topic,
    /// As instances are given it.
    pub(crate) delivery: Arc<Delivery>,
    pub(super) position: Option<Position>,
    pub(super) exclude: Option<SubscriberId>,
    pub(super) policy: SlowSubscriber,
    /// The prefix by which its deliveries are counted.
    pub(crate) prefix: Option<Prefix>,
    /// The length of the message.
    pub(crate) length: usize,
    forms: RefCell<Vec<Form>>,
}

/// Bytes that several connections are sent.
struct Form {
    /// Of which version of the component.
    version: u64,
    number: u32,
    bytes: Bytes,
}

impl Arrived {
    pub(super) fn new(
        topic: &Topic,
        publication: &Publication,
        policy: SlowSubscriber,
        prefix: Option<Prefix>,
    ) -> Self {
        let Publication {
            message,
            position,
            exclude,
        } = publication;
        Self {
            topic: topic.clone(),
            delivery: Arc::new(Delivery {
                topic: topic.to_string(),
                message: to_contract(message),
                position: position.map(|position| position.to_string()),
            }),
            position: *position,
            exclude: *exclude,
            policy,
            prefix,
            length: message.bytes.len(),
            forms: RefCell::default(),
        }
    }

    /// The forms that instances of this version have made.
    pub(crate) fn known(&self, version: u64) -> Vec<u32> {
        let forms = self.forms.borrow();
        let known = forms.iter().filter(|form| form.version == version);
        known.map(|form| form.number).collect()
    }

    /// Keeps a form.
    pub(crate) fn add(&self, version: u64, number: u32, bytes: Vec<u8>) {
        if self.form(version, number).is_none() {
            self.forms.borrow_mut().push(Form {
                version,
                number,
                bytes: bytes.into(),
            });
        }
    }

    /// The bytes of a form.
    pub(crate) fn form(&self, version: u64, number: u32) -> Option<Bytes> {
        let forms = self.forms.borrow();
        let form = forms
            .iter()
            .find(|form| form.version == version && form.number == number);
        form.map(|form| form.bytes.clone())
    }
}

impl fmt::Debug for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arrived({} bytes on {:?})", self.length, self.topic)
    }
}

/// Converts a message from an instance.
pub(super) fn from_contract(message: TopicMessage) -> Message {
    match message {
        TopicMessage::Text(text) => Message {
            kind: Kind::Text,
            bytes: text.into(),
        },
        TopicMessage::Binary(bytes) => Message {
            kind: Kind::Binary,
            bytes: bytes.into(),
        },
    }
}

fn to_contract(message: &Message) -> TopicMessage {
    match message.kind {
        Kind::Text => TopicMessage::Text(String::from_utf8_lossy(&message.bytes).into_owned()),
        Kind::Binary => TopicMessage::Binary(message.bytes.to_vec()),
    }
}
