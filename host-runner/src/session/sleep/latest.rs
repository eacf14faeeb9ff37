//! Values that are nearly always the same, kept once.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// The latest of some values.
pub(crate) struct Latest<T>(RefCell<Option<Rc<T>>>);

impl<T: PartialEq> Latest<T> {
    /// This value, shared with others that are like it.
    pub(super) fn shared(&self, value: T) -> Rc<T> {
        let mut latest = self.0.borrow_mut();
        match &*latest {
            Some(same) if **same == value => Rc::clone(same),
            _ => Rc::clone(latest.insert(Rc::new(value))),
        }
    }
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> fmt::Debug for Latest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Latest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_is_kept_once() {
        let latest = Latest::default();
        let [first, second, other] = [1, 1, 2].map(|value| latest.shared(value));
        assert!(Rc::ptr_eq(&first, &second) && !Rc::ptr_eq(&first, &other));
        assert_eq!((*second, *other), (1, 2));
    }
}
