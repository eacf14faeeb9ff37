//! An instance and the connections that share it: one call at a time, wakeups among them, its end.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time;

use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{spawn_blocking, spawn_local};
use wasmtime::component::ResourceAny;

use crate::contract::bindings::{ConnectionId, Instant, MessageLimits, Outcomes, ShutdownReason};
use crate::guest::fault::Dead;
use crate::guest::fault::GuestFault;
use crate::guest::file_wait::FileWait;
use crate::guest::handler::Guest;
use crate::guest::instance::{Advance, advance, finish_with};
use crate::observe::metrics::Metrics;
use crate::pool::backoff::{Backoff, Cause};
use crate::pool::batch::Batch;
use crate::pool::batch::BatchPolicy;
use crate::pool::batch::Batches;
use crate::pool::batch::Receiver;
use crate::pool::call::Call;
use crate::pool::release::Release;
use crate::pool::suspend::elsewhere::Elsewhere;
use crate::pool::suspend::moves::Moves;
use crate::pool::wakeups::{Signal, Signals};
use crate::topics::Topics;
use crate::topics::backlog::{Backlog, Backlogged};

/// One instance, with the number of places in use on it.
#[derive(Debug)]
pub(crate) struct Instance {
    /// `None` during a call, and forever after a fault.
    guest: RefCell<Option<Box<Guest>>>,
    /// Which version of the component it is of.
    pub(super) version: Rc<Release>,
    pub(super) message_limits: Option<MessageLimits>,
    /// How long it may wait in a call.
    file_wait: FileWait,
    /// Notified when the guest may be available again.
    available: Notify,
    is_dead: Cell<bool>,
    /// Resources dropped during a call, to be dropped in the guest after it.
    orphans: RefCell<Vec<ResourceAny>>,
    /// Bytes that its connections have received and the guest has not seen yet.
    batch: RefCell<Batch>,
    batch_policy: BatchPolicy,
    /// What has arrived on topics and is not delivered yet.
    pub(super) backlog: Backlog<Instance>,
    pub(super) places: Cell<usize>,
    /// The signals of the members, to wake them and to tell them about the end of the instance.
    pub(super) members: RefCell<HashMap<ConnectionId, Arc<Signals>>>,
    last_id: Cell<ConnectionId>,
    /// Why its connections have been asked to end, if they have.
    stopped: Cell<Option<ShutdownReason>>,
    /// Whether its connections are to move to another instance.
    pub(super) is_left: Cell<bool>,
    pub(super) started: time::Instant,
    pub(super) shared: Shared,
    _permit: OwnedSemaphorePermit,
}

/// State shared by the instances of a pool.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    /// Limits the calls that finish on threads of their own.
    pub(super) threads: Rc<Semaphore>,
    pub(super) batches: Rc<Batches<Instance>>,
    pub(super) topics: Rc<Topics<Instance>>,
    pub(super) moves: Rc<Moves>,
    pub(super) elsewhere: Rc<Elsewhere>,
    pub(super) batch_policy: Rc<BatchPolicy>,
    pub(super) backoff: Rc<Backoff>,
    pub(super) metrics: Arc<Metrics>,
}

/// The result of a call, with the guest, which can be called again if there was no fault.
pub(super) type Returned<R> = (Box<Guest>, Result<R, GuestFault>);

/// Makes a call out of a method of [`Guest`]: `call!(guest => guest.wake(handle, now, 0))`.
macro_rules! call {
    ($guest:ident => $call:expr) => {
        move |mut $guest: Box<Guest>| async move {
            let outcome = $call.await;
            ($guest, outcome)
        }
    };
}
pub(super) use call;

impl Instance {
    pub(super) fn new(
        guest: Guest,
        version: Rc<Release>,
        file_wait: FileWait,
        started: time::Instant,
        message_limits: Option<MessageLimits>,
        shared: &Shared,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            guest: RefCell::new(Some(Box::new(guest))),
            version,
            message_limits,
            file_wait,
            available: Notify::new(),
            is_dead: Cell::new(false),
            orphans: RefCell::default(),
            batch: RefCell::default(),
            batch_policy: BatchPolicy::default(),
            backlog: Backlog::default(),
            places: Cell::new(0),
            members: RefCell::default(),
            last_id: Cell::new(0),
            stopped: Cell::new(None),
            is_left: Cell::new(false),
            started,
            shared: shared.clone(),
            _permit: permit,
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.is_dead.get()
    }

