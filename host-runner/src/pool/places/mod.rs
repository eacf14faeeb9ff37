//! The instances of a pool, by version of the component, and the places on them.

pub(super) mod owner;

use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{self, Duration};

use self::owner::{Key, Owners};
use super::instance::Instance;
use super::place::Place;
use super::release::Release;
use super::suspend::sleepers::Sleepers;
use crate::contract::bindings::ShutdownReason;
use crate::guest::fault::Dead;
use crate::limits::instances::InstanceLimit;
use crate::observe::metrics::Metrics;
use crate::pool::wakeups::{Signal, Signals};

/// Who looks for a place: a client's address, and the key of its connection, if it has one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seeker<'a> {
    /// A connection or a request.
    Newcomer(Option<IpAddr>, Option<&'a Key>),
    /// A connection that has slept. Those of its key have a right to be where the others are, as long as that instance
    /// does not have more than twice its number of connections.
    Sleeper(Option<IpAddr>, Option<&'a Key>),
}

impl<'a> Seeker<'a> {
    fn client(&self) -> Option<IpAddr> {
        let (Self::Newcomer(client, _) | Self::Sleeper(client, _)) = self;
        *client
    }

    fn key(&self) -> Option<&'a Key> {
        let (Self::Newcomer(_, key) | Self::Sleeper(_, key)) = self;
        *key
    }
}

/// The versions that a pool has instances of, apart from those that only have some left.
#[derive(Debug)]
struct Versions {
    /// The one that new connections get.
    current: Rc<Release>,
    /// The next one, on trial.
    candidate: Option<Rc<Release>>,
    /// The one before, to which the pool may return.
    previous: Option<Rc<Release>>,
}

/// The instances of a pool.
#[derive(Debug)]
pub(super) struct Places {
    versions: RefCell<Versions>,
    connections_per_instance: usize,
    instances: RefCell<Vec<Rc<Instance>>>,
    /// Instances of earlier versions, which live as long as their connections.
    retired: RefCell<Vec<Weak<Instance>>>,
    /// The instances that keys belong to.
    owners: Rc<Owners>,
    /// The connections that have no place now.
    pub(super) sleepers: Rc<Sleepers>,
    instance_limit: Arc<InstanceLimit>,
    metrics: Arc<Metrics>,
}

impl Places {
    pub(super) fn new(
        release: Release,
        connections_per_instance: usize,
        sleepers: Rc<Sleepers>,
        instance_limit: &Arc<InstanceLimit>,
        metrics: &Arc<Metrics>,
    ) -> Rc<Self> {
        Rc::new(Self {
            versions: RefCell::new(Versions {
                current: Rc::new(release),
                candidate: None,
                previous: None,
            }),
            connections_per_instance,
            instances: RefCell::default(),
            retired: RefCell::default(),
            owners: Rc::default(),
            sleepers,
            instance_limit: Arc::clone(instance_limit),
            metrics: Arc::clone(metrics),
        })
    }

    /// The version that new connections get.
    pub(super) fn current(&self) -> Rc<Release> {
        Rc::clone(&self.versions.borrow().current)
    }

    /// The version that connections move to which are asked to: the one on trial, if there is one.
    pub(super) fn next(&self) -> Rc<Release> {
        let versions = self.versions.borrow();
        let next = versions.candidate.as_ref().unwrap_or(&versions.current);
        Rc::clone(next)
    }

    /// Whether connections get this version.
    pub(super) fn serves(&self, version: &Release) -> bool {
        [self.current(), self.next()]
            .iter()
            .any(|served| served.number == version.number)
    }

