//! The topics of a worker: which of its connections subscribe to what, what waits for them, and what arrives on the bus.
//!
//! ```text
//!   effects ── topics ──▶ actions ──▶ Port ──▶ bus ──▶ Inbox ──▶ arrivals ──▶ the backlog of each instance
//!                            │                                      ▲                   │
//!                            └────────────▶ table ──────────────────┘            pool: `deliver`
//!                                                                                       │
//!              session ◀── at once, or what waits for it until its output is sent ◀─────┘
//! ```
//!
//! It makes no calls into instances: the pool does. `docs/design/topics.md` explains the words and the decisions.

pub(crate) mod actions;
mod arrivals;
pub(crate) mod backlog;
pub(crate) mod handover;
mod moves;
pub(crate) mod publication;
pub(crate) mod records;
pub mod settings;
pub(crate) mod subscriber;
pub(crate) mod table;
pub(crate) mod waiting;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use wasocket_bus::Port;
use wasocket_bus::message::SubscriberId;

use crate::limits::unsent::UnsentBudget;
use crate::observe::metrics::Metrics;
use crate::topics::backlog::{Backlogged, DueInstances};
use crate::topics::publication::Arrived;
use crate::topics::settings::TopicSettings;
use crate::topics::subscriber::{Readiness, Subscriber};
use crate::topics::table::{Group, Table};
use crate::topics::waiting::Dropped;

/// The topics of a worker whose connections are on instances of the type `I`.
pub(crate) struct Topics<I> {
    port: Port,
    settings: Arc<TopicSettings>,
    unsent: Arc<UnsentBudget>,
    metrics: Arc<Metrics>,
    table: RefCell<Table<I>>,
    /// The number of the last subscriber. None is used twice.
    last_id: Cell<u64>,
    pub(crate) due: DueInstances<I>,
}

impl<I: Backlogged> Topics<I> {
    pub(crate) fn new(
        port: Port,
        settings: &Arc<TopicSettings>,
        unsent: &Arc<UnsentBudget>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        metrics.topics.count_by(&settings.metrics_prefixes);
        Self {
            port,
            settings: Arc::clone(settings),
            unsent: Arc::clone(unsent),
            metrics: Arc::clone(metrics),
            table: RefCell::default(),
            last_id: Cell::new(0),
            due: DueInstances::default(),
        }
    }

    /// The number of a new subscriber.
    fn next_id(&self) -> SubscriberId {
        let id = self.last_id.get().wrapping_add(1);
        self.last_id.set(id);
        SubscriberId(id)
    }

    /// The connections of a group that are given a publication now, from this number on and at most `most`. For the
    /// others it waits. Returns the number to go on with, if there are more.
    pub(crate) fn select(
        &self,
        group: &Group<I>,
        arrived: &Rc<Arrived>,
        from: SubscriberId,
        most: usize,
        selected: &mut Vec<Rc<Subscriber<I>>>,
    ) -> Option<SubscriberId> {
        group.select(
            from,
            arrived.exclude,
            most,
            selected,
            |subscriber, readiness| {
                self.wait(subscriber, |waiting| {
                    let is_unsent = readiness == Readiness::Unsent;
                    waiting.add(arrived, is_unsent, self.settings.max_waiting)
                });
            },
        )
    }

    /// Lets something wait for a connection, and counts what was dropped for it.
    fn wait(&self, subscriber: &Subscriber<I>, add: impl FnOnce(&mut waiting::Waiting) -> Dropped) {
        let Some(details) = subscriber.details.get() else {
            return;
        };
        let dropped = add(&mut details.waiting.borrow_mut());
        self.metrics
            .topics
            .dropped(dropped.publications, dropped.gaps, dropped.is_too_slow);
        details.wake();
    }
}

impl<I> fmt::Debug for Topics<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics").finish_non_exhaustive()
    }
}
