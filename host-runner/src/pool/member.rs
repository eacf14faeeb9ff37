//! Members of an instance, which stay on it beyond a call: pending requests, and connections.

use std::future::{Future, poll_fn};
use std::mem;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use wasmtime::component::ResourceAny;

use super::instance::{Instance, Returned, call};
use super::place::{Decision, Place};
use crate::contract::bindings::{
    ConnectionId, Effects, Instant, LastEffects, Report, ShutdownReason, TopicAction, TopicEvent,
};
use crate::guest::fault::Dead;
use crate::guest::handler::Guest;
use crate::pool::backoff::Cause;
use crate::pool::batch::Receiver;
use crate::pool::call::Call;
use crate::pool::wakeups::{Signal, Signals};
use crate::topics::actions::Caller;
use crate::topics::subscriber::Subscriber;

/// A guest's resource that the host holds and other members can wake. Dropping it drops the resource in the guest,
/// exactly once.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) place: Place,
    pub(super) handle: ResourceAny,
    id: ConnectionId,
    pub(super) signals: Arc<Signals>,
    pub(super) waker: Waker,
    pub(super) subscriber: Rc<Subscriber<Instance>>,
}

impl Member {
    pub(super) fn new(place: Place, handle: ResourceAny) -> Self {
        let (id, signals) = place.instance.admit();
        Self::admitted(place, handle, id, signals, Rc::default())
    }

    /// A member that the instance has admitted under this number.
    pub(super) fn admitted(
        place: Place,
        handle: ResourceAny,
        id: ConnectionId,
        signals: Arc<Signals>,
        subscriber: Rc<Subscriber<Instance>>,
    ) -> Self {
        Self {
            place,
            handle,
            id,
            waker: Waker::from(Arc::clone(&signals)),
            signals,
            subscriber,
        }
    }

    pub(super) fn call<R, T, F>(
        &self,
        call: impl FnOnce(Box<Guest>) -> F + 'static,
        then: impl FnOnce(&Rc<Instance>, R) -> T + 'static,
    ) -> Call<T>
    where
        F: Future<Output = Returned<R>> + Send + 'static,
        R: Send + 'static,
        T: Unpin + 'static,
    {
        let instance = Rc::clone(&self.place.instance);
        let then = move |result| then(&instance, result);
        let cause = Cause::Client(self.place.client);
        self.place.instance.call(cause, &self.waker, call, then)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let Place {
            instance, client, ..
        } = &self.place;
        instance.shared.topics.leave(&self.subscriber);
        instance.members.borrow_mut().remove(&self.id);
        instance.drop_resources(Cause::Client(*client), vec![self.handle]);
    }
}

/// A request that the guest has not answered yet.
#[derive(Debug)]
pub(crate) struct PendingRequest(pub(super) Member);

impl PendingRequest {
    /// See [`Guest::poll`]. Without a decision, returns the time at which to poll again, if there is one.
    ///
    /// # Errors
    ///
    /// [`Dead`] when the instance has ended, by this call or before.
    pub(crate) fn poll(&self, now: Instant) -> Call<Result<Decision, Option<Instant>>> {
        let (handle, id, client) = (self.0.handle, self.0.id, self.0.place.client);
        let owner = self.0.place.owner.clone();
        let poll = call!(guest => guest.poll(handle, now, id));
        self.0.call(poll, move |instance, poll_result| {
            instance.wake(&poll_result.wake_others);
            instance.shared.topics.publish_all(poll_result.publications);
            let answer = poll_result.answer.ok_or(poll_result.wake_at)?;
            let (fault, refusal) = (poll_result.fault, poll_result.refusal);
            Ok(Place::on(instance, client, owner).decision(answer, fault, refusal))
        })
    }

    /// Waits for a reason to poll again.
    ///
    /// # Errors
    ///
    /// [`Dead`] if the instance died.
    pub(crate) async fn woken(&self) -> Result<(), Dead> {
        loop {
            match poll_fn(|context| self.0.signals.poll(context)).await {
                Signal::Died => return Err(Dead),
                Signal::Woken => return Ok(()),
                // Requests that have begun are still answered.
                Signal::Stop(_) | Signal::Cut | Signal::Overdue | Signal::Move => {}
            }
        }
    }
}

/// A guest's connection.
#[derive(Debug)]
pub struct Connection(pub(super) Member);

impl Connection {
    /// Returns each signal once, the most urgent first.
    pub fn poll_signal(&self, context: &mut Context<'_>) -> Poll<Signal> {
        self.0.signals.poll(context)
    }

