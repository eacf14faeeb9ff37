//! Connections that sleep: each is a state and its part in topics, on no instance, until it is woken.
//!
//! ```text
//!   suspend ──▶ Pool::put_to_sleep ──▶ Asleep ──▶ Pool::wake ──▶ resume, on an instance of the version that is served
//!                                                      └── refused: on one of the version that it was on
//! ```

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{self, Duration};

use tokio::sync::SemaphorePermit;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::super::{Pool, RETRY};
use super::sleepers::Sleepers;
use super::{Kept, Resumed, Suspended};
use crate::contract::bindings::{Instant, ResumeError};
use crate::contract::clock::Clock;
use crate::guest::fault::Dead;
use crate::pool::instance::Instance;
use crate::pool::member::Connection;
use crate::pool::place::Place;
use crate::pool::places::owner::Key;
use crate::pool::places::{Seeker, Unplaced};
use crate::pool::release::Release;
use crate::pool::wakeups::{Signal, Signals};
use crate::topics::subscriber::Subscriber;

/// How long a connection that is to be woken waits for a place on an instance.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that sleeps. Whoever has it keeps the socket, the final bytes and the time at which to wake it. Dropping
/// it ends its part in topics.
pub(crate) struct Asleep {
    /// As secret as what the app knows about its user.
    state: Box<[u8]>,
    at: Instant,
    /// Which version of the component has made the state.
    version: Rc<Release>,
    client: Option<IpAddr>,
    key: Option<Key>,
    subscriber: Rc<Subscriber<Instance>>,
    signals: Arc<Signals>,
    id: u64,
    sleepers: Rc<Sleepers>,
    is_woken: bool,
    kept: Kept,
}

/// Why a version does not resume a connection.
enum Refusal {
    /// No instance of it runs, or the one that was to resume it has ended.
    Dead,
    /// The state is refused.
    Refused(ResumeError),
}

impl From<Dead> for Refusal {
    fn from(_: Dead) -> Self {
        Self::Dead
    }
}

impl From<ResumeError> for Refusal {
    fn from(error: ResumeError) -> Self {
        Self::Refused(error)
    }
}

/// A connection that has been woken.
pub(crate) struct Woken {
    pub(crate) resumed: Resumed,
    /// The version of the component that has refused it, if that is not the one that it is on.
    pub(crate) refused_by: Option<u64>,
    /// Whether it is on another version of the component than before.
    pub(crate) has_moved: bool,
    /// How long the calls took.
    pub(crate) took: Duration,
}

impl Pool {
    /// Takes a connection off its instance, which is dropped if it has no other.
    pub(crate) fn put_to_sleep(&self, connection: Connection, suspended: Suspended) -> Asleep {
        let Connection(mut member) = connection;
        let place = &member.place;
        let key = place.owner.as_ref().map(|owner| owner.key.clone());
        let signals = Arc::clone(&member.signals);
        let sleepers = Rc::clone(&self.places.sleepers);
        self.shared.topics.suspend(&suspended.subscriber);
        suspended.subscriber.detach();
        let asleep = Asleep {
            state: suspended.state.into(),
            at: suspended.at,
            version: Rc::clone(&place.instance.version),
            client: place.client,
            id: sleepers.add(&signals, key.as_ref()),
            key,
            subscriber: suspended.subscriber,
            signals,
            sleepers,
            is_woken: false,
            kept: Kept::default(),
        };
        // It is still the connection's.
        member.subscriber = Rc::default();
        drop(member);
        self.places.drop_idle();
        asleep
    }

