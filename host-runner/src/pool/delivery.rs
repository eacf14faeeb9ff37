//! Deliveries: what has arrived on topics, in one call for each instance, and from there to the sockets.
//!
//! Like [`batch`](crate::pool::batch), it sends the guest's output itself: waking the sessions to do so would cost each
//! another turn. The bytes that many are sent are written from one buffer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{self, Duration};

use bytes::Bytes;
use tokio::task::{spawn_local, yield_now};
use wasmtime::component::ResourceAny;
use wasocket_bus::message::SubscriberId;
use wasocket_bus::{Arrival, Inbox};

use super::Pool;
use super::instance::{Instance, call};
use super::member::{Connection, Member};
use crate::contract::bindings::{
    Deliveries, Delivery, Exception, ExceptionEffect, Instant, Outcome,
};
use crate::contract::clock::Clock;
use crate::guest::fault::{FaultReason, GuestFault};
use crate::guest::handler::Guest;
use crate::pool::backoff::Cause;
use crate::pool::call::Call;
use crate::topics::actions::Caller;
use crate::topics::backlog::{Backlogged, Item};
use crate::topics::publication::Arrived;
use crate::topics::subscriber::Subscriber;
use crate::topics::table::Group;

/// The most connections of one call.
const MOST: usize = 1024;

/// The most arrivals that go to the instances before these deliver them.
const ARRIVALS: usize = 64;

/// How long deliveries may keep the event loop from everything else.
const TURN: Duration = Duration::from_micros(500);

/// The most forms of one publication.
const MAX_FORMS: usize = 64;

/// What one connection does with a publication.
pub(crate) enum Delivered {
    /// It is sent nothing.
    Nothing,
    /// It is sent these bytes, which others may be sent as well.
    Form(Bytes),
    /// Anything, and its output.
    Outcome(Outcome, Vec<u8>),
}

impl Connection {
    /// Gives the connection a publication that has waited for it.
    pub(crate) fn deliver(&self, now: Instant, arrived: &Rc<Arrived>) -> Call<Delivered> {
        let Member {
            place,
            handle,
            waker,
            subscriber,
            ..
        } = &self.0;
        let cause = Cause::Client(place.client);
        place
            .instance
            .deliver_to_one(subscriber, *handle, cause, waker, arrived, now)
    }
}

impl Pool {
    /// Delivers what arrives on topics; never returns. Run this in a task of its own.
    pub(crate) async fn deliver_arrivals(&self, mut inbox: Inbox, clock: Clock) {
        let topics = &self.shared.topics;
        let mut arrived = Vec::new().into_iter();
        let mut since = time::Instant::now();
        loop {
            if arrived.len() == 0 {
                let next = poll_fn(|context| self.poll_arrivals(&mut inbox, context)).await;
                arrived = next.into_iter();
                since = time::Instant::now();
            }
            arrived
                .by_ref()
                .take(ARRIVALS)
                .for_each(|arrival| topics.route(arrival));
            while let Some(instance) = topics.due.pop() {
                instance.deliver_backlog(clock);
                if since.elapsed() > TURN {
                    yield_now().await;
                    since = time::Instant::now();
                }
            }
        }
    }

    /// What has arrived; nothing if an instance has something to deliver from before.
    fn poll_arrivals(&self, inbox: &mut Inbox, context: &mut Context<'_>) -> Poll<Vec<Arrival>> {
        match self.shared.topics.due.poll(context) {
            Poll::Ready(()) => Poll::Ready(Vec::new()),
            Poll::Pending => inbox.poll_take(context),
        }
    }
}

impl Instance {
    /// Delivers what has arrived, until all of it is, or a call takes long: then the rest follows that one.
    fn deliver_backlog(self: &Rc<Self>, clock: Clock) {
        let backlog = self.backlog();
        if backlog.is_delivering.get() {
            return;
        }
        while let Some(item) = backlog.pop() {
            let Item::Publication(group, arrived, from) = item else {
                self.shared.topics.apply(item);
                continue;
            };
            // The bytes that have arrived on the connections come first: those in a batch could not be given the
            // publication.
            self.call_waiting_batch(clock.now());
            let delivered = self.deliver(&group, &arrived, from, clock);
            if let Call::Later(delivered) = delivered {
                backlog.is_delivering.set(true);
                let this = Rc::clone(self);
                spawn_local(async move {
                    let _ = delivered.await;
                    this.backlog.is_delivering.set(false);
                    this.shared.topics.due.add(&this);
                });
                return;
            }
            if !self.is_alive() {
                return backlog.clear();
            }
        }
    }