    /// Calls the guest, then runs `then` on this thread with the result, even if the returned future is dropped. A fault
    /// ends the instance and signals all its members.
    pub(super) fn call<R, T, F>(
        self: &Rc<Self>,
        cause: Cause,
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
            Some(guest) => self.begin(cause, waker, call(guest), then),
            None if self.is_dead.get() => Call::done(Err(Dead)),
            None => {
                let (this, waker) = (Rc::clone(self), waker.clone());
                Call::later(async move {
                    let guest = this.take_guest().await?;
                    this.begin(cause, &waker, call(guest), then).await
                })
            }
        }
    }

    /// Takes the guest once the current call is done.
    async fn take_guest(&self) -> Result<Box<Guest>, Dead> {
        loop {
            let available = self.available.notified();
            match self.guest.take() {
                Some(guest) => return Ok(guest),
                None if self.is_dead.get() => return Err(Dead),
                None => available.await,
            }
        }
    }

    fn begin<R, T, F>(
        self: &Rc<Self>,
        cause: Cause,
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
            Advance::Done(returned) => Ok(returned),
            Advance::Blocked if self.file_wait.is_none() => Err(self.file_wait.fault()),
            Advance::Blocked | Advance::Yielded if Handle::try_current().is_ok() => {
                return self.finish_elsewhere(cause, waker.clone(), call, then);
            }
            // Without a runtime, there are no other tasks to run meanwhile.
            _ => finish_with(call.as_mut(), waker, self.file_wait),
        };
        Call::done(self.settle(cause, returned).map(then))
    }

    /// Finishes a call that takes long, or waits, on a thread of its own.
    fn finish_elsewhere<R, T, F>(
        self: &Rc<Self>,
        cause: Cause,
        waker: Waker,
        mut call: Pin<Box<F>>,
        then: impl FnOnce(R) -> T + 'static,
    ) -> Call<T>
    where
        F: Future<Output = Returned<R>> + Send + 'static,
        R: Send + 'static,
        T: 'static,
    {
        self.shared.metrics.long_calls.count();
        let (sender, receiver) = oneshot::channel();
        let (this, file_wait) = (Rc::clone(self), self.file_wait);
        spawn_local(async move {
            let thread = this.shared.threads.acquire().await;
            let returned = spawn_blocking(move || finish_with(call.as_mut(), &waker, file_wait));
            let returned = returned.await;
            drop(thread);
            // The guest is lost with the thread, though not at fault.
            let returned = returned.unwrap_or_else(|bug| Err(GuestFault::of_runner(bug)));
            // The caller may be gone; `then` handles the result in any case.
            let _ = sender.send(this.settle(cause, returned).map(then));
        });
        Call::later(async move { receiver.await.unwrap_or(Err(Dead)) })
    }

    /// Takes the guest back after a call, or ends the instance after a fault.
    fn settle<R>(
        self: &Rc<Self>,
        cause: Cause,
        returned: Result<Returned<R>, GuestFault>,
    ) -> Result<R, Dead> {
        let fault = match returned {
            Ok((guest, Ok(result))) => {
                self.put_back(cause, guest);
                return Ok(result);
            }
            Ok((_, Err(fault))) | Err(fault) => fault,
        };
        self.is_dead.set(true);
        self.available.notify_waiters();
        self.raise(Signal::Died);
        back_off(&self.shared, cause, self.started);
        self.version.trial.count_fault();
        Err(log(&fault, self.places.get(), &self.shared.metrics))
    }

    fn put_back(self: &Rc<Self>, cause: Cause, guest: Box<Guest>) {
        self.guest.replace(Some(guest));
        match self.orphans.take() {
            orphans if orphans.is_empty() => self.available.notify_one(),
            orphans => self.drop_resources(cause, orphans),
        }
    }

    /// Drops resources in the guest. Those of a dead instance are gone already.
    pub(super) fn drop_resources(self: &Rc<Self>, cause: Cause, resources: Vec<ResourceAny>) {
        match self.guest.take() {
            Some(guest) => {
                let call = call!(guest => drop_all(&mut guest, resources));
                drop(self.begin(cause, Waker::noop(), call(guest), drop));
            }
            None if self.is_dead.get() => {}
            None => self.orphans.borrow_mut().extend(resources),
        }
    }
}