    /// The address of its client, if it has one.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.0.place.client
    }

    /// See [`Guest::open`]. Sets the limits on messages first, if there are any.
    ///
    /// # Errors
    ///
    /// [`Dead`] if the instance died, in this call or before; the same for all calls below.
    pub fn open(&self, now: Instant, residual: Bytes) -> Call<Effects> {
        let (handle, id) = (self.0.handle, self.0.id);
        match self.0.place.instance.message_limits {
            None => self.call(call!(guest => guest.open(handle, now, id, &residual))),
            Some(limits) => self.call(call!(guest => async {
                guest.set_limits(handle, limits).await?;
                guest.open(handle, now, id, &residual).await
            })),
        }
    }

    /// See [`Guest::receive`]. The bytes' buffer is passed to `reuse` when the guest has them.
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
        let own = self.own();
        self.0.call(receive, move |instance, (effects, bytes)| {
            reuse(bytes);
            own.settle(instance, effects)
        })
    }

    /// Adds received bytes to the instance's batch. Returns whether they were added; if so, no other call may be made
    /// until the outcome is delivered.
    pub(crate) fn join(&self, receiver: &Rc<impl Receiver + 'static>, bytes: &[u8]) -> bool {
        let receiver = Rc::clone(receiver);
        let Member {
            place,
            handle,
            signals,
            ..
        } = &self.0;
        place.instance.join(*handle, signals, bytes, receiver)
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

    /// See [`Guest::lost`]. A dead instance need not be told.
    pub fn lost(&self, now: Instant) -> Call<()> {
        let handle = self.0.handle;
        let own = self.own();
        self.0.place.instance.shared.topics.leave(&own.subscriber);
        let lost = call!(guest => guest.lost(handle, now));
        self.0.call(lost, move |instance, last: LastEffects| {
            instance.wake(&last.wake_others);
            let topics = &instance.shared.topics;
            topics.publish_last(own.caller(instance), last.publications);
        })
    }

    /// See [`Guest::report`].
    pub fn report(&self) -> Call<Report> {
        let handle = self.0.handle;
        let report = call!(guest => guest.report(handle));
        self.0.call(report, |instance, report: Report| {
            if report.fault.is_some() {
                instance.version.trial.count_fault();
            }
            report
        })
    }

    fn call<F>(&self, call: impl FnOnce(Box<Guest>) -> F + 'static) -> Call<Effects>
    where
        F: Future<Output = Returned<Effects>> + Send + 'static,
    {
        let own = self.own();
        self.0
            .call(call, move |instance, effects| own.settle(instance, effects))
    }

    fn own(&self) -> Own {
        Own {
            subscriber: Rc::clone(&self.0.subscriber),
            handle: self.0.handle,
        }
    }
}

/// Topics.
impl Connection {
    /// See [`Guest::tell`].
    pub(crate) fn tell(&self, now: Instant, event: TopicEvent) -> Call<Effects> {
        let handle = self.0.handle;
        self.call(call!(guest => guest.tell(handle, now, &event)))
    }

    /// Carries out what the connection wants after a batch.
    pub(crate) fn carry_out(&self, actions: Vec<TopicAction>) {
        let instance = &self.0.place.instance;
        let own = self.own();
        instance
            .shared
            .topics
            .carry_out(own.caller(instance), actions);
    }

    /// The connection's part in topics.
    pub(crate) fn subscriber(&self) -> &Rc<Subscriber<Instance>> {
        &self.0.subscriber
    }
}

/// What a call needs of its connection, which may be gone when it is done.
pub(super) struct Own {
    pub(super) subscriber: Rc<Subscriber<Instance>>,
    pub(super) handle: ResourceAny,
}

impl Own {
    fn caller<'a>(&'a self, instance: &'a Rc<Instance>) -> Caller<'a, Instance> {
        Caller {
            subscriber: &self.subscriber,
            instance,
            resource: self.handle,
        }
    }

    /// Carries out the effects that do not concern the socket, at once: what the next call of the instance wants of
    /// topics comes after them.
    pub(super) fn settle(&self, instance: &Rc<Instance>, mut effects: Effects) -> Effects {
        instance.wake(&effects.wake_others);
        if !effects.topics.is_empty() {
            let actions = mem::take(&mut effects.topics);
            instance
                .shared
                .topics
                .carry_out(self.caller(instance), actions);
        }
        effects
    }
}
