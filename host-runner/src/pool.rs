//! The instances of a worker and the connections on them.
//!
//! All of it stays on one thread, and no call into a guest waits: so an instance is never entered
//! while a call into it is under way, as the contract asks.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{self, Duration};

use wasmtime::component::ResourceAny;

use crate::backoff::Backoff;
use crate::bindings::{
    ConnectionId, Deliberation, Effects, Instant, Report, Request, ShutdownReason, Verdict,
};
use crate::component::Component;
use crate::guest::{Guest, GuestFault, Limits};
use crate::metrics::Metrics;
use crate::signals::{Signal, Signals};

/// The instances of a component, each serving up to so many connections.
#[derive(Debug)]
pub struct Pool {
    component: RefCell<Component>,
    limits: Limits,
    connections_per_instance: usize,
    instances: RefCell<Vec<Rc<Instance>>>,
    backoff: Rc<Backoff>,
    metrics: Arc<Metrics>,
    stopping: Cell<bool>,
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
            limits,
            connections_per_instance,
            instances: RefCell::default(),
            backoff: Rc::default(),
            metrics,
            stopping: Cell::new(false),
        }
    }

    /// A place on an instance: one that lives and has room, else a new one.
    ///
    /// # Errors
    ///
    /// See [`Unplaced`].
    pub(crate) fn place(&self) -> Result<Place, Unplaced> {
        let mut instances = self.instances.borrow_mut();
        self.forget_unneeded(&mut instances);
        self.metrics.instances_now.set(instances.len());
        if let Some(instance) = instances.iter().find(|instance| self.has_room(instance)) {
            return Ok(Place::on(instance));
        }
        let born = instances.iter().map(|instance| instance.born);
        if let Some(left) = self.backoff.pause(born, time::Instant::now) {
            return Err(Unplaced::BackingOff(left));
        }
        self.metrics.pause(None);
        let instance = Rc::new(self.start()?);
        if self.stopping.get() {
            instance.stop(ShutdownReason::GoingAway);
        }
        instances.push(Rc::clone(&instance));
        self.metrics.instances_now.set(instances.len());
        Ok(Place::on(&instance))
    }

    fn start(&self) -> Result<Instance, Dead> {
        let born = time::Instant::now();
        let guest = Guest::new(&self.component.borrow(), self.limits).map_err(|fault| {
            back_off(&self.backoff, born, &self.metrics);
            log(&fault, 0, &self.metrics)
        })?;
        tracing::debug!("new instance, in {:.1?}", born.elapsed());
        self.metrics.instances.count();
        Ok(Instance::new(guest, born, &self.backoff, &self.metrics))
    }

    /// From now on, instances are made of this component; those that are there retire. Returns how many
    /// connections and requests are on those.
    pub fn replace(&self, component: Component) -> usize {
        self.component.replace(component);
        self.backoff.forget();
        self.metrics.pause(None);
        let retired = self.instances.take();
        self.metrics.instances_now.set(0);
        for instance in &retired {
            instance.stop(ShutdownReason::ServiceRestart);
        }
        retired.iter().map(|instance| instance.places.get()).sum()
    }

    /// Asks all connections to end, those that come later too.
    pub fn stop(&self) {
        self.stopping.set(true);
        for instance in self.instances.borrow().iter() {
            instance.stop(ShutdownReason::GoingAway);
        }
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
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

/// One instance, with the count of those who use it.
#[derive(Debug)]
struct Instance {
    /// Gone after a fault.
    guest: RefCell<Option<Guest>>,
    places: Cell<usize>,
    /// Who is told what happens to others, and to the instance.
    members: RefCell<HashMap<ConnectionId, Arc<Signals>>>,
    last_id: Cell<ConnectionId>,
    /// Why its connections are to end, if they are.
    stopped: Cell<Option<ShutdownReason>>,
    born: time::Instant,
    backoff: Rc<Backoff>,
    metrics: Arc<Metrics>,
}

impl Instance {
    fn new(
        guest: Guest,
        born: time::Instant,
        backoff: &Rc<Backoff>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        Self {
            guest: RefCell::new(Some(guest)),
            places: Cell::new(0),
            members: RefCell::default(),
            last_id: Cell::new(0),
            stopped: Cell::new(None),
            born,
            backoff: Rc::clone(backoff),
            metrics: Arc::clone(metrics),
        }
    }

    fn is_alive(&self) -> bool {
        self.guest.borrow().is_some()
    }

    /// Calls the guest. A fault ends the instance, and everybody on it learns of it.
    fn call<R>(&self, call: impl FnOnce(&mut Guest) -> Result<R, GuestFault>) -> Result<R, Dead> {
        let mut guest = self.guest.borrow_mut();
        let outcome = call(guest.as_mut().ok_or(Dead)?);
        outcome.map_err(|fault| {
            *guest = None;
            self.raise(Signal::Died);
            back_off(&self.backoff, self.born, &self.metrics);
            log(&fault, self.places.get(), &self.metrics)
        })
    }
}

impl Instance {
    /// A number for a member, and its signals.
    fn admit(&self) -> (ConnectionId, Arc<Signals>) {
        let id = self.last_id.get().wrapping_add(1);
        self.last_id.set(id);
        let signals = Arc::new(Signals::default());
        if let Some(reason) = self.stopped.get() {
            signals.raise(Signal::Stop(reason));
        }
        self.members.borrow_mut().insert(id, Arc::clone(&signals));
        (id, signals)
    }

    fn wake(&self, ids: &[ConnectionId]) {
        if ids.is_empty() {
            return;
        }
        let members = self.members.borrow();
        ids.iter()
            .filter_map(|id| members.get(id))
            .for_each(|signals| signals.raise(Signal::Woken));
    }

    /// Asks all members to end, those that come later too. The first reason counts.
    fn stop(&self, reason: ShutdownReason) {
        if self.stopped.get().is_none() {
            self.stopped.set(Some(reason));
            self.raise(Signal::Stop(reason));
        }
    }

    fn raise(&self, signal: Signal) {
        for signals in self.members.borrow().values() {
            signals.raise(signal);
        }
    }
}

/// An instance has failed that was born then.
fn back_off(backoff: &Backoff, born: time::Instant, metrics: &Metrics) {
    metrics.pause(backoff.failed(born, time::Instant::now()));
}

/// The one place where a guest's fault is logged, and counted.
fn log(fault: &GuestFault, connections: usize, metrics: &Metrics) -> Dead {
    metrics.faulted(&fault.reason);
    tracing::error!("an instance ends, and with it {connections} connections: {fault}");
    Dead
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

/// The instance has ended; why is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dead;

impl fmt::Display for Dead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the instance has ended")
    }
}

