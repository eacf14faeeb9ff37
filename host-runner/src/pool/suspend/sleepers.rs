//! The connections of a worker that sleep, for what concerns all of them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::observe::metrics::Metrics;
use crate::pool::instance::Instance;
use crate::pool::places::owner::Key;
use crate::pool::wakeups::{Signal, Signals};
use crate::topics::Topics;
use crate::topics::subscriber::Subscriber;

/// The most connections that are woken before other tasks run.
pub(crate) const WAVE: usize = 4;

/// The connections of a worker that sleep.
#[derive(Debug)]
pub(crate) struct Sleepers {
    signals: RefCell<HashMap<u64, Arc<Signals>>>,
    last_id: Cell<u64>,
    /// The number of them of each key: they have a right to return to its instance.
    of_keys: RefCell<HashMap<Key, usize>>,
    topics: Rc<Topics<Instance>>,
    metrics: Arc<Metrics>,
}

impl Sleepers {
    pub(crate) fn new(topics: &Rc<Topics<Instance>>, metrics: &Arc<Metrics>) -> Rc<Self> {
        Rc::new(Self {
            signals: RefCell::default(),
            last_id: Cell::new(0),
            of_keys: RefCell::default(),
            topics: Rc::clone(topics),
            metrics: Arc::clone(metrics),
        })
    }

    /// The number of connections of this key.
    pub(crate) fn of(&self, key: Option<&Key>) -> usize {
        let of_keys = self.of_keys.borrow();
        let number = key.and_then(|key| of_keys.get(key));
        number.copied().unwrap_or_default()
    }

    /// The signals of all of them.
    pub(crate) fn all(&self) -> Vec<Arc<Signals>> {
        self.signals.borrow().values().map(Arc::clone).collect()
    }

    /// Raises a signal at all of them.
    pub(crate) fn raise(&self, signal: Signal) {
        let signals = self.signals.borrow();
        signals.values().for_each(|signals| signals.raise(signal));
    }

    pub(super) fn add(&self, signals: &Arc<Signals>, key: Option<&Key>) -> u64 {
        let id = self.last_id.get().wrapping_add(1);
        self.last_id.set(id);
        self.signals.borrow_mut().insert(id, Arc::clone(signals));
        if let Some(key) = key {
            let mut of_keys = self.of_keys.borrow_mut();
            *of_keys.entry(key.clone()).or_default() += 1;
        }
        self.count();
        id
    }

    pub(super) fn remove(&self, id: u64, key: Option<&Key>) {
        let mut signals = self.signals.borrow_mut();
        signals.remove(&id);
        if signals.is_empty() {
            signals.shrink_to_fit();
        }
        drop(signals);
        if let Some(key) = key {
            self.remove_of_key(key);
        }
        self.count();
    }

    fn remove_of_key(&self, key: &Key) {
        let mut of_keys = self.of_keys.borrow_mut();
        if let Some(number) = of_keys.get_mut(key) {
            *number = number.saturating_sub(1);
            if *number == 0 {
                of_keys.remove(key);
            }
        }
    }

    fn count(&self) {
        let number = self.signals.borrow().len();
        self.metrics.sleep.asleep.set(number);
    }

    /// The connection is gone.
    pub(super) fn leave_topics(&self, subscriber: &Subscriber<Instance>) {
        self.topics.leave(subscriber);
    }
}