    /// Resumes a connection, a few at a time, so that others are served meanwhile. If the version that is served now
    /// refuses it, it stays with its own.
    ///
    /// # Errors
    ///
    /// [`Dead`] if there is no instance on which it can be resumed.
    pub(crate) async fn wake(&self, mut asleep: Asleep, clock: Clock) -> Result<Woken, Dead> {
        let current = self.places.current();
        let is_outdated = current.number != asleep.version.number;
        let swap = &self.shared.metrics.swap;
        let mut took = Duration::ZERO;
        let first = self.resume(&asleep, &current, clock, &mut took).await;
        let refused_by = first.is_err().then_some(current.number);
        let resumed = match first {
            Ok(resumed) => resumed,
            Err(_) if !is_outdated => return Err(Dead),
            Err(refusal) => {
                match refusal {
                    Refusal::Dead => swap.failed.count(),
                    Refusal::Refused(error) => swap.refused(error),
                }
                let own = Rc::clone(&asleep.version);
                let second = self.resume(&asleep, &own, clock, &mut took).await;
                second.map_err(|_| Dead)?
            }
        };
        asleep.is_woken = true;
        asleep.signals.pass_on(resumed.connection.signals());
        Ok(Woken {
            resumed,
            refused_by,
            has_moved: is_outdated && refused_by.is_none(),
            took,
        })
    }

    /// Resumes a connection on this version. Adds the time that the call takes.
    async fn resume(
        &self,
        asleep: &Asleep,
        version: &Rc<Release>,
        clock: Clock,
        took: &mut Duration,
    ) -> Result<Resumed, Refusal> {
        let (place, _turn) = self.place_sleeper(asleep, version).await?;
        let begun = time::Instant::now();
        let resumed = place.resume(clock.now(), asleep.suspended()).await;
        *took = took.saturating_add(begun.elapsed());
        Ok(resumed??)
    }

    /// A place on an instance of this version, and the turn to use it. Those that have to wait for a place let others
    /// pass.
    async fn place_sleeper(
        &self,
        asleep: &Asleep,
        version: &Rc<Release>,
    ) -> Result<(Place, Option<SemaphorePermit<'_>>), Dead> {
        let seeker = Seeker::Sleeper(asleep.client, asleep.key.as_ref());
        let backoff = &self.shared.backoff;
        let mut waited = Duration::ZERO;
        loop {
            let turn = self.wakes.acquire().await.ok();
            // All that is ready runs first, and the runtime looks for new input.
            yield_now().await;
            let placed = match backoff.remaining_of(asleep.client, time::Instant::now) {
                Some(left) => Err(Unplaced::BackingOff(left)),
                None => self.place_on(version, &seeker).await,
            };
            let pause = match placed {
                Ok(place) => return Ok((place, turn)),
                Err(Unplaced::Dead) => return Err(Dead),
                Err(_) if waited > PATIENCE => return Err(Dead),
                Err(Unplaced::BackingOff(left)) => left,
                Err(Unplaced::Full | Unplaced::OwnerFull(_)) => RETRY,
            };
            drop(turn);
            waited = waited.saturating_add(pause);
            sleep(pause).await;
        }
    }
}

impl Asleep {
    /// Returns each signal once, the most urgent first.
    pub(crate) fn poll_signal(&self, context: &mut Context<'_>) -> Poll<Signal> {
        self.signals.poll(context)
    }

    /// Raises a signal, which the connection gets when it is woken.
    pub(crate) fn raise(&self, signal: Signal) {
        self.signals.raise(signal);
    }

    /// Ready when something of a topic waits for the connection.
    pub(crate) fn poll_waiting(&self, context: &mut Context<'_>) -> Poll<()> {
        self.subscriber.poll_waiting(context)
    }

    /// Says how it was kept alive.
    pub(crate) fn set_kept(&mut self, kept: Kept) {
        self.kept = kept;
    }

    /// The address of its client, if it has one.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// The number of publications that the connection has made.
    pub(crate) fn published(&self) -> u64 {
        self.subscriber.totals().0
    }

    fn suspended(&self) -> Suspended {
        Suspended {
            state: self.state.to_vec(),
            at: self.at,
            version: self.version.number,
            keepalive: None,
            subscriber: Rc::clone(&self.subscriber),
            kept: self.kept,
        }
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        self.sleepers.remove(self.id, self.key.as_ref());
        if !self.is_woken {
            self.sleepers.leave_topics(&self.subscriber);
        }
    }
}

impl fmt::Debug for Asleep {
    /// Without the state, which is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Asleep({} bytes)", self.state.len())
    }
}