impl Instance {
    /// Adds the bytes of a connection to the batch. Returns whether they were added.
    pub(super) fn join(
        self: &Rc<Self>,
        handle: ResourceAny,
        signals: &Arc<Signals>,
        bytes: &[u8],
        receiver: Rc<dyn Receiver>,
    ) -> bool {
        let is_alone = self.places.get() < 2;
        let policies = [&self.batch_policy, &self.shared.batch_policy];
        if is_alone || !policies.iter().all(|policy| policy.allows_next()) {
            return false;
        }
        let mut batch = self.batch.borrow_mut();
        let is_first = batch.is_empty();
        let joined = batch.join(handle, bytes, receiver, signals);
        if joined && is_first {
            self.shared.batches.add(Rc::clone(self));
        }
        joined
    }

    /// Calls the batch now, if there is one and the guest is here.
    pub(super) fn call_waiting_batch(self: &Rc<Self>, now: Instant) {
        if !self.batch.borrow().is_empty() && self.guest.borrow().is_some() {
            self.call_batch(now);
        }
    }

    pub(super) fn call_batch(self: &Rc<Self>, now: Instant) {
        let mut batch = self.batch.take();
        if batch.is_empty() {
            // It was called before its turn.
            return;
        }
        let waker = batch.waker();
        let Batch {
            input, receivers, ..
        } = batch;
        let receive = move |mut guest: Box<Guest>| async move {
            let outcomes = guest.receive_many(now, &input.arrivals, &input.bytes).await;
            let outcomes = outcomes.and_then(|outcomes| input.check(outcomes));
            (guest, outcomes)
        };
        let (this, begun) = (Rc::clone(self), time::Instant::now());
        let then = move |outcomes: Outcomes| {
            this.batch_policy.record(receivers.len(), begun.elapsed());
            this.wake(&outcomes.wake_others);
            receivers.deliver(now, outcomes);
        };
        if let Call::Later(outcome) = self.call(Cause::Batch, &waker, receive, then) {
            spawn_local(outcome);
        }
    }
}

impl Backlogged for Instance {
    fn backlog(&self) -> &Backlog<Self> {
        &self.backlog
    }
}

async fn drop_all(guest: &mut Guest, resources: Vec<ResourceAny>) -> Result<(), GuestFault> {
    for resource in resources {
        guest.drop_resource(resource).await?;
    }
    Ok(())
}

impl Instance {
    /// Adds a member. Returns its number and its signals.
    pub(super) fn admit(&self) -> (ConnectionId, Arc<Signals>) {
        let id = self.last_id.get().wrapping_add(1);
        self.last_id.set(id);
        let signals = Arc::new(Signals::default());
        if let Some(reason) = self.stopped.get() {
            signals.raise(Signal::Stop(reason));
        }
        if self.is_left.get() || self.shared.elsewhere.is_there() {
            signals.raise(Signal::Move);
        }
        self.members.borrow_mut().insert(id, Arc::clone(&signals));
        (id, signals)
    }

    /// The component has answered a request of the client with this address.
    pub(super) fn answered(&self, client: Option<IpAddr>) {
        self.shared.backoff.answered(client);
    }

    pub(super) fn wake(&self, ids: &[ConnectionId]) {
        if ids.is_empty() {
            return;
        }
        let members = self.members.borrow();
        ids.iter()
            .filter_map(|id| members.get(id))
            .for_each(|signals| signals.raise(Signal::Woken));
    }

    /// Asks all members to end, including those that come later. The first reason counts.
    pub(super) fn stop(&self, reason: ShutdownReason) {
        if self.stopped.get().is_none() {
            self.stopped.set(Some(reason));
            self.raise(Signal::Stop(reason));
        }
    }

    /// The signals of all members.
    pub(super) fn signals(&self) -> Vec<Arc<Signals>> {
        self.members.borrow().values().map(Arc::clone).collect()
    }

    pub(super) fn raise(&self, signal: Signal) {
        for signals in self.members.borrow().values() {
            signals.raise(signal);
        }
    }
}

/// Records the failure of an instance that started at `started`.
pub(super) fn back_off(shared: &Shared, cause: Cause, started: time::Instant) {
    if cause == Cause::Batch {
        // So that the next failure is that of one client.
        shared.batch_policy.suspend();
    }
    let until = shared.backoff.failed(cause, started, time::Instant::now());
    shared.metrics.pause(until);
}

/// Logs and counts a guest's fault; the only place that does.
pub(super) fn log(fault: &GuestFault, connections: usize, metrics: &Metrics) -> Dead {
    metrics.faulted(&fault.reason);
    tracing::error!("guest instance failed; closing its {connections} connections: {fault}");
    Dead
}
