//! The instances of a pool, by version of the component, and the places on them.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time;

use super::instance::Instance;
use super::owner::{Key, Owners};
use super::place::Place;
use crate::contract::bindings::ShutdownReason;
use crate::guest::load::component::Component;
use crate::limits::instances::InstanceLimit;
use crate::observe::metrics::Metrics;
use crate::pool::Unplaced;
use crate::pool::wakeups::Signals;

/// A version of the component. Its number is greater than those of the versions before it.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) number: u64,
    pub(super) component: Component,
    /// The instances of this version that keys belong to.
    owners: Rc<Owners>,
}

impl Version {
    fn new(number: u64, component: Component) -> Rc<Self> {
        Rc::new(Self {
            number,
            component,
            owners: Rc::default(),
        })
    }
}

/// The instances of a pool.
#[derive(Debug)]
pub(super) struct Places {
    /// The version that new connections get.
    current: RefCell<Rc<Version>>,
    connections_per_instance: usize,
    instances: RefCell<Vec<Rc<Instance>>>,
    /// Instances of earlier versions, which live as long as their connections.
    retired: RefCell<Vec<Weak<Instance>>>,
    instance_limit: Arc<InstanceLimit>,
    metrics: Arc<Metrics>,
}

impl Places {
    pub(super) fn new(
        component: Component,
        connections_per_instance: usize,
        instance_limit: &Arc<InstanceLimit>,
        metrics: &Arc<Metrics>,
    ) -> Rc<Self> {
        Rc::new(Self {
            current: RefCell::new(Version::new(0, component)),
            connections_per_instance,
            instances: RefCell::default(),
            retired: RefCell::default(),
            instance_limit: Arc::clone(instance_limit),
            metrics: Arc::clone(metrics),
        })
    }

    pub(super) fn current(&self) -> Rc<Version> {
        Rc::clone(&self.current.borrow())
    }

    /// A place on an instance of this version that runs; `None` if another instance is needed.
    pub(super) fn vacancy(
        &self,
        version: &Version,
        client: Option<IpAddr>,
        key: Option<&Key>,
    ) -> Result<Option<Place>, Unplaced> {
        let mut instances = self.instances.borrow_mut();
        remove_unneeded(&mut instances);
        self.metrics.instances_now.set(instances.len());
        let most = self.connections_per_instance;
        if let Some(owner) = key.and_then(|key| version.owners.of(key)) {
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
        let has_room = |instance: &&Rc<Instance>| {
            instance.version.number == version.number && instance.places.get() < most
        };
        let instance = instances.iter().find(has_room);
        Ok(instance.map(|instance| place_on(instance, client, key)))
    }

    /// A place on this instance, which has just been started, unless the key has an owner by now.
    pub(super) fn on_new(
        &self,
        instance: &Rc<Instance>,
        client: Option<IpAddr>,
        key: Option<&Key>,
    ) -> Option<Place> {
        let is_owned = key.is_some_and(|key| instance.version.owners.of(key).is_some());
        (!is_owned).then(|| place_on(instance, client, key))
    }

    /// Whether an instance of this version has room.
    pub(super) fn has_room(&self, version: &Version) -> bool {
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

    /// Replaces the component. Returns the members of all instances, which are left.
    pub(super) fn replace(&self, component: Component) -> Vec<Arc<Signals>> {
        let number = self.current().number.wrapping_add(1);
        self.current.replace(Version::new(number, component));
        let left = self.instances.take();
        self.metrics.instances_now.set(0);
        let mut retired = self.retired.borrow_mut();
        retired.retain(|instance| instance.strong_count() > 0);
        retired.extend(left.iter().map(Rc::downgrade));
        let mut members = Vec::new();
        for instance in retired.iter().filter_map(Weak::upgrade) {
            instance.is_left.set(true);
            members.extend(instance.members.borrow().values().map(Arc::clone));
        }
        members
    }

    /// Asks all connections to end.
    pub(super) fn stop(&self, reason: ShutdownReason) {
        for instance in self.all() {
            instance.stop(reason);
        }
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

/// A place on this instance, which becomes the owner of the key.
fn place_on(instance: &Rc<Instance>, client: Option<IpAddr>, key: Option<&Key>) -> Place {
    let owner = key.map(|key| instance.version.owners.set(key, instance));
    Place::on(instance, client, owner)
}

/// Removes dead instances, and all idle ones except one, so that the memory of a peak is freed after it.
fn remove_unneeded(instances: &mut Vec<Rc<Instance>>) {
    let mut idle = 0;
    instances.retain(|instance| {
        let is_idle = instance.places.get() == 0;
        idle += usize::from(is_idle);
        instance.is_alive() && (!is_idle || idle == 1)
    });
}
