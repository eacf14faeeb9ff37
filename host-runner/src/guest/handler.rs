//! An instance of a handler component, and the calls into it, each limited in time and memory.

use std::fmt;

use wasmtime::component::{ResourceAny, TypedFunc};

use crate::contract::bindings::{
    Arrival, ConnectionId, Decision, Deliveries, Delivery, Effects, Instant, LastEffects,
    MessageLimits, Outcomes, PollResult, Report, Request, ResumeError, Resumed, ShutdownReason,
    Suspended, Suspension, TopicEvent, TopicMessage,
};
use crate::guest::fault::GuestFault;
use crate::guest::instance::{Exports, Instance as Bounded};
use crate::guest::limits::Limits;
use crate::guest::load::component::Component;
use crate::guest::load::world::World;

pub use crate::guest::instance::finish;

/// An instance of a component.
///
/// Its methods are the functions of the contract, one to one; the caller keeps to the order the contract demands. Nearly
/// every call completes when it is first polled: see [`finish`].
///
/// After a [`GuestFault`] the instance is dead: drop it, as its state is undefined. The same holds if a call is dropped
/// before it completes.
pub struct Guest {
    instance: Bounded,
    functions: Functions,
}

impl Guest {
    /// Instantiates a component.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`], since the component's start functions run here, within the limits.
    pub async fn new(component: &Component, limits: Limits) -> Result<Self, GuestFault> {
        let (instance, functions) = Bounded::new(component, limits, Functions::of).await?;
        Ok(Self {
            instance,
            functions,
        })
    }

    /// `handle`: answers a request.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub async fn handle(&mut self, request: &Request) -> Result<Decision, GuestFault> {
        let function: TypedFunc<(&Request,), (Decision,)> = self.functions.handle;
        self.instance.call(function, (request,)).await
    }

    /// `pending-request.poll`: asks whether there is an answer yet.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub async fn poll(
        &mut self,
        pending_request: ResourceAny,
        now: Instant,
        id: ConnectionId,
    ) -> Result<PollResult, GuestFault> {
        self.instance
            .call(self.functions.poll, (pending_request, now, id))
            .await
    }

    /// `connection.open`: hands the socket over, with the bytes read after the request head.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub async fn open(
        &mut self,
        connection: ResourceAny,
        now: Instant,
        id: ConnectionId,
        residual: &[u8],
    ) -> Result<Effects, GuestFault> {
        let function: Open<'_> = self.functions.open;
        self.instance
            .call(function, (connection, now, id, residual))
            .await
    }

    /// `connection.set-limits`: lowers the connection's limits to these.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub async fn set_limits(
        &mut self,
        connection: ResourceAny,
        limits: MessageLimits,
    ) -> Result<(), GuestFault> {
        self.instance
            .tell(self.functions.set_limits, (connection, limits))
            .await
    }

    /// `connection.receive`: bytes arrived. The call has more time the more they are.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub async fn receive(
        &mut self,
        connection: ResourceAny,
        now: Instant,
        bytes: &[u8],
    ) -> Result<Effects, GuestFault> {
        let function: WithBytes<'_> = self.functions.receive;
        let params = (connection, now, bytes);
        let work = work(1, bytes);
        self.instance.call_for(work, function, params).await
    }

    /// `receive-many`: bytes arrived on several connections. The call has the time of as many calls, and more the more
    /// bytes they are.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub async fn receive_many(
        &mut self,
        now: Instant,
        arrivals: &[Arrival],
        bytes: &[u8],
    ) -> Result<Outcomes, GuestFault> {
        let function: Many<'_> = self.functions.receive_many;
        let params = (now, arrivals, bytes);
        let work = work(arrivals.len(), bytes);
        self.instance.call_for(work, function, params).await
    }

    /// `connection.receive-eof`: the peer has finished sending.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub async fn receive_eof(
        &mut self,
        connection: ResourceAny,
        now: Instant,
    ) -> Result<Effects, GuestFault> {
        self.instance
            .call(self.functions.receive_eof, (connection, now))
            .await
    }

    /// `connection.wake`: the instant asked for has come. `unsent` is the number of bytes of output that are still
    /// unsent.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub async fn wake(
        &mut self,
        connection: ResourceAny,
        now: Instant,
        unsent: usize,
    ) -> Result<Effects, GuestFault> {
        let unsent = u64::try_from(unsent).unwrap_or(u64::MAX);
        self.instance
            .call(self.functions.wake, (connection, now, unsent))
            .await
    }

    /// `connection.shutdown`: asks the connection to end cleanly.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub async fn shutdown(
        &mut self,
        connection: ResourceAny,
        now: Instant,
        reason: ShutdownReason,
    ) -> Result<Effects, GuestFault> {
        self.instance
            .call(self.functions.shutdown, (connection, now, reason))
            .await
    }

    /// `connection.lost`: the socket has failed. Returns what still follows from it.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub async fn lost(
        &mut self,
        connection: ResourceAny,
        now: Instant,
    ) -> Result<LastEffects, GuestFault> {
        self.instance
            .call(self.functions.lost, (connection, now))
            .await
    }

    /// `connection.tell`: something has happened on a topic.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub async fn tell(
        &mut self,
        connection: ResourceAny,
        now: Instant,
        event: &TopicEvent,
    ) -> Result<Effects, GuestFault> {
        self.instance
            .call(self.functions.tell, (connection, now, event))
            .await
    }

    /// `deliver`: gives a publication to these connections. `known` are the forms that the host has already. The call has
    /// the time of as many calls, and more the longer the publication is.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub async fn deliver(
        &mut self,
        now: Instant,
        delivery: &Delivery,
        known: &[u32],
        connections: &[ResourceAny],
    ) -> Result<Deliveries, GuestFault> {
        let function: Deliver<'_> = self.functions.deliver;
        // It may be compressed for each of them.
        let of_one = work(1, message_bytes(delivery));
        let connections_of_work = u32::try_from(connections.len()).unwrap_or(u32::MAX);
        let work = of_one.saturating_mul(connections_of_work.max(1));
        let params = (now, delivery, known, connections);
        self.instance.call_for(work, function, params).await
    }

    /// `connection.report`: a summary of the connection. Its length is limited only by the guest's memory.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub async fn report(&mut self, connection: ResourceAny) -> Result<Report, GuestFault> {
        self.instance
            .call(self.functions.report, (connection,))
            .await
    }

    /// `connection.suspend`: returns the connection's state, after which the connection must be dropped; `None` if it
    /// is not at rest or cannot be suspended.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub async fn suspend(
        &mut self,
        connection: ResourceAny,
        now: Instant,
    ) -> Result<Option<Suspended>, GuestFault> {
        self.instance
            .call(self.functions.suspend, (connection, now))
            .await
    }

    /// `resume`: makes a connection of a state, or says why it cannot. `suspension`: what has happened since, or how long
    /// ago it was suspended.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub async fn resume(
        &mut self,
        now: Instant,
        id: ConnectionId,
        suspension: impl Into<Suspension>,
        state: &[u8],
    ) -> Result<Result<Resumed, ResumeError>, GuestFault> {
        self.instance
            .call(self.functions.resume, (now, id, suspension.into(), state))
            .await
    }

    /// Drops a connection, or a request that waits for its answer. Its handle must not be used after this call.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`], since the guest's destructor runs here; the instance is dead then.
    pub async fn drop_resource(&mut self, resource: ResourceAny) -> Result<(), GuestFault> {
        self.instance.drop_resource(resource).await
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest")
            .field("limits", &self.instance.limits)
            .finish_non_exhaustive()
    }
}