    /// Gives a publication to the subscribers of a group, from this number on.
    fn deliver(
        self: &Rc<Self>,
        group: &Rc<Group<Self>>,
        arrived: &Rc<Arrived>,
        from: SubscriberId,
        clock: Clock,
    ) -> Call<()> {
        let fan_out = Rc::new(FanOut {
            instance: Rc::clone(self),
            arrived: Rc::clone(arrived),
            subscribers: RefCell::default(),
        });
        let (this, of_call) = (Rc::clone(&fan_out), Rc::clone(group));
        let deliver = move |mut guest: Box<Guest>| {
            // Chosen now that the guest is here: before, other calls may have changed who can be given what.
            let handles = this.select(&of_call, from);
            this.instance.backlog.chosen();
            let arrived = &this.arrived;
            let delivery = Arc::clone(&arrived.delivery);
            let known = arrived.known(this.instance.version.number);
            let now = clock.now();
            async move {
                let outcome = deliver_to(&mut guest, now, &delivery, &known, &handles).await;
                (guest, outcome.map(|deliveries| (now, deliveries)))
            }
        };
        let then = move |(now, deliveries)| fan_out.hand_over(now, deliveries);
        self.call(Cause::Batch, Waker::noop(), deliver, then)
    }
}

/// Makes the call, unless there is no one to be given the publication.
async fn deliver_to(
    guest: &mut Guest,
    now: Instant,
    delivery: &Delivery,
    known: &[u32],
    handles: &[ResourceAny],
) -> Result<Deliveries, GuestFault> {
    if handles.is_empty() {
        return Ok(Deliveries {
            forms: Vec::new(),
            shared: None,
            exceptions: Vec::new(),
            output: Vec::new(),
            wake_others: Vec::new(),
        });
    }
    let deliveries = guest.deliver(now, delivery, known, handles).await?;
    check(deliveries, known, handles.len())
}

/// One publication on its way to the subscribers of a group.
struct FanOut {
    instance: Rc<Instance>,
    arrived: Rc<Arrived>,
    subscribers: RefCell<Vec<Rc<Subscriber<Instance>>>>,
}

impl FanOut {
    /// The connections that are given the publication now. If there are too many, the others follow.
    fn select(&self, group: &Rc<Group<Instance>>, from: SubscriberId) -> Vec<ResourceAny> {
        let topics = &self.instance.shared.topics;
        let mut selected = self.subscribers.borrow_mut();
        let next = topics.select(group, &self.arrived, from, MOST, &mut selected);
        if let Some(next) = next {
            let (group, arrived) = (Rc::clone(group), Rc::clone(&self.arrived));
            let rest = Item::Publication(group, arrived, next);
            self.instance.backlog.put_back(rest);
        }
        selected
            .iter()
            .filter_map(|subscriber| subscriber.resource())
            .collect()
    }

    /// Hands over what the instance has made of the publication.
    fn hand_over(&self, now: Instant, deliveries: Deliveries) {
        let Deliveries {
            forms,
            shared,
            exceptions,
            output,
            wake_others,
        } = deliveries;
        let (instance, arrived) = (&self.instance, &self.arrived);
        let version = instance.version.number;
        instance.wake(&wake_others);
        for form in forms {
            arrived.add(version, form.number, form.bytes);
        }
        let form = |number| arrived.form(version, number);
        let shared = shared.and_then(form);
        let subscribers = self.subscribers.take();
        let metrics = &instance.shared.metrics;
        metrics.topics.delivered(arrived.prefix, subscribers.len());
        let mut rest = &output[..];
        let mut exceptions = exceptions.into_iter().peekable();
        let mut sent = 0_u64;
        for (index, subscriber) in subscribers.iter().enumerate() {
            let is_here = |exception: &Exception| exception.index as usize == index;
            let effect = exceptions
                .next_if(is_here)
                .map(|exception| exception.effect);
            let form = match effect {
                None => shared.clone(),
                Some(ExceptionEffect::Form(number)) => form(number),
                Some(ExceptionEffect::Outcome(outcome)) => {
                    let length = rest.len().min(outcome.output_length as usize);
                    let (own, after) = rest.split_at(length);
                    rest = after;
                    instance.carry_out_outcome(subscriber, now, outcome, own);
                    None
                }
            };
            if let (Some(form), Some(recipient)) = (form, subscriber.recipient()) {
                sent = sent.saturating_add(form.len() as u64);
                recipient.take_form(now, &form);
            }
        }
        metrics.bytes_sent.add(sent);
    }
}

impl Instance {
    fn carry_out_outcome(
        self: &Rc<Self>,
        subscriber: &Rc<Subscriber<Self>>,
        now: Instant,
        mut outcome: Outcome,
        output: &[u8],
    ) {
        self.carry_out_topics(subscriber, &mut outcome);
        if let Some(recipient) = subscriber.recipient() {
            recipient.take_outcome(now, &outcome, output);
        }
    }

    fn carry_out_topics(self: &Rc<Self>, subscriber: &Rc<Subscriber<Self>>, outcome: &mut Outcome) {
        let actions = std::mem::take(&mut outcome.topics);
        if let Some(resource) = subscriber.resource()
            && !actions.is_empty()
        {
            let caller = Caller {
                subscriber,
                instance: self,
                resource,
            };
            self.shared.topics.carry_out(caller, actions);
        }
    }

