//! The instances of a worker and the connections on them.
//!
//! Everything stays on one thread, except that a call that takes long or waits finishes on a thread of its own. Other
//! calls into the same instance wait for it, as the contract forbids entering an instance during a call. All other
//! instances continue.

mod backoff;
pub(crate) mod batch;
mod call;
mod delivery;
mod instance;
mod member;
mod owner;
mod place;
pub mod wakeups;

pub use call::Call;
pub(crate) use delivery::Delivered;
pub(crate) use instance::Instance;
pub use member::Connection;
pub(crate) use member::PendingRequest;
pub(crate) use owner::Key;
pub(crate) use place::{Answer, Decision, Place, Takeover};

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::time::{self, Duration};

use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};
use tokio::task::spawn_blocking;

use self::backoff::Cause;
use self::instance::{Shared, back_off, log};
use self::owner::Owners;
use crate::contract::bindings::{Instant, ShutdownReason};
use crate::guest::fault::{Dead, FaultReason, GuestFault};
use crate::guest::file_wait::FileWait;
use crate::guest::handler::Guest;
use crate::guest::instance::{Advance, advance, finish_with};
use crate::guest::limits::Limits;
use crate::guest::load::component::Component;
use crate::limits::instances::InstanceLimit;
use crate::limits::per_address::network;
use crate::net::peer::Peer;
use crate::observe::metrics::Metrics;
use crate::pool::wakeups::Signal;
use crate::topics::Topics;

/// The most calls of a worker that finish on threads of their own at once. Fewer than tokio's blocking threads (512), so
/// that some are left for the files that calls wait for.
const THREADS: usize = 128;

/// The instances of a component, each serving a limited number of connections.
#[derive(Debug)]
pub struct Pool {
    component: RefCell<Component>,
    /// How often the component has been replaced.
    replaced: Cell<u64>,
    /// Held while an instance starts.
    starting: Arc<Mutex<()>>,
    limits: Limits,
    connections_per_instance: usize,
    instances: RefCell<Vec<Rc<Instance>>>,
    /// Instances of earlier components, which live as long as their connections.
    retired: RefCell<Vec<Weak<Instance>>>,
    owners: Rc<Owners>,
    shared: Shared,
    stopping: Cell<Option<ShutdownReason>>,
    instance_limit: Arc<InstanceLimit>,
}

impl Pool {
    /// A pool without instances: they are started on demand.
    pub(crate) fn new(
        component: Component,
        limits: Limits,
        connections_per_instance: usize,
        metrics: Arc<Metrics>,
        topics: Topics<Instance>,
        instance_limit: &Arc<InstanceLimit>,
    ) -> Self {
        Self {
            component: RefCell::new(component),
            replaced: Cell::new(0),
            starting: Arc::default(),
            limits,
            connections_per_instance,
            instances: RefCell::default(),
            retired: RefCell::default(),
            owners: Rc::default(),
            shared: Shared {
                threads: Rc::new(Semaphore::new(THREADS)),
                batches: Rc::default(),
                topics: Rc::new(topics),
                batch_policy: Rc::default(),
                backoff: Rc::default(),
                metrics,
            },
            stopping: Cell::new(None),
            instance_limit: Arc::clone(instance_limit),
        }
    }

    /// Reserves a place for a client on a live instance that has room, or else on a new one. All places of one key are on
    /// one instance, for as long as there are any. Only one instance starts at a time; others that need one wait for it.
    ///
    /// # Errors
    ///
    /// See [`Unplaced`].
    pub(crate) async fn place(&self, client: Peer, key: Option<&Key>) -> Result<Place, Unplaced> {
        let client = client.limited_ip().map(network);
        let backoff = &self.shared.backoff;
        if let Some(left) = backoff.remaining_of(client, time::Instant::now) {
            return Err(Unplaced::BackingOff(left));
        }
        loop {
            if let Some(place) = self.vacancy(client, key)? {
                return Ok(place);
            }
            let starting = Arc::clone(&self.starting).lock_owned().await;
            if let Some(place) = self.vacancy(client, key)? {
                return Ok(place);
            }
            if let Some(left) = self.backoff_remaining() {
                return Err(Unplaced::BackingOff(left));
            }
            let Some(instance) = self.start(starting).await? else {
                continue;
            };
            // Meanwhile, another request may have given the key an owner.
            if key.is_none_or(|key| self.owners.of(key).is_none()) {
                return Ok(self.place_on(&instance, client, key));
            }
        }
    }

    /// A place on an instance that runs.
    fn vacancy(
        &self,
        client: Option<IpAddr>,
        key: Option<&Key>,
    ) -> Result<Option<Place>, Unplaced> {
        let mut instances = self.instances.borrow_mut();
        self.remove_unneeded(&mut instances);
        self.shared.metrics.instances_now.set(instances.len());
        let most = self.connections_per_instance;
        if let Some(owner) = key.and_then(|key| self.owners.of(key)) {
            let instance = Rc::clone(&owner.instance);
            return if instance.places.get() < most {
                Ok(Some(Place::on(&instance, client, Some(owner))))
            } else {
                Err(Unplaced::OwnerFull(most))
            };
        }
        // A key that is new gets an instance with room for more of its connections, if the system has room for one.
        let most = if key.is_some() && !self.instance_limit.is_reached() {
            most.div_ceil(2)
        } else {
            most
        };
        let instance = instances
            .iter()
            .find(|instance| instance.places.get() < most);
        Ok(instance.map(|instance| self.place_on(instance, client, key)))
    }