/// The number of bytes that may have the time of one call more: they can hold thousands of messages.
const BYTES_OF_WORK: usize = 16 * 1024;

fn message_bytes(delivery: &Delivery) -> &[u8] {
    match &delivery.message {
        TopicMessage::Text(text) => text.as_bytes(),
        TopicMessage::Binary(bytes) => bytes,
    }
}

/// The number of calls that would do the work of this one.
fn work(connections: usize, bytes: &[u8]) -> u32 {
    let calls = connections.saturating_add(bytes.len() / BYTES_OF_WORK);
    u32::try_from(calls).unwrap_or(u32::MAX).max(1)
}

type Open<'a> = TypedFunc<(ResourceAny, Instant, ConnectionId, &'a [u8]), (Effects,)>;
type WithBytes<'a> = TypedFunc<(ResourceAny, Instant, &'a [u8]), (Effects,)>;
type Many<'a> = TypedFunc<(Instant, &'a [Arrival], &'a [u8]), (Outcomes,)>;
type Resume<'a> =
    TypedFunc<(Instant, ConnectionId, Suspension, &'a [u8]), (Result<Resumed, ResumeError>,)>;
type Deliver<'a> = TypedFunc<(Instant, &'a Delivery, &'a [u32], &'a [ResourceAny]), (Deliveries,)>;
type WithTime = TypedFunc<(ResourceAny, Instant), (Effects,)>;

/// The functions of `websocket-handler`.
///
/// Looked up here instead of called through the generated bindings, which are either synchronous or asynchronous;
/// which of the two is needed depends on the component.
struct Functions {
    handle: TypedFunc<(&'static Request,), (Decision,)>,
    poll: TypedFunc<(ResourceAny, Instant, ConnectionId), (PollResult,)>,
    open: Open<'static>,
    set_limits: TypedFunc<(ResourceAny, MessageLimits), ()>,
    receive: WithBytes<'static>,
    receive_many: Many<'static>,
    receive_eof: WithTime,
    wake: TypedFunc<(ResourceAny, Instant, u64), (Effects,)>,
    shutdown: TypedFunc<(ResourceAny, Instant, ShutdownReason), (Effects,)>,
    lost: TypedFunc<(ResourceAny, Instant), (LastEffects,)>,
    tell: TypedFunc<(ResourceAny, Instant, &'static TopicEvent), (Effects,)>,
    deliver: Deliver<'static>,
    report: TypedFunc<(ResourceAny,), (Report,)>,
    suspend: TypedFunc<(ResourceAny, Instant), (Option<Suspended>,)>,
    resume: Resume<'static>,
}

impl Functions {
    fn of(exports: &mut Exports<'_>) -> wasmtime::Result<Self> {
        Ok(Self {
            handle: exports.function(World::Handler, "handle")?,
            poll: exports.function(World::Handler, "[method]pending-request.poll")?,
            open: exports.function(World::Handler, "[method]connection.open")?,
            set_limits: exports.function(World::Handler, "[method]connection.set-limits")?,
            receive: exports.function(World::Handler, "[method]connection.receive")?,
            receive_many: exports.function(World::Handler, "receive-many")?,
            receive_eof: exports.function(World::Handler, "[method]connection.receive-eof")?,
            wake: exports.function(World::Handler, "[method]connection.wake")?,
            shutdown: exports.function(World::Handler, "[method]connection.shutdown")?,
            lost: exports.function(World::Handler, "[method]connection.lost")?,
            tell: exports.function(World::Handler, "[method]connection.tell")?,
            deliver: exports.function(World::Handler, "deliver")?,
            report: exports.function(World::Handler, "[method]connection.report")?,
            suspend: exports.function(World::Handler, "[method]connection.suspend")?,
            resume: exports.function(World::Handler, "resume")?,
        })
    }
}