    /// Gives a publication to one connection, for which it has waited.
    pub(super) fn deliver_to_one(
        self: &Rc<Self>,
        subscriber: &Rc<Subscriber<Self>>,
        resource: ResourceAny,
        cause: Cause,
        waker: &Waker,
        arrived: &Rc<Arrived>,
        now: Instant,
    ) -> Call<Delivered> {
        let known = arrived.known(self.version.number);
        let delivery = Arc::clone(&arrived.delivery);
        let deliver = call!(guest => async {
            deliver_to(&mut guest, now, &delivery, &known, &[resource]).await
        });
        let (this, arrived, subscriber) =
            (Rc::clone(self), Rc::clone(arrived), Rc::clone(subscriber));
        self.call(cause, waker, deliver, move |deliveries: Deliveries| {
            this.shared.metrics.topics.delivered(arrived.prefix, 1);
            this.take_one(&subscriber, &arrived, deliveries)
        })
    }

    fn take_one(
        self: &Rc<Self>,
        subscriber: &Rc<Subscriber<Self>>,
        arrived: &Arrived,
        deliveries: Deliveries,
    ) -> Delivered {
        self.wake(&deliveries.wake_others);
        let version = self.version.number;
        for form in deliveries.forms {
            arrived.add(version, form.number, form.bytes);
        }
        let exception = deliveries.exceptions.into_iter().next();
        let number = match exception.map(|exception| exception.effect) {
            Some(ExceptionEffect::Outcome(mut outcome)) => {
                self.carry_out_topics(subscriber, &mut outcome);
                return Delivered::Outcome(outcome, deliveries.output);
            }
            Some(ExceptionEffect::Form(number)) => Some(number),
            None => deliveries.shared,
        };
        let form = number.and_then(|number| arrived.form(version, number));
        form.map_or(Delivered::Nothing, Delivered::Form)
    }
}

/// Checks that the exceptions are connections, that there is output for each, and that all forms are there.
fn check(
    deliveries: Deliveries,
    known: &[u32],
    connections: usize,
) -> Result<Deliveries, GuestFault> {
    let Deliveries {
        forms,
        shared,
        exceptions,
        output,
        ..
    } = &deliveries;
    let is_form =
        |number: &u32| known.contains(number) || forms.iter().any(|form| form.number == *number);
    let mut used = shared.iter().chain(exceptions.iter().filter_map(form_of));
    let in_order = exceptions.is_sorted_by(|one, next| one.index < next.index);
    let last = exceptions.last().map(|last| last.index as usize);
    let fits = in_order
        && last.is_none_or(|last| last < connections)
        && known.len().saturating_add(forms.len()) <= MAX_FORMS
        && used.all(is_form)
        && exceptions.iter().map(output_of).sum::<u64>() == output.len() as u64;
    if fits {
        return Ok(deliveries);
    }
    let text = "the result of deliver does not match its connections, forms or output";
    Err(FaultReason::Trap(text.into()).into())
}

fn form_of(exception: &Exception) -> Option<&u32> {
    match &exception.effect {
        ExceptionEffect::Form(number) => Some(number),
        ExceptionEffect::Outcome(_) => None,
    }
}

fn output_of(exception: &Exception) -> u64 {
    match &exception.effect {
        ExceptionEffect::Form(_) => 0,
        ExceptionEffect::Outcome(outcome) => outcome.output_length.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::bindings::{Form, Next};

    fn outcome(output_length: u32) -> ExceptionEffect {
        ExceptionEffect::Outcome(Outcome {
            output_length,
            wake_at: None,
            next: Next::Open,
            topics: Vec::new(),
        })
    }

    fn deliveries(exceptions: Vec<(u32, ExceptionEffect)>, output: usize) -> Deliveries {
        let exception = |(index, effect)| Exception { index, effect };
        Deliveries {
            forms: vec![Form {
                number: 7,
                bytes: vec![1],
            }],
            shared: Some(7),
            exceptions: exceptions.into_iter().map(exception).collect(),
            output: vec![0; output],
            wake_others: Vec::new(),
        }
    }

    #[test]
    fn deliveries_that_match_are_accepted() {
        use ExceptionEffect::Form;
        for (exceptions, output) in [
            (vec![], 0),
            (vec![(0, outcome(2)), (2, outcome(3))], 5),
            (vec![(1, Form(7)), (2, Form(9))], 0),
        ] {
            assert!(check(deliveries(exceptions, output), &[9], 3).is_ok());
        }
    }

    #[test]
    fn deliveries_that_do_not_match_are_a_fault() {
        use ExceptionEffect::Form;
        for (exceptions, output) in [
            (vec![], 1),
            (vec![(0, outcome(2))], 1),
            (vec![(1, outcome(0)), (0, outcome(0))], 0),
            (vec![(1, outcome(0)), (1, outcome(0))], 0),
            (vec![(3, outcome(0))], 0),
            (vec![(0, Form(8))], 0),
            (vec![(0, outcome(u32::MAX)), (1, outcome(u32::MAX))], 0),
        ] {
            assert!(check(deliveries(exceptions, output), &[9], 3).is_err());
        }
        let mut unknown = deliveries(vec![], 0);
        unknown.shared = Some(1);
        assert!(check(unknown, &[9], 3).is_err());
        let known: Vec<u32> = (100..164).collect();
        assert!(check(deliveries(vec![], 0), &known, 3).is_err());
    }
}