impl std::error::Error for Dead {}

/// A reserved place on an instance, given back when dropped.
#[derive(Debug)]
pub struct Place(Rc<Instance>);

impl Place {
    fn on(instance: &Rc<Instance>) -> Self {
        instance.places.set(instance.places.get() + 1);
        Self(Rc::clone(instance))
    }

    /// Asks the guest about a request: its verdict, and what its app has done wrong.
    ///
    /// # Errors
    ///
    /// [`Dead`] when the instance has ended, by this call or before.
    pub fn handle(&self, request: &Request) -> Result<(Verdict, Option<String>), Dead> {
        let decision = self.0.call(|guest| guest.handle(request))?;
        self.0.wake(&decision.wake_others);
        Ok((decision.verdict, decision.fault))
    }

    /// Keeps the place for a request that waits for its answer.
    pub fn keep_for_undecided(self, handle: ResourceAny) -> Undecided {
        Undecided(Member::new(self, handle))
    }

    /// Keeps the place for a connection of the same instance.
    pub fn keep_for(self, handle: ResourceAny) -> Connection {
        Connection(Member::new(self, handle))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.places.set(self.0.places.get().saturating_sub(1));
    }
}

/// What a host holds of a guest's, and others of the instance can wake. Dropped, it is dropped in the
/// guest too: exactly once.
#[derive(Debug)]
struct Member {
    place: Place,
    handle: ResourceAny,
    id: ConnectionId,
    signals: Arc<Signals>,
    waker: Waker,
}

impl Member {
    fn new(place: Place, handle: ResourceAny) -> Self {
        let (id, signals) = place.0.admit();
        Self {
            place,
            handle,
            id,
            waker: Waker::from(Arc::clone(&signals)),
            signals,
        }
    }

