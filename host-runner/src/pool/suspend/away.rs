//! Connections that move to another process, and from one.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::super::Pool;
use super::{Resumed, Suspended};
use crate::contract::bindings::{Effects, Instant, ResumeError, Suspension};
use crate::limits::per_address::network;
use crate::net::peer::Peer;
use crate::pool::call::Call;
use crate::pool::instance::Instance;
use crate::pool::member::{Connection, Member, Own};
use crate::pool::place::Place;
use crate::topics::Topics;
use crate::topics::records::{DueRecord, SubscriptionRecord};
use crate::topics::subscriber::Subscriber;

impl Pool {
    /// The part in topics of a connection that comes from another process, where it has this number.
    pub(crate) fn unpack_topics(
        &self,
        subscriptions: &[SubscriptionRecord],
        number: u64,
    ) -> Rc<Subscriber<Instance>> {
        self.shared.topics.unpack(subscriptions, number)
    }

    /// The connection has not come after all.
    pub(crate) fn drop_topics(&self, subscriber: &Subscriber<Instance>) {
        self.shared.topics.leave(subscriber);
    }

    /// Asks all connections to move to another process, including those that come later.
    pub(crate) fn leave_for(&self, room: Arc<Semaphore>) {
        self.shared.elsewhere.set(Some(room));
        let all = self.places.all();
        let members = all.iter().flat_map(|instance| instance.signals());
        self.shared.moves.add(members);
        self.shared.moves.add(self.places.sleepers.all());
    }

    /// The other process is gone. Connections that are still asked to move stay.
    pub(crate) fn stay(&self) {
        self.shared.elsewhere.set(None);
    }
}

impl Connection {
    /// Takes the connection's topics off its instance: what arrives for them waits. Returns the subscriptions; `None` if
    /// they cannot go to another process.
    pub(crate) fn pack_topics(&self) -> Option<Vec<SubscriptionRecord>> {
        let topics = self.topics();
        topics.suspend(&self.0.subscriber);
        topics.pack(&self.0.subscriber)
    }

    /// Lets the other process have the topics.
    pub(crate) fn release_topics(&self, number: u64) {
        self.topics().release(&self.0.subscriber, number);
    }

    /// The connection stays, and its topics with it.
    pub(crate) fn unpack_topics(&self) {
        let Member {
            subscriber,
            place,
            handle,
            ..
        } = &self.0;
        let topics = self.topics();
        topics.retain(subscriber);
        topics.settle(subscriber, &place.instance, *handle);
    }

    fn topics(&self) -> &Topics<Instance> {
        &self.0.place.instance.shared.topics
    }
}

impl Suspended {
    /// The state alone: what the pool keeps goes on here until the connection is dropped.
    pub(crate) fn into_state(self) -> Vec<u8> {
        self.state
    }
}

/// A connection that has been resumed from the state that another process has sent, before it is this process's: its
/// effects are still to be carried out. Dropping it drops the guest's connection.
#[derive(Debug)]
pub(crate) struct Arrived {
    connection: Connection,
    final_bytes: Vec<u8>,
    effects: Effects,
}

impl Arrived {
    /// The connection is this process's from now on. `waited`: what has waited for it in the other one.
    pub(crate) fn settle(self, waited: Vec<DueRecord>) -> Resumed {
        let Self {
            connection,
            final_bytes,
            effects,
        } = self;
        let instance = Rc::clone(&connection.0.place.instance);
        let topics = &instance.shared.topics;
        topics.give_first(&connection.0.subscriber, waited);
        topics.settle(&connection.0.subscriber, &instance, connection.0.handle);
        let own = Own {
            subscriber: Rc::clone(&connection.0.subscriber),
            handle: connection.0.handle,
        };
        Resumed {
            effects: own.settle(&instance, effects),
            connection,
            final_bytes,
        }
    }
}

impl Place {
    /// The same place, for the connection of this client.
    pub(crate) fn given_to(mut self, client: Peer) -> Self {
        self.client = client.limited_ip().map(network);
        self
    }

    /// Resumes a connection of another process. `subscriber`: its part in topics, not live yet.
    ///
    /// # Errors
    ///
    /// [`Dead`](crate::guest::fault::Dead) if the instance died, in this call or before.
    pub(crate) fn receive(
        self,
        now: Instant,
        suspended_for: Duration,
        state: Vec<u8>,
        subscriber: Rc<Subscriber<Instance>>,
    ) -> Call<Result<Arrived, ResumeError>> {
        let suspension = Suspension {
            suspended_for: u64::try_from(suspended_for.as_nanos()).unwrap_or(u64::MAX),
            answered: None,
            pinged: None,
        };
        self.call_resume(
            now,
            suspension,
            false,
            state,
            move |place, (id, signals), resumed| {
                let member = Member::admitted(place, resumed.connection, id, signals, subscriber);
                Arrived {
                    connection: Connection(member),
                    final_bytes: resumed.final_bytes,
                    effects: resumed.effects,
                }
            },
        )
    }
}
