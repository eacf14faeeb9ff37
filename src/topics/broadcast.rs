use alloc::vec::Vec;
use core::cell::{Cell, OnceCell, RefCell};
use core::mem;

use bytes::Bytes;

use super::Delivery;
use crate::protocol::{Connection, Instant, Message, Prepared};

/// A publication on its way to the connections of an instance, and the frames of it that several of them are sent.
///
/// Connections are sent the same bytes if they compress alike, or not at all, and neither or both want the position.
/// What distinguishes such bytes makes up the number of a [`Form`].
#[derive(Debug)]
pub struct Broadcast {
    delivery: Delivery,
    plain: Prepared,
    with_position: OnceCell<Prepared>,
    /// The numbers of the forms that the host has, or is given.
    known: RefCell<Vec<u32>>,
    /// The one that was needed last.
    last: Cell<Option<u32>>,
    forms: RefCell<Vec<Form>>,
}

/// Bytes that several connections are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// What distinguishes them from the other forms of the same publication, in every instance.
    pub number: u32,
    /// A frame.
    pub bytes: Bytes,
}

impl Broadcast {
    /// A publication of which the host has these forms already.
    #[must_use]
    pub fn new(delivery: Delivery, known: Vec<u32>) -> Self {
        Self {
            plain: Prepared::new(delivery.message.clone()),
            delivery,
            with_position: OnceCell::new(),
            known: RefCell::new(known),
            last: Cell::new(None),
            forms: RefCell::default(),
        }
    }

    /// The publication.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The message for a peer, which may want the position.
    pub(crate) fn message(&self, with_position: bool) -> &Prepared {
        if !with_position {
            return &self.plain;
        }
        self.with_position
            .get_or_init(|| Prepared::new(positioned(&self.delivery)))
    }

    /// Has the host send the message on a connection, and returns the number of the form. `None` if the connection
    /// has to write it itself, or cannot: nothing has happened then.
    pub(crate) fn send_on(
        &self,
        connection: &mut Connection,
        now: Instant,
        with_position: bool,
    ) -> Option<u32> {
        let message = self.message(with_position);
        let encoding = connection.send_elsewhere(now, message)?;
        let number = u32::from(encoding) << 1 | u32::from(with_position);
        if self.last.get() != Some(number) {
            self.last.set(Some(number));
            self.provide(number, || connection.shared_frame(message));
        }
        Some(number)
    }

    /// Makes a form that the host does not have.
    fn provide(&self, number: u32, frame: impl FnOnce() -> Option<Bytes>) {
        let mut known = self.known.borrow_mut();
        if known.contains(&number) {
            return;
        }
        if let Some(bytes) = frame() {
            known.push(number);
            self.forms.borrow_mut().push(Form { number, bytes });
        }
    }

    /// The forms that the host did not have.
    pub(crate) fn take_forms(&self) -> Vec<Form> {
        mem::take(&mut *self.forms.borrow_mut())
    }
}

/// The position, or nothing if there is none, a line feed, and the message.
fn positioned(delivery: &Delivery) -> Message {
    let position = delivery.position.as_deref().unwrap_or_default();
    match &delivery.message {
        Message::Text(text) => [position, "\n", text].concat().into(),
        Message::Binary(bytes) => [position.as_bytes(), b"\n", bytes].concat().into(),
    }
}