    /// A place on an instance of this version that runs; `None` if another instance is needed.
    pub(super) fn vacancy(
        &self,
        version: &Release,
        seeker: &Seeker<'_>,
    ) -> Result<Option<Place>, Unplaced> {
        let mut instances = self.instances.borrow_mut();
        remove_unneeded(&mut instances);
        self.metrics.instances_now.set(instances.len());
        let (most, client, key) = (self.connections_per_instance, seeker.client(), seeker.key());
        let most_of_key = match seeker {
            Seeker::Newcomer(..) => most.saturating_sub(self.sleepers.of(key)),
            Seeker::Sleeper(..) => most.saturating_mul(2),
        };
        if most_of_key == 0 {
            return Err(Unplaced::OwnerFull(most));
        }
        if let Some(owner) = key.and_then(|key| self.owners.of(version.number, key)) {
            let instance = Rc::clone(&owner.instance);
            return if instance.places.get() < most_of_key {
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
        let has_room = |instance: &&Rc<Instance>| {
            instance.version.number == version.number && instance.places.get() < most
        };
        let instance = instances.iter().find(has_room);
        Ok(instance.map(|instance| self.place_on(instance, client, key)))
    }

    /// A place on this instance, which has just been started, unless the key has an owner by now.
    pub(super) fn on_new(&self, instance: &Rc<Instance>, seeker: &Seeker<'_>) -> Option<Place> {
        let (client, key) = (seeker.client(), seeker.key());
        let is_owned =
            key.is_some_and(|key| self.owners.of(instance.version.number, key).is_some());
        (!is_owned).then(|| self.place_on(instance, client, key))
    }

    /// Whether an instance of this version has room.
    pub(super) fn has_room(&self, version: &Release) -> bool {
        self.instances.borrow().iter().any(|instance| {
            instance.is_alive()
                && instance.version.number == version.number
                && instance.places.get() < self.connections_per_instance
        })
    }

    pub(super) fn add(&self, instance: Rc<Instance>) {
        let mut instances = self.instances.borrow_mut();
        instances.push(instance);
        self.metrics.instances_now.set(instances.len());
    }

    /// When the instances were started.
    pub(super) fn started(&self) -> Vec<time::Instant> {
        let instances = self.instances.borrow();
        instances.iter().map(|instance| instance.started).collect()
    }

    /// Begins the trial of a version.
    pub(super) fn begin_trial(&self, release: Release) {
        self.versions.borrow_mut().candidate = Some(Rc::new(release));
    }

    /// Members of instances of the current version, at most this number.
    pub(super) fn some_members(&self, most: usize) -> Vec<Arc<Signals>> {
        let current = self.current().number;
        let instances = self.instances.borrow();
        let of_current = instances
            .iter()
            .filter(|instance| instance.version.number == current);
        of_current
            .flat_map(|instance| instance.signals())
            .take(most)
            .collect()
    }

    /// The version on trial is the current one from now on. Returns the members of all others.
    pub(super) fn adopt(&self) -> Vec<Arc<Signals>> {
        let mut versions = self.versions.borrow_mut();
        if let Some(candidate) = versions.candidate.take() {
            let before = mem::replace(&mut versions.current, candidate);
            versions.previous = Some(before);
        }
        drop(versions);
        self.leave_others()
    }

    /// The version on trial, or the one that has just been adopted, is not served any more, but the one before. Returns
    /// the members of all others.
    pub(super) fn go_back(&self) -> Vec<Arc<Signals>> {
        let mut versions = self.versions.borrow_mut();
        if versions.candidate.take().is_none()
            && let Some(previous) = versions.previous.take()
        {
            versions.current = previous;
        }
        drop(versions);
        self.leave_others()
    }

    /// There is no way back to the version before.
    pub(super) fn settle(&self) {
        self.versions.borrow_mut().previous = None;
    }

    /// Retires the instances of all versions but the current one, and takes back those of the current one that were
    /// retired. Returns the members of the retired ones.
    fn leave_others(&self) -> Vec<Arc<Signals>> {
        let current = self.current().number;
        let is_kept = |instance: &Rc<Instance>| instance.version.number == current;
        let (kept, retired): (Vec<_>, Vec<_>) = self.all().into_iter().partition(is_kept);
        for instance in &kept {
            instance.is_left.set(false);
        }
        for instance in &retired {
            instance.is_left.set(true);
        }
        self.metrics.instances_now.set(kept.len());
        self.retired
            .replace(retired.iter().map(Rc::downgrade).collect());
        self.instances.replace(kept);
        retired
            .iter()
            .flat_map(|instance| instance.signals())
            .collect()
    }

    /// Drops the instances that no connection is on, except those of a version on trial.
    pub(super) fn drop_idle(&self) {
        let current = self.current().number;
        let is_needed = |instance: &Rc<Instance>| {
            instance.places.get() > 0 || instance.version.number != current
        };
        let all = self.instances.take();
        let (needed, idle): (Vec<_>, Vec<_>) = all.into_iter().partition(is_needed);
        self.metrics.instances_now.set(needed.len());
        self.instances.replace(needed);
        drop(idle);
    }

    /// A place on an instance of a version that is not served any more.
    pub(super) fn vacancy_on_retired(
        &self,
        version: &Release,
        seeker: &Seeker<'_>,
    ) -> Option<Place> {
        let retired = self.retired.borrow();
        let instance = retired.iter().filter_map(Weak::upgrade).find(|instance| {
            instance.is_alive()
                && instance.version.number == version.number
                && instance.places.get() < self.connections_per_instance
        });
        Some(self.place_on(&instance?, seeker.client(), seeker.key()))
    }

    /// Adds an instance of a version that is not served any more.
    pub(super) fn add_retired(&self, instance: &Rc<Instance>) {
        instance.is_left.set(true);
        let mut retired = self.retired.borrow_mut();
        retired.retain(|instance| instance.strong_count() > 0);
        retired.push(Rc::downgrade(instance));
    }

    /// Asks all connections to end.
    pub(super) fn stop(&self, reason: ShutdownReason) {
        for instance in self.all() {
            instance.stop(reason);
        }
        self.sleepers.raise(Signal::Stop(reason));
    }

    /// Cuts off all connections.
    pub(super) fn cut(&self) {
        for instance in self.all() {
            instance.raise(Signal::Cut);
        }
        self.sleepers.raise(Signal::Cut);
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

    /// All instances, including those of earlier versions.
    pub(super) fn all(&self) -> Vec<Rc<Instance>> {
        let retired = self.retired.borrow();
        let retired = retired.iter().filter_map(Weak::upgrade);
        let mut all = self.instances.borrow().clone();
        all.extend(retired);
        all
    }
}

/// Removes dead instances, and all idle ones except one of each version, so that the memory of a peak is freed after it.
fn remove_unneeded(instances: &mut Vec<Rc<Instance>>) {
    let mut spared = Vec::new();
    instances.retain(|instance| {
        let is_idle = instance.places.get() == 0;
        let is_spared = !is_idle || !spared.contains(&instance.version.number);
        if is_idle && is_spared {
            spared.push(instance.version.number);
        }
        instance.is_alive() && is_spared
    });
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

impl fmt::Display for Unplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dead => f.write_str("an instance fails to start, the log says why"),
            Self::BackingOff(_) => f.write_str("instances keep failing"),
            Self::Full => f.write_str("there is no room for another instance"),
            Self::OwnerFull(most) => write!(f, "its instance has {most} connections"),
        }
    }
}

impl From<Dead> for Unplaced {
    fn from(_: Dead) -> Self {
        Self::Dead
    }
}
