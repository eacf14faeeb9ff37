//! The instances of a worker and the connections on them.
//!
//! All of it stays on one thread, but for a call that takes long or waits: that is finished elsewhere, and whoever
//! wants the same instance waits for it, so that no instance is entered while a call into it is under way, as the
//! contract asks. Everybody else goes on.

mod backoff;
pub(crate) mod batch;
mod call;
mod instance;
mod member;
mod place;
pub mod wakeups;

pub use call::Call;
pub use member::Connection;
pub(crate) use member::PendingRequest;
pub(crate) use place::{Answer, Decision, Place, Takeover};

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{self, Duration};

use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};
use tokio::task::spawn_blocking;

use self::instance::{Instance, Shared, back_off, log};
use crate::contract::bindings::{Instant, ShutdownReason};
use crate::guest::fault::Dead;
use crate::guest::fault::GuestFault;
use crate::guest::file_wait::FileWait;
use crate::guest::handler::Guest;
use crate::guest::instance::{Advance, advance, finish_with};
use crate::guest::limits::Limits;
use crate::guest::load::component::Component;
use crate::observe::metrics::Metrics;

/// So many calls at once are finished beside a worker. Fewer than the threads that tokio has for it (512), so that
/// there are some left for the files that calls wait for.
const THREADS: usize = 128;

/// The instances of a component, each serving up to so many connections.
#[derive(Debug)]
pub struct Pool {
    component: RefCell<Component>,
    /// How often it has become another.
    replaced: Cell<u64>,
    /// Held while an instance starts.
    starting: Arc<Mutex<()>>,
    limits: Limits,
    connections_per_instance: usize,
    instances: RefCell<Vec<Rc<Instance>>>,
    shared: Shared,
    stopping: Cell<Option<ShutdownReason>>,
}

