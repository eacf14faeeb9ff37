//! Channels: which connections receive what is published.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell, Ref, RefCell};
use core::mem;

use super::MAX_WAITING;
use super::fault::Fault;
use super::judge::check_count;
use crate::protocol::{Message, Prepared};
use crate::session::Calling;

/// The channels of an instance, each with its subscribers. A channel without subscribers is not kept.
#[derive(Debug, Default)]
pub(super) struct Channels(RefCell<BTreeMap<String, Vec<Rc<Subscriber>>>>);

/// A connection, from the point of view of the channels.
#[derive(Debug, Default)]
pub(super) struct Subscriber {
    channels: RefCell<Vec<String>>,
    waiting: RefCell<Vec<Prepared>>,
    /// The number of bytes in the waiting messages.
    size: Cell<usize>,
    /// Whether messages have been lost because too much was waiting.
    is_late: Cell<bool>,
    calling: OnceCell<Arc<Calling>>,
}

impl Channels {
    pub(super) fn subscribe(&self, own: &Rc<Subscriber>, channel: String) -> Result<(), Fault> {
        let mut channels = own.channels.borrow_mut();
        if channels.contains(&channel) {
            return Ok(());
        }
        check_count(channels.len())?;
        channels.push(channel.clone());
        let mut all = self.0.borrow_mut();
        all.entry(channel).or_default().push(Rc::clone(own));
        Ok(())
    }

    pub(super) fn unsubscribe(&self, own: &Rc<Subscriber>, channel: &str) {
        own.channels.borrow_mut().retain(|name| name != channel);
        self.remove(own, channel);
    }

    /// Forgets a connection that has ended.
    pub(super) fn leave(&self, own: &Rc<Subscriber>) {
        for channel in own.channels.take() {
            self.remove(own, &channel);
        }
    }

    fn remove(&self, own: &Rc<Subscriber>, channel: &str) {
        let mut all = self.0.borrow_mut();
        let Some(subscribers) = all.get_mut(channel) else {
            return;
        };
        subscribers.retain(|other| !Rc::ptr_eq(other, own));
        if subscribers.is_empty() {
            all.remove(channel);
        }
    }

    pub(super) fn publish(&self, channel: &str, message: Message) {
        let all = self.0.borrow();
        let Some(subscribers) = all.get(channel) else {
            return;
        };
        let message = Prepared::new(message);
        for subscriber in subscribers {
            subscriber.push(&message);
        }
    }
}

impl Subscriber {
    /// Sets how to have the connection called.
    pub(super) fn called_by(&self, calling: Arc<Calling>) {
        let _ = self.calling.set(calling);
    }

    pub(super) fn calling(&self) -> Option<&Calling> {
        self.calling.get().map(|calling| &**calling)
    }

    fn push(&self, message: &Prepared) {
        let size = self.size.get();
        let grown = size.saturating_add(message.message().as_bytes().len());
        if size > 0 && grown > MAX_WAITING {
            self.is_late.set(true);
        } else {
            self.size.set(grown);
            self.waiting.borrow_mut().push(message.clone());
        }
        if let Some(calling) = self.calling() {
            calling.call();
        }
    }

    /// The channels that it is subscribed to.
    pub(super) fn channels(&self) -> Ref<'_, Vec<String>> {
        self.channels.borrow()
    }

    /// Whether there is something to send, or an overflow to handle.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_late() || !self.waiting.borrow().is_empty()
    }

    /// Whether messages have been lost.
    pub(super) fn is_late(&self) -> bool {
        self.is_late.get()
    }

    /// The messages published since the last call.
    pub(super) fn take(&self) -> Vec<Prepared> {
        self.size.set(0);
        mem::take(&mut *self.waiting.borrow_mut())
    }
}