    /// A place on this instance, which becomes the owner of the key.
    fn place_on(
        &self,
        instance: &Rc<Instance>,
        client: Option<IpAddr>,
        key: Option<&Key>,
    ) -> Place {
        let owner = key.map(|key| self.owners.set(key, instance));
        Place::on(instance, client, owner)
    }

    /// The time left until an instance may be started.
    fn backoff_remaining(&self) -> Option<Duration> {
        let instances = self.instances.borrow();
        let started = instances.iter().map(|instance| instance.started);
        let left = self.shared.backoff.remaining(started, time::Instant::now);
        if left.is_none() {
            self.shared.metrics.pause(None);
        }
        left
    }

    /// Starts an instance. Returns `None` if the component was replaced meanwhile.
    async fn start(&self, starting: OwnedMutexGuard<()>) -> Result<Option<Rc<Instance>>, Unplaced> {
        let permit = self.instance_limit.take().ok_or(Unplaced::Full)?;
        let (started, component) = (time::Instant::now(), self.component.borrow().clone());
        let replaced = self.replaced.get();
        let file_wait = FileWait::with(&component.grants, self.limits);
        let guest = start(component, self.limits, starting).await;
        let guest = guest.map_err(|fault| {
            if let FaultReason::System(cause) = &fault.reason {
                self.shared.metrics.faulted(&fault.reason);
                self.instance_limit.warn(cause);
                return Unplaced::Full;
            }
            back_off(&self.shared, Cause::Start, started);
            log(&fault, 0, &self.shared.metrics).into()
        })?;
        tracing::debug!("instance started in {:.1?}", started.elapsed());
        self.shared.metrics.instances.count();
        if self.replaced.get() != replaced {
            return Ok(None);
        }
        let instance = Rc::new(Instance::new(
            guest,
            replaced,
            file_wait,
            started,
            self.limits.message_limits,
            &self.shared,
            permit,
        ));
        if let Some(reason) = self.stopping.get() {
            instance.stop(reason);
        }
        let mut instances = self.instances.borrow_mut();
        instances.push(Rc::clone(&instance));
        self.shared.metrics.instances_now.set(instances.len());
        Ok(Some(instance))
    }

    /// Replaces the component for new instances, and retires the existing ones. Returns the number of connections and
    /// requests on those.
    pub fn replace(&self, component: Component) -> usize {
        self.component.replace(component);
        self.replaced.set(self.replaced.get().wrapping_add(1));
        self.shared.backoff.reset();
        self.shared.metrics.pause(None);
        self.owners.clear();
        let retired = self.instances.take();
        self.shared.metrics.instances_now.set(0);
        for instance in &retired {
            instance.stop(ShutdownReason::ServiceRestart);
        }
        let mut all = self.retired.borrow_mut();
        all.retain(|instance| instance.strong_count() > 0);
        all.extend(retired.iter().map(Rc::downgrade));
        retired.iter().map(|instance| instance.places.get()).sum()
    }

    /// Asks all connections to end, including those that come later.
    pub fn stop(&self, reason: ShutdownReason) {
        self.stopping.set(Some(reason));
        for instance in self.instances.borrow().iter() {
            instance.stop(reason);
        }
    }

    /// Cuts off all connections: those that were asked to end and have not.
    pub fn cut(&self) {
        let retired = self.retired.borrow();
        let retired = retired.iter().filter_map(Weak::upgrade);
        let instances = self.instances.borrow().clone();
        for instance in instances.into_iter().chain(retired) {
            instance.raise(Signal::Cut);
        }
    }

    /// Calls the batches as they are filled; never returns. Run this in a task of its own.
    pub(crate) async fn call_batches(&self, clock: impl Fn() -> Instant) {
        loop {
            let due = poll_fn(|context| self.shared.batches.poll_due(context)).await;
            for instance in due {
                instance.call_batch(clock());
            }
        }
    }

    /// The worker's metrics.
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// Removes dead instances, and all idle ones except one, so that the memory of a peak is freed after it.
    fn remove_unneeded(&self, instances: &mut Vec<Rc<Instance>>) {
        let mut idle = 0;
        instances.retain(|instance| {
            let is_idle = instance.places.get() == 0;
            idle += usize::from(is_idle);
            instance.is_alive() && (!is_idle || idle == 1)
        });
    }
}

/// Starts an instance, on this thread unless it takes long. `starting` is held until it is done, even if this future is
/// dropped.
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
        Advance::Blocked | Advance::Yielded => {}
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
    /// A new instance was needed, and failed to start.
    Dead,
    /// For this time no instance is started, or none used for this client, since the previous ones have failed.
    BackingOff(Duration),
    /// A new instance is needed, and the system has no room for it.
    Full,
    /// The key's instance has this number of connections, which is the most.
    OwnerFull(usize),
}

impl From<Dead> for Unplaced {
    fn from(_: Dead) -> Self {
        Self::Dead
    }
}