impl Pool {
    /// A pool without instances: they are made when they are needed.
    pub(crate) fn new(
        component: Component,
        limits: Limits,
        connections_per_instance: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            component: RefCell::new(component),
            replaced: Cell::new(0),
            starting: Arc::default(),
            limits,
            connections_per_instance,
            instances: RefCell::default(),
            shared: Shared {
                threads: Rc::new(Semaphore::new(THREADS)),
                batches: Rc::default(),
                backoff: Rc::default(),
                metrics,
            },
            stopping: Cell::new(None),
        }
    }

    /// A place on an instance: one that lives and has room, else a new one. While one starts, whoever needs one
    /// waits for it.
    ///
    /// # Errors
    ///
    /// See [`Unplaced`].
    pub(crate) async fn place(&self) -> Result<Place, Unplaced> {
        loop {
            if let Some(place) = self.vacancy() {
                return Ok(place);
            }
            let starting = Arc::clone(&self.starting).lock_owned().await;
            if let Some(place) = self.vacancy() {
                return Ok(place);
            }
            if let Some(left) = self.pause() {
                return Err(Unplaced::BackingOff(left));
            }
            if let Some(instance) = self.start(starting).await? {
                return Ok(Place::on(&instance));
            }
        }
    }

    fn vacancy(&self) -> Option<Place> {
        let mut instances = self.instances.borrow_mut();
        self.forget_unneeded(&mut instances);
        self.shared.metrics.instances_now.set(instances.len());
        let instance = instances.iter().find(|instance| self.has_room(instance));
        instance.map(Place::on)
    }

    /// How long no instance is to be made.
    fn pause(&self) -> Option<Duration> {
        let instances = self.instances.borrow();
        let born = instances.iter().map(|instance| instance.born);
        let left = self.shared.backoff.pause(born, time::Instant::now);
        if left.is_none() {
            self.shared.metrics.pause(None);
        }
        left
    }

    /// Makes an instance; none if the component is another by the time that it has started.
    async fn start(&self, starting: OwnedMutexGuard<()>) -> Result<Option<Rc<Instance>>, Dead> {
        let (born, component) = (time::Instant::now(), self.component.borrow().clone());
        let replaced = self.replaced.get();
        let file_wait = FileWait::with(&component.grants, self.limits);
        let guest = start(component, self.limits, starting).await;
        let guest = guest.map_err(|fault| {
            back_off(&self.shared.backoff, born, &self.shared.metrics);
            log(&fault, 0, &self.shared.metrics)
        })?;
        tracing::debug!("new instance, in {:.1?}", born.elapsed());
        self.shared.metrics.instances.count();
        if self.replaced.get() != replaced {
            return Ok(None);
        }
        let instance = Rc::new(Instance::new(
            guest,
            file_wait,
            born,
            self.limits.message_limits,
            &self.shared,
        ));
        if let Some(reason) = self.stopping.get() {
            instance.stop(reason);
        }
        let mut instances = self.instances.borrow_mut();
        instances.push(Rc::clone(&instance));
        self.shared.metrics.instances_now.set(instances.len());
        Ok(Some(instance))
    }

    /// From now on, instances are made of this component; those that are there retire. Returns how many
    /// connections and requests are on those.
    pub fn replace(&self, component: Component) -> usize {
        self.component.replace(component);
        self.replaced.set(self.replaced.get().wrapping_add(1));
        self.shared.backoff.forget();
        self.shared.metrics.pause(None);
        let retired = self.instances.take();
        self.shared.metrics.instances_now.set(0);
        for instance in &retired {
            instance.stop(ShutdownReason::ServiceRestart);
        }
        retired.iter().map(|instance| instance.places.get()).sum()
    }

    /// Asks all connections to end, those that come later too.
    pub fn stop(&self, reason: ShutdownReason) {
        self.stopping.set(Some(reason));
        for instance in self.instances.borrow().iter() {
            instance.stop(reason);
        }
    }

    /// Gives the guests what connections leave for them, for ever. To be a task of its own.
    pub(crate) async fn call_batches(&self, clock: impl Fn() -> Instant) {
        loop {
            let due = poll_fn(|context| self.shared.batches.poll_due(context)).await;
            for instance in due {
                instance.call_batch(clock());
            }
        }
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    fn has_room(&self, instance: &Instance) -> bool {
        instance.places.get() < self.connections_per_instance
    }

    /// Forgets the dead, and the idle but for one: the memory of a rush is given back after it.
    fn forget_unneeded(&self, instances: &mut Vec<Rc<Instance>>) {
        let mut idle = 0;
        instances.retain(|instance| {
            let is_idle = instance.places.get() == 0;
            idle += usize::from(is_idle);
            instance.is_alive() && (!is_idle || idle == 1)
        });
    }
}

/// Starts an instance: on this thread, unless it takes long. `starting` is held until then, even if nobody waits
/// any more.
async fn start(
    component: Component,
    limits: Limits,
    starting: OwnedMutexGuard<()>,
) -> Result<Guest, GuestFault> {
    let file_wait = FileWait::with(&component.grants, limits);
    let mut start = Box::pin(async move { Guest::new(&component, limits).await });
    match advance(start.as_mut(), Waker::noop()) {
        Advance::Done(started) => return started,
        Advance::Blocked if file_wait.is_none() => return Err(file_wait.fault()),
        Advance::Blocked | Advance::GaveWay => {}
    }
    let rest = spawn_blocking(move || {
        let started = finish_with(start.as_mut(), Waker::noop(), file_wait);
        drop(starting);
        started.flatten()
    });
    rest.await
        .unwrap_or_else(|bug| Err(GuestFault::of_runner(bug)))
}

/// Why there is no place for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unplaced {
    /// A new instance is needed, and its start has failed.
    Dead,
    /// A new instance is needed, and those before have failed so fast that none is made for this time.
    BackingOff(Duration),
}

impl From<Dead> for Unplaced {
    fn from(_: Dead) -> Self {
        Self::Dead
    }
}
