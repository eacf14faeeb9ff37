//! The instances of a worker and the connections on them.
//!
//! All of it stays on one thread, and no call into a guest waits: so an instance is never entered
//! while a call into it is under way, as the contract asks.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Wake, Waker};

use tokio::sync::Notify;
use wasmtime::component::ResourceAny;

use crate::bell::Bell;
use crate::bindings::{
    ConnectionId, Deliberation, Effects, Instant, Report, Request, ShutdownReason, Verdict,
};
use crate::component::Component;
use crate::guest::{Guest, GuestFault, Limits};

/// The instances of a component, each serving up to so many connections.
#[derive(Debug)]
pub struct Pool {
    component: RefCell<Component>,
    limits: Limits,
    connections_per_instance: usize,
    instances: RefCell<Vec<Rc<Instance>>>,
}

impl Pool {
    /// A pool without instances: they are made when they are needed.
    pub fn new(component: Component, limits: Limits, connections_per_instance: usize) -> Self {
        Self {
            component: RefCell::new(component),
            limits,
            connections_per_instance,
            instances: RefCell::default(),
        }
    }

    /// A place on an instance: one that lives and has room, else a new one.
    ///
    /// # Errors
    ///
    /// [`Dead`] when a new instance is needed and its start fails.
    pub fn place(&self) -> Result<Place, Dead> {
        let mut instances = self.instances.borrow_mut();
        self.forget_unneeded(&mut instances);
        if let Some(instance) = instances.iter().find(|instance| self.has_room(instance)) {
            return Ok(Place::on(instance));
        }
        let guest =
            Guest::new(&self.component.borrow(), self.limits).map_err(|fault| log(&fault, 0))?;
        let instance = Rc::new(Instance::new(guest));
        instances.push(Rc::clone(&instance));
        tracing::debug!(instances = instances.len(), "new instance");
        Ok(Place::on(&instance))
    }

    /// From now on, instances are made of this component; those that are there retire. Returns how many
    /// connections and requests are on those.
    pub fn replace(&self, component: Component) -> usize {
        self.component.replace(component);
        let retired = self.instances.take();
        retired.iter().for_each(|instance| instance.retired.ring());
        retired.iter().map(|instance| instance.places.get()).sum()
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
            !instance.died.has_rung() && (!is_idle || idle == 1)
        });
    }
}

/// One instance, with the count of those who use it.
#[derive(Debug)]
struct Instance {
    /// Gone after a fault.
    guest: RefCell<Option<Guest>>,
    places: Cell<usize>,
    /// Who can be woken by others.
    members: RefCell<HashMap<ConnectionId, Arc<Woken>>>,
    last_id: Cell<ConnectionId>,
    died: Bell,
    /// Rings when its connections are to end, since there is a new component.
    retired: Bell,
}

impl Instance {
    fn new(guest: Guest) -> Self {
        Self {
            guest: RefCell::new(Some(guest)),
            places: Cell::new(0),
            members: RefCell::default(),
            last_id: Cell::new(0),
            died: Bell::new(),
            retired: Bell::new(),
        }
    }

    /// Calls the guest. A fault ends the instance, and everybody on it learns of it.
    fn call<R>(&self, call: impl FnOnce(&mut Guest) -> Result<R, GuestFault>) -> Result<R, Dead> {
        let mut guest = self.guest.borrow_mut();
        let outcome = call(guest.as_mut().ok_or(Dead)?);
        outcome.map_err(|fault| {
            *guest = None;
            self.died.ring();
            log(&fault, self.places.get())
        })
    }
}

impl Instance {
    /// A number for a member, and what tells it that it has been woken.
    fn admit(&self) -> (ConnectionId, Arc<Woken>) {
        let id = self.last_id.get().wrapping_add(1);
        self.last_id.set(id);
        let woken = Arc::new(Woken::default());
        self.members.borrow_mut().insert(id, Arc::clone(&woken));
        (id, woken)
    }

    fn wake(&self, ids: &[ConnectionId]) {
        if ids.is_empty() {
            return;
        }
        let members = self.members.borrow();
        ids.iter()
            .filter_map(|id| members.get(id))
            .for_each(|woken| woken.0.notify_one());
    }
}

/// Says that a member is to be called: another one wants it, or something outside is ready.
#[derive(Debug, Default)]
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// The one place where a guest's fault is logged.
fn log(fault: &GuestFault, connections: usize) -> Dead {
    tracing::error!("an instance ends, and with it {connections} connections: {fault}");
    Dead
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

    /// Asks the guest about a request.
    ///
    /// # Errors
    ///
    /// [`Dead`] when the instance has ended, by this call or before.
    pub fn handle(&self, request: &Request) -> Result<Verdict, Dead> {
        let decision = self.0.call(|guest| guest.handle(request))?;
        self.0.wake(&decision.wake_others);
        Ok(decision.verdict)
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
    woken: Arc<Woken>,
    waker: Waker,
}

impl Member {
    fn new(place: Place, handle: ResourceAny) -> Self {
        let (id, woken) = place.0.admit();
        Self {
            place,
            handle,
            id,
            waker: Waker::from(Arc::clone(&woken)),
            woken,
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

    fn died(&self) -> impl Future<Output = ()> + use<> {
        self.place.0.died.rung()
    }

    fn woken(&self) -> impl Future<Output = ()> + use<> {
        let woken = Arc::clone(&self.woken);
        async move { woken.0.notified().await }
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

    /// Resolves when the instance ends.
    pub fn died(&self) -> impl Future<Output = ()> + use<> {
        self.0.died()
    }

    /// Resolves when there is a reason to ask again.
    pub fn woken(&self) -> impl Future<Output = ()> + use<> {
        self.0.woken()
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
    /// Resolves when another component takes the place of this one.
    pub fn retired(&self) -> impl Future<Output = ()> + use<> {
        self.0.place.0.retired.rung()
    }

    /// Resolves when the instance ends, whichever connection's fault it is.
    pub fn died(&self) -> impl Future<Output = ()> + use<> {
        self.0.died()
    }

    /// Resolves when another connection of the instance wants this one to be woken, or when something
    /// outside is ready that it has asked about.
    pub fn woken(&self) -> impl Future<Output = ()> + use<> {
        self.0.woken()
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