    fn call<R>(
        &self,
        call: impl FnOnce(&mut Guest, ResourceAny) -> Result<R, GuestFault>,
    ) -> Result<R, Dead> {
        self.place.0.call(|guest| {
            guest.call_with(&self.waker);
            call(guest, self.handle)
        })
    }

    fn wake(&self, ids: &[ConnectionId]) {
        self.place.0.wake(ids);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let instance = &self.place.0;
        instance.members.borrow_mut().remove(&self.id);
        // With the instance, what it holds is gone already.
        let _ = instance.call(|guest| guest.drop_resource(self.handle));
    }
}

/// A request that waits for its answer.
#[derive(Debug)]
pub struct Undecided(Member);

impl Undecided {
    /// See [`Guest::decide`].
    ///
    /// # Errors
    ///
    /// [`Dead`] when the instance has ended, by this call or before.
    pub fn decide(&self, now: Instant) -> Result<Deliberation, Dead> {
        let member = &self.0;
        let progress = member.call(|guest, handle| guest.decide(handle, now, member.id))?;
        member.wake(&progress.wake_others);
        Ok(progress)
    }

    /// Waits for a reason to ask again.
    ///
    /// # Errors
    ///
    /// [`Dead`] when the instance has ended.
    pub async fn woken(&self) -> Result<(), Dead> {
        loop {
            match poll_fn(|context| self.0.signals.poll(context)).await {
                Signal::Died => return Err(Dead),
                Signal::Woken => return Ok(()),
                // The runner answers what it has begun to.
                Signal::Stop(_) => {}
            }
        }
    }

    /// It is decided: its place is free for what has come of it.
    pub fn into_place(self) -> Place {
        Place::on(&self.0.place.0)
    }
}

/// A connection of a guest.
#[derive(Debug)]
pub struct Connection(Member);

impl Connection {
    /// What has happened elsewhere, each once.
    pub fn poll_signal(&self, context: &mut Context<'_>) -> Poll<Signal> {
        self.0.signals.poll(context)
    }

    /// See [`Guest::open`].
    ///
    /// # Errors
    ///
    /// [`Dead`] when the instance has ended, by this call or before.
    pub fn open(&self, now: Instant, residual: &[u8]) -> Result<Effects, Dead> {
        self.call(|guest, handle| guest.open(handle, now, self.0.id, residual))
    }

    /// See [`Guest::receive`].
    ///
    /// # Errors
    ///
    /// [`Dead`] when the instance has ended, by this call or before.
    pub fn receive(&self, now: Instant, bytes: &[u8]) -> Result<Effects, Dead> {
        self.call(|guest, handle| guest.receive(handle, now, bytes))
    }

    /// See [`Guest::receive_eof`].
    ///
    /// # Errors
    ///
    /// [`Dead`] when the instance has ended, by this call or before.
    pub fn receive_eof(&self, now: Instant) -> Result<Effects, Dead> {
        self.call(|guest, handle| guest.receive_eof(handle, now))
    }

    /// See [`Guest::wake`].
    ///
    /// # Errors
    ///
    /// [`Dead`] when the instance has ended, by this call or before.
    pub fn wake(&self, now: Instant, unsent: usize) -> Result<Effects, Dead> {
        self.call(|guest, handle| guest.wake(handle, now, unsent))
    }

    /// See [`Guest::shutdown`].
    ///
    /// # Errors
    ///
    /// [`Dead`] when the instance has ended, by this call or before.
    pub fn shutdown(&self, now: Instant, reason: ShutdownReason) -> Result<Effects, Dead> {
        self.call(|guest, handle| guest.shutdown(handle, now, reason))
    }

    /// See [`Guest::lost`]. An instance that has ended need not be told.
    pub fn lost(&self, now: Instant) {
        if let Ok(others) = self.0.call(|guest, handle| guest.lost(handle, now)) {
            self.0.wake(&others);
        }
    }

    /// See [`Guest::report`].
    ///
    /// # Errors
    ///
    /// [`Dead`] when the instance has ended, by this call or before.
    pub fn report(&self) -> Result<Report, Dead> {
        self.0.call(|guest, handle| guest.report(handle))
    }

    fn call(
        &self,
        call: impl FnOnce(&mut Guest, ResourceAny) -> Result<Effects, GuestFault>,
    ) -> Result<Effects, Dead> {
        let effects = self.0.call(call)?;
        self.0.wake(&effects.wake_others);
        Ok(effects)
    }
}
