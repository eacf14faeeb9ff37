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
mod place;
mod places;
mod release;
mod suspend;
pub mod wakeups;

pub use call::Call;
pub(crate) use delivery::Delivered;
pub(crate) use instance::Instance;
pub use member::Connection;
pub(crate) use member::PendingRequest;
pub(crate) use place::{Answer, Decision, Place, Takeover};
pub(crate) use places::Unplaced;
pub(crate) use places::owner::Key;
pub(crate) use release::Release;
pub(crate) use suspend::away::Arrived;
pub(crate) use suspend::{Asleep, Destination, Kept, Resumed, Suspended, Woken};

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{self, Duration};

use tokio::select;
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{sleep, sleep_until};

use self::backoff::Cause;
use self::instance::{Shared, back_off, log};
use self::places::{Places, Seeker};
use self::suspend::elsewhere::until_available;
use self::suspend::moves::MOVES_AT_ONCE;
use self::suspend::sleepers::{Sleepers, WAVE};
use crate::contract::bindings::{Instant, ShutdownReason};
use crate::guest::fault::{FaultReason, GuestFault};
use crate::guest::file_wait::FileWait;
use crate::guest::handler::Guest;
use crate::guest::instance::{Advance, advance, finish_with};
use crate::guest::limits::Limits;
use crate::guest::load::component::Component;
use crate::limits::instances::InstanceLimit;
use crate::limits::per_address::network;
use crate::net::peer::Peer;
use crate::observe::metrics::Metrics;
use crate::pool::wakeups::Signals;
use crate::topics::Topics;

/// The most calls of a worker that finish on threads of their own at once. Fewer than tokio's blocking threads (512), so
/// that some are left for the files that calls wait for.
const THREADS: usize = 128;

/// The time until an instance is started again that there was no room for, or that has failed.
const RETRY: Duration = Duration::from_millis(100);

/// The instances of a component, each serving a limited number of connections.
#[derive(Debug)]
pub struct Pool {
    places: Rc<Places>,
    /// Held while an instance starts.
    starting: Arc<Mutex<()>>,
    limits: Limits,
    shared: Shared,
    stopping: Cell<Option<ShutdownReason>>,
    instance_limit: Arc<InstanceLimit>,
    /// Limits how many connections are woken at once.
    wakes: Semaphore,
}

