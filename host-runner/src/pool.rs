//! The instances of a worker and the connections on them.
//!
//! All of it stays on one thread, but for a call that takes long: that is finished elsewhere, and whoever
//! wants the same instance waits for it, so that no instance is entered while a call into it is under way, as the
//! contract asks. Everybody else goes on.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{self, Duration};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify, OwnedMutexGuard, oneshot};
use tokio::task::{spawn_blocking, spawn_local};
use wasmtime::component::ResourceAny;

use crate::backoff::Backoff;
use crate::batch::{Bargain, Batch, Batches, Receiver};
use crate::bindings::{
    Answer, ConnectionId, Effects, Instant, Outcomes, Report, Request, Response, ResponseHead,
    ShutdownReason, Verdict,
};
use crate::call::Call;
use crate::component::Component;
use crate::guest::{Guest, GuestFault, Limits};
use crate::instance::{Advance, advance, finish_with};
use crate::metrics::Metrics;
use crate::signals::{Signal, Signals};

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
    batches: Rc<Batches<Instance>>,
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
            replaced: Cell::new(0),
            starting: Arc::default(),
            limits,
            connections_per_instance,
            instances: RefCell::default(),
            batches: Rc::default(),
            backoff: Rc::default(),
            metrics,
            stopping: Cell::new(false),
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
        self.metrics.instances_now.set(instances.len());
        let instance = instances.iter().find(|instance| self.has_room(instance));
        instance.map(Place::on)
    }

    /// How long no instance is to be made.
    fn pause(&self) -> Option<Duration> {
        let instances = self.instances.borrow();
        let born = instances.iter().map(|instance| instance.born);
        let left = self.backoff.pause(born, time::Instant::now);
        if left.is_none() {
            self.metrics.pause(None);
        }
        left
    }

    /// Makes an instance; none if the component is another by the time that it has started.
    async fn start(&self, starting: OwnedMutexGuard<()>) -> Result<Option<Rc<Instance>>, Dead> {
        let (born, component) = (time::Instant::now(), self.component.borrow().clone());
        let replaced = self.replaced.get();
        let guest = start(component, self.limits, starting).await;
        let guest = guest.map_err(|fault| {
            back_off(&self.backoff, born, &self.metrics);
            log(&fault, 0, &self.metrics)
        })?;
        tracing::debug!("new instance, in {:.1?}", born.elapsed());
        self.metrics.instances.count();
        if self.replaced.get() != replaced {
            return Ok(None);
        }
        let instance = Rc::new(Instance::new(guest, born, self));
        if self.stopping.get() {
            instance.stop(ShutdownReason::GoingAway);
        }
        let mut instances = self.instances.borrow_mut();
        instances.push(Rc::clone(&instance));
        self.metrics.instances_now.set(instances.len());
        Ok(Some(instance))
    }

    /// From now on, instances are made of this component; those that are there retire. Returns how many
    /// connections and requests are on those.
    pub fn replace(&self, component: Component) -> usize {
        self.component.replace(component);
        self.replaced.set(self.replaced.get().wrapping_add(1));
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

    /// Gives the guests what connections leave for them, for ever. To be a task of its own.
    pub(crate) async fn call_batches(&self, clock: impl Fn() -> Instant) {
        loop {
            let due = poll_fn(|context| self.batches.poll_due(context)).await;
            for instance in due {
                instance.call_batch(clock());
            }
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

/// Starts an instance: on this thread, unless it takes long. `starting` is held until then, even if nobody waits
/// any more.
async fn start(
    component: Component,
    limits: Limits,
    starting: OwnedMutexGuard<()>,
) -> Result<Guest, GuestFault> {
    let mut start = Box::pin(async move { Guest::new(&component, limits).await });
    let started = match advance(start.as_mut(), Waker::noop()) {
        Advance::Done(started) => Some(started),
        Advance::GaveWay => {
            let rest = spawn_blocking(move || {
                let started = finish_with(start.as_mut(), Waker::noop());
                drop(starting);
                started
            });
            rest.await.unwrap_or_default()
        }
        Advance::Blocked => None,
    };
    started.unwrap_or_else(|| Err(GuestFault::blocked()))
}

/// One instance, with the count of those who use it.
#[derive(Debug)]
struct Instance {
    /// Away while a call is under way, and after a fault for ever.
    guest: RefCell<Option<Box<Guest>>>,
    /// Notified when it may be back.
    back: Notify,
    is_dead: Cell<bool>,
    /// What was given up while the guest was away.
    orphans: RefCell<Vec<ResourceAny>>,
    /// What its connections have received, and it has not.
    batch: RefCell<Batch>,
    batches: Rc<Batches<Instance>>,
    bargain: Bargain,
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

/// What a call gives back: the guest, to be called again if there was no fault.
type Returned<R> = (Box<Guest>, Result<R, GuestFault>);

/// Makes a call of a function of [`Guest`]'s: `call!(guest => guest.wake(handle, now, 0))`.
macro_rules! call {
    ($guest:ident => $call:expr) => {
        move |mut $guest: Box<Guest>| async move {
            let outcome = $call.await;
            ($guest, outcome)
        }
    };
}

impl Instance {
    fn new(guest: Guest, born: time::Instant, pool: &Pool) -> Self {
        Self {
            guest: RefCell::new(Some(Box::new(guest))),
            back: Notify::new(),
            is_dead: Cell::new(false),
            orphans: RefCell::default(),
            batch: RefCell::default(),
            batches: Rc::clone(&pool.batches),
            bargain: Bargain::default(),
            places: Cell::new(0),
            members: RefCell::default(),
            last_id: Cell::new(0),
            stopped: Cell::new(None),
            born,
            backoff: Rc::clone(&pool.backoff),
            metrics: Arc::clone(&pool.metrics),
        }
    }

    fn is_alive(&self) -> bool {
        !self.is_dead.get()
    }

    /// Calls the guest, and then, on this thread, does with the result what is to be done whether or not somebody
    /// waits for it. A fault ends the instance, and everybody on it learns of it.
    fn call<R, T, F>(
        self: &Rc<Self>,
        waker: &Waker,
        call: impl FnOnce(Box<Guest>) -> F + 'static,
        then: impl FnOnce(R) -> T + 'static,
    ) -> Call<T>
    where
        F: Future<Output = Returned<R>> + Send + 'static,
        R: Send + 'static,
        T: Unpin + 'static,
    {
        match self.guest.take() {
            Some(guest) => self.begin(waker, call(guest), then),
            None if self.is_dead.get() => Call::done(Err(Dead)),
            None => {
                let (this, waker) = (Rc::clone(self), waker.clone());
                Call::later(async move {
                    let guest = this.awaited().await?;
                    this.begin(&waker, call(guest), then).await
                })
            }
        }
    }

    /// The guest, when the call is done that is under way.
    async fn awaited(&self) -> Result<Box<Guest>, Dead> {
        loop {
            let back = self.back.notified();
            match self.guest.take() {
                Some(guest) => return Ok(guest),
                None if self.is_dead.get() => return Err(Dead),
                None => back.await,
            }
        }
    }

    fn begin<R, T, F>(
        self: &Rc<Self>,
        waker: &Waker,
        call: F,
        then: impl FnOnce(R) -> T + 'static,
    ) -> Call<T>
    where
        F: Future<Output = Returned<R>> + Send + 'static,
        R: Send + 'static,
        T: 'static,
    {
        let mut call = Box::pin(call);
        let returned = match advance(call.as_mut(), waker) {
            Advance::Done(returned) => Some(returned),
            Advance::GaveWay if Handle::try_current().is_ok() => {
                return self.finish_elsewhere(waker.clone(), call, then);
            }
            // Nobody is there who could be let go on.
            Advance::GaveWay => finish_with(call.as_mut(), waker),
            Advance::Blocked => None,
        };
        Call::done(self.settle(returned).map(then))
    }

    /// Has a thread of its own finish a call that takes long.
    fn finish_elsewhere<R, T, F>(
        self: &Rc<Self>,
        waker: Waker,
        mut call: Pin<Box<F>>,
        then: impl FnOnce(R) -> T + 'static,
    ) -> Call<T>
    where
        F: Future<Output = Returned<R>> + Send + 'static,
        R: Send + 'static,
        T: 'static,
    {
        self.metrics.long_calls.count();
        let returned = spawn_blocking(move || finish_with(call.as_mut(), &waker));
        let (tell, told) = oneshot::channel();
        let this = Rc::clone(self);
        spawn_local(async move {
            // A panic in there is as bad as a trap, and the guest is gone with it.
            let returned = returned.await.unwrap_or_default();
            // Who has asked may be gone; what is to be done with the result is done by `then`.
            let _ = tell.send(this.settle(returned).map(then));
        });
        Call::later(async move { told.await.unwrap_or(Err(Dead)) })
    }

    /// What has come of a call: none if the guest waits, which it must not.
    fn settle<R>(self: &Rc<Self>, returned: Option<Returned<R>>) -> Result<R, Dead> {
        let fault = match returned {
            Some((guest, Ok(result))) => {
                self.put_back(guest);
                return Ok(result);
            }
            Some((_, Err(fault))) => fault,
            None => GuestFault::blocked(),
        };
        self.is_dead.set(true);
        self.back.notify_waiters();
        self.raise(Signal::Died);
        back_off(&self.backoff, self.born, &self.metrics);
        Err(log(&fault, self.places.get(), &self.metrics))
    }

    fn put_back(self: &Rc<Self>, guest: Box<Guest>) {
        self.guest.replace(Some(guest));
        match self.orphans.take() {
            orphans if orphans.is_empty() => self.back.notify_one(),
            orphans => self.drop_resources(orphans),
        }
    }

    /// Drops resources in the guest. With a dead instance, what it holds is gone already.
    fn drop_resources(self: &Rc<Self>, resources: Vec<ResourceAny>) {
        match self.guest.take() {
            Some(guest) => {
                let call = call!(guest => drop_all(&mut guest, resources));
                drop(self.begin(Waker::noop(), call(guest), drop));
            }
            None if self.is_dead.get() => {}
            None => self.orphans.borrow_mut().extend(resources),
        }
    }
}

impl Instance {
    /// Leaves what a connection has received in the batch, if it has room.
    fn join(self: &Rc<Self>, member: &Member, bytes: &[u8], receiver: Rc<dyn Receiver>) -> bool {
        if !self.bargain.is_good() {
            return false;
        }
        let mut batch = self.batch.borrow_mut();
        let is_first = batch.is_empty();
        let joined = batch.join(member.handle, bytes, receiver, &member.signals);
        if joined && is_first {
            self.batches.add(Rc::clone(self));
        }
        joined
    }

    fn call_batch(self: &Rc<Self>, now: Instant) {
        let mut batch = self.batch.take();
        let waker = batch.waker();
        let Batch { left, waiting, .. } = batch;
        let receive = move |mut guest: Box<Guest>| async move {
            let outcomes = guest.receive_many(now, &left.arrived, &left.bytes).await;
            let outcomes = outcomes.and_then(|outcomes| left.check(outcomes));
            (guest, outcomes)
        };
        let (this, begun) = (Rc::clone(self), time::Instant::now());
        let then = move |outcomes: Outcomes| {
            this.bargain.learn(waiting.len(), begun.elapsed());
            this.wake(&outcomes.wake_others);
            waiting.deliver(now, &outcomes);
        };
        if let Call::Later(outcome) = self.call(&waker, receive, then) {
            spawn_local(outcome);
        }
    }
}

async fn drop_all(guest: &mut Guest, resources: Vec<ResourceAny>) -> Result<(), GuestFault> {
    for resource in resources {
        guest.drop_resource(resource).await?;
    }
    Ok(())
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

    /// Asks the guest about a request.
    ///
    /// # Errors
    ///
    /// [`Dead`] when the instance has ended, by this call or before.
    pub fn handle(self, request: Arc<Request>) -> Call<Decided> {
        let instance = Rc::clone(&self.0);
        let handle = call!(guest => guest.handle(&request));
        instance.call(Waker::noop(), handle, move |decision| {
            self.0.wake(&decision.wake_others);
            Decided {
                verdict: self.keep_for(decision.verdict),
                fault: decision.fault,
            }
        })
    }

    fn keep_for(self, verdict: Verdict) -> Ruling {
        match verdict {
            Verdict::Answer(answer) => Ruling::Answer(self.keep_for_answer(answer)),
            Verdict::Later(undecided) => Ruling::Later(Undecided(Member::new(self, undecided))),
        }
    }

    fn keep_for_answer(self, answer: Answer) -> Answered {
        match answer {
            Answer::Respond(response) => Answered::Response(response),
            Answer::Takeover(takeover) => Answered::Takeover(Offer {
                response: takeover.response,
                connection: Connection(Member::new(self, takeover.connection)),
                farewell: takeover.farewell,
            }),
        }
    }
}

/// What a guest has said to a request.
#[derive(Debug)]
pub struct Decided {
    /// Its decision.
    pub verdict: Ruling,
    /// What its app has done wrong.
    pub fault: Option<String>,
}

/// A guest's decision. What it holds of the guest's is dropped there with it.
#[derive(Debug)]
pub enum Ruling {
    /// There is one.
    Answer(Answered),
    /// It takes its time.
    Later(Undecided),
}

/// A guest's answer to a request.
#[derive(Debug)]
pub enum Answered {
    /// Plain HTTP.
    Response(Response),
    /// The socket is to be the guest's.
    Takeover(Offer),
}

/// What a guest takes a socket over with. Dropped, the guest's connection is.
#[derive(Debug)]
pub struct Offer {
    /// The head that goes before; none for a raw takeover.
    pub response: Option<ResponseHead>,
    /// What the socket is for.
    pub connection: Connection,
    /// What is sent if the guest dies.
    pub farewell: Vec<u8>,
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

    fn call<R, T, F>(
        &self,
        call: impl FnOnce(Box<Guest>) -> F + 'static,
        then: impl FnOnce(&Rc<Instance>, R) -> T + 'static,
    ) -> Call<T>
    where
        F: Future<Output = Returned<R>> + Send + 'static,
        R: Send + 'static,
        T: Unpin + 'static,
    {
        let instance = Rc::clone(&self.place.0);
        let then = move |result| then(&instance, result);
        self.place.0.call(&self.waker, call, then)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let instance = &self.place.0;
        instance.members.borrow_mut().remove(&self.id);
        instance.drop_resources(vec![self.handle]);
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
    pub fn decide(&self, now: Instant) -> Call<Progress> {
        let (handle, id) = (self.0.handle, self.0.id);
        let decide = call!(guest => guest.decide(handle, now, id));
        self.0.call(decide, |instance, deliberation| {
            instance.wake(&deliberation.wake_others);
            let answer = deliberation.answer;
            Progress {
                answer: answer.map(|answer| Place::on(instance).keep_for_answer(answer)),
                wake_at: deliberation.wake_at,
                fault: deliberation.fault,
            }
        })
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
}

/// How far a guest has come with its decision.
#[derive(Debug)]
pub struct Progress {
    /// None: not decided yet.
    pub answer: Option<Answered>,
    /// When it wants to be asked again.
    pub wake_at: Option<Instant>,
    /// What its app has done wrong.
    pub fault: Option<String>,
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
    /// [`Dead`] when the instance has ended, by this call or before. So in all that follow.
    pub fn open(&self, now: Instant, residual: Bytes) -> Call<Effects> {
        let (handle, id) = (self.0.handle, self.0.id);
        self.call(call!(guest => guest.open(handle, now, id, &residual)))
    }

    /// See [`Guest::receive`]. What the bytes are in is given to `reuse` when the guest has them.
    pub fn receive<B: AsRef<[u8]> + Send + 'static>(
        &self,
        now: Instant,
        bytes: B,
        reuse: impl FnOnce(B) + 'static,
    ) -> Call<Effects> {
        let handle = self.0.handle;
        let receive = move |mut guest: Box<Guest>| async move {
            let outcome = guest.receive(handle, now, bytes.as_ref()).await;
            (guest, outcome.map(|effects| (effects, bytes)))
        };
        self.0.call(receive, move |instance, (effects, bytes)| {
            reuse(bytes);
            instance.wake(&effects.wake_others);
            effects
        })
    }

    /// Leaves what was received in the batch of the instance, if it has room. Then no other call may be made
    /// until what comes of it is delivered.
    pub(crate) fn join(&self, receiver: &Rc<impl Receiver + 'static>, bytes: &[u8]) -> bool {
        let receiver = Rc::clone(receiver);
        self.0.place.0.join(&self.0, bytes, receiver)
    }

    /// See [`Guest::receive_eof`].
    pub fn receive_eof(&self, now: Instant) -> Call<Effects> {
        let handle = self.0.handle;
        self.call(call!(guest => guest.receive_eof(handle, now)))
    }

    /// See [`Guest::wake`].
    pub fn wake(&self, now: Instant, unsent: usize) -> Call<Effects> {
        let handle = self.0.handle;
        self.call(call!(guest => guest.wake(handle, now, unsent)))
    }

    /// See [`Guest::shutdown`].
    pub fn shutdown(&self, now: Instant, reason: ShutdownReason) -> Call<Effects> {
        let handle = self.0.handle;
        self.call(call!(guest => guest.shutdown(handle, now, reason)))
    }

    /// See [`Guest::lost`]. An instance that has ended need not be told.
    pub fn lost(&self, now: Instant) -> Call<()> {
        let handle = self.0.handle;
        let lost = call!(guest => guest.lost(handle, now));
        let wake = |instance: &Rc<Instance>, others: Vec<ConnectionId>| instance.wake(&others);
        self.0.call(lost, wake)
    }

    /// See [`Guest::report`].
    pub fn report(&self) -> Call<Report> {
        let handle = self.0.handle;
        let report = call!(guest => guest.report(handle));
        self.0.call(report, |_, report| report)
    }

    fn call<F>(&self, call: impl FnOnce(Box<Guest>) -> F + 'static) -> Call<Effects>
    where
        F: Future<Output = Returned<Effects>> + Send + 'static,
    {
        self.0.call(call, |instance, effects: Effects| {
            instance.wake(&effects.wake_others);
            effects
        })
    }
}
