//! Keys whose connections and requests all go to one instance, their owner.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use crate::pool::instance::Instance;

/// What requests have in common that go to one instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(Rc<[u8]>);

impl Key {
    /// The key of these values. Other values, or others in number, have another key.
    pub(crate) fn of(values: &[impl AsRef<str>]) -> Self {
        let mut bytes = Vec::new();
        for value in values {
            let value = value.as_ref().as_bytes();
            bytes.extend_from_slice(&value.len().to_le_bytes());
            bytes.extend_from_slice(value);
        }
        Self(bytes.into())
    }
}

/// The instances of the keys that have connections or requests now, by version of the component: each has its own.
#[derive(Debug, Default)]
pub(super) struct Owners(RefCell<HashMap<(u64, Key), Weak<Owner>>>);

/// The instance of a key, for as long as something holds this.
#[derive(Debug)]
pub(in super::super) struct Owner {
    pub(in super::super) key: Key,
    pub(super) instance: Rc<Instance>,
    owners: Rc<Owners>,
}

impl Owners {
    /// The owner of a key among the instances of this version, if it has one that lives.
    pub(super) fn of(&self, version: u64, key: &Key) -> Option<Rc<Owner>> {
        let place = (version, key.clone());
        let owner = self.0.borrow().get(&place).and_then(Weak::upgrade);
        owner.filter(|owner| owner.instance.is_alive())
    }

    /// Makes the instance the owner of a key.
    pub(super) fn set(self: &Rc<Self>, key: &Key, instance: &Rc<Instance>) -> Rc<Owner> {
        let owner = Rc::new(Owner {
            key: key.clone(),
            instance: Rc::clone(instance),
            owners: Rc::clone(self),
        });
        let weak = Rc::downgrade(&owner);
        self.0.borrow_mut().insert(owner.place(), weak);
        owner
    }
}

impl Owner {
    fn place(&self) -> (u64, Key) {
        (self.instance.version.number, self.key.clone())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let (mut owners, place) = (self.owners.0.borrow_mut(), self.place());
        // Unless the key has another owner by now.
        if owners
            .get(&place)
            .is_some_and(|owner| owner.strong_count() == 0)
        {
            owners.remove(&place);
        }
    }
}