impl Pool {
    /// A pool without instances: they are started on demand.
    pub(crate) fn new(
        release: Release,
        limits: Limits,
        connections_per_instance: usize,
        metrics: Arc<Metrics>,
        topics: Topics<Instance>,
        instance_limit: &Arc<InstanceLimit>,
    ) -> Self {
        let topics = Rc::new(topics);
        let places = Places::new(
            release,
            connections_per_instance,
            Sleepers::new(&topics, &metrics),
            instance_limit,
            &metrics,
        );
        Self {
            starting: Arc::default(),
            limits,
            shared: Shared {
                threads: Rc::new(Semaphore::new(THREADS)),
                batches: Rc::default(),
                topics,
                moves: Rc::default(),
                elsewhere: Rc::default(),
                batch_policy: Rc::default(),
                backoff: Rc::default(),
                metrics,
            },
            places,
            stopping: Cell::new(None),
            instance_limit: Arc::clone(instance_limit),
            wakes: Semaphore::new(WAVE),
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
        self.place_on_current(&Seeker::Newcomer(client, key)).await
    }

    async fn place_on_current(&self, seeker: &Seeker<'_>) -> Result<Place, Unplaced> {
        let vacancy = || self.places.vacancy(&self.places.current(), seeker);
        loop {
            if let Some(place) = vacancy()? {
                return Ok(place);
            }
            let starting = Arc::clone(&self.starting).lock_owned().await;
            if let Some(place) = vacancy()? {
                return Ok(place);
            }
            // Meanwhile the component may be replaced, or another request may have given the key an owner.
            if let Some(instance) = self.start(self.places.current(), starting).await?
                && let Some(place) = self.places.on_new(&instance, seeker)
            {
                return Ok(place);
            }
        }
    }

    /// A place on an instance of this version, which need not be served any more.
    async fn place_on(
        &self,
        version: &Rc<Release>,
        seeker: &Seeker<'_>,
    ) -> Result<Place, Unplaced> {
        if self.places.current().number == version.number {
            return self.place_on_current(seeker).await;
        }
        let vacancy = || self.places.vacancy_on_retired(version, seeker);
        loop {
            if let Some(place) = vacancy() {
                return Ok(place);
            }
            let starting = Arc::clone(&self.starting).lock_owned().await;
            if let Some(place) = vacancy() {
                return Ok(place);
            }
            let instance = self.start_instance(Rc::clone(version), starting).await?;
            self.places.add_retired(&instance);
            if let Some(place) = self.places.on_new(&instance, seeker) {
                return Ok(place);
            }
        }
    }

    /// The time left until an instance may be started.
    fn backoff_remaining(&self) -> Option<Duration> {
        let started = self.places.started().into_iter();
        let left = self.shared.backoff.remaining(started, time::Instant::now);
        if left.is_none() {
            self.shared.metrics.pause(None);
        }
        left
    }

    /// Starts an instance of this version that gets connections. Returns `None` if the version was replaced meanwhile.
    async fn start(
        &self,
        version: Rc<Release>,
        starting: OwnedMutexGuard<()>,
    ) -> Result<Option<Rc<Instance>>, Unplaced> {
        let instance = self.start_instance(version, starting).await?;
        if !self.places.serves(&instance.version) {
            return Ok(None);
        }
        self.places.add(Rc::clone(&instance));
        Ok(Some(instance))
    }

    async fn start_instance(
        &self,
        version: Rc<Release>,
        starting: OwnedMutexGuard<()>,
    ) -> Result<Rc<Instance>, Unplaced> {
        if let Some(left) = self.backoff_remaining() {
            return Err(Unplaced::BackingOff(left));
        }
        let permit = self.instance_limit.take().ok_or(Unplaced::Full)?;
        let started = time::Instant::now();
        let component = version.component.clone();
        let file_wait = FileWait::with(&component.grants, self.limits);
        let guest = start(component, self.limits, starting).await;
        let guest = guest.map_err(|fault| {
            if let FaultReason::System(cause) = &fault.reason {
                self.shared.metrics.faulted(&fault.reason);
                self.instance_limit.warn(cause);
                return Unplaced::Full;
            }
            back_off(&self.shared, Cause::Start, started);
            version.trial.count_fault();
            log(&fault, 0, &self.shared.metrics).into()
        })?;
        tracing::debug!("instance started in {:.1?}", started.elapsed());
        self.shared.metrics.instances.count();
        let instance = Rc::new(Instance::new(
            guest,
            version,
            file_wait,
            started,
            self.limits.message_limits,
            &self.shared,
            permit,
        ));
        if let Some(reason) = self.stopping.get() {
            instance.stop(reason);
        }
        Ok(instance)
    }

    /// Begins the trial of a version: starts an instance of it. New connections still get the current one.
    pub(crate) async fn begin_trial(&self, release: Release) -> Result<(), Unplaced> {
        self.places.begin_trial(release);
        self.forget_faults();
        self.make_room().await
    }

    /// Asks connections to move to the version on trial, at most this number. Returns how many.
    pub(crate) fn try_on(&self, most: usize) -> usize {
        let members = self.places.some_members(most);
        let number = members.len();
        self.shared.moves.add(members);
        number
    }

    /// New connections get the version on trial from now on, and all others are asked to move. Returns their number.
    pub(crate) fn adopt(&self) -> usize {
        self.leave(self.places.adopt())
    }

    /// Connections get the version before the trial, and those that have moved are asked to move back. Returns their
    /// number.
    pub(crate) fn go_back(&self) -> usize {
        self.leave(self.places.go_back())
    }

    /// Ends the trial for good: the version before is not kept any more.
    pub(crate) fn settle(&self) {
        self.places.settle();
    }

    fn leave(&self, members: Vec<Arc<Signals>>) -> usize {
        self.forget_faults();
        let number = members.len();
        self.shared.moves.add(members);
        number
    }

    /// Another version need not wait for what its predecessor has done.
    fn forget_faults(&self) {
        self.shared.backoff.reset();
        self.shared.metrics.pause(None);
    }

    /// Asks connections to move within this time, as many at once as the event loop can bear; never returns. Run this in a
    /// task of its own.
    pub(crate) async fn move_connections(&self, grace: Duration) {
        let moves = &self.shared.moves;
        loop {
            select! {
                most = self.askable() => self.ask_some(most, grace).await,
                () = until(moves.deadline()) => moves.expire_some(),
            }
            yield_now().await;
        }
    }

    /// Waits until there are connections to be asked. Returns how many there is room for in another process; `None` if they
    /// move within this one.
    async fn askable(&self) -> Option<usize> {
        poll_fn(|context| self.shared.moves.poll(context)).await;
        let room = self.shared.elsewhere.room()?;
        Some(until_available(&room).await)
    }

    async fn ask_some(&self, most: Option<usize>, grace: Duration) {
        if let Some(most) = most {
            return self.shared.moves.ask_some(most.min(MOVES_AT_ONCE), grace);
        }
        match self.make_room().await {
            Ok(()) => self.shared.moves.ask_some(MOVES_AT_ONCE, grace),
            Err(Unplaced::BackingOff(left)) => sleep(left).await,
            Err(_) => sleep(RETRY).await,
        }
    }

    /// Sees to it that an instance of the version has room that connections move to.
    async fn make_room(&self) -> Result<(), Unplaced> {
        while !self.places.has_room(&self.places.next()) {
            let starting = Arc::clone(&self.starting).lock_owned().await;
            let next = self.places.next();
            if !self.places.has_room(&next) {
                self.start(next, starting).await?;
            }
        }
        Ok(())
    }

    /// Asks all connections to end, including those that come later.
    pub fn stop(&self, reason: ShutdownReason) {
        self.stopping.set(Some(reason));
        self.places.stop(reason);
    }

    /// Cuts off all connections: those that were asked to end and have not.
    pub fn cut(&self) {
        self.places.cut();
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
}

/// Waits until then, which may be never.
async fn until(instant: Option<time::Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => pending().await,
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
