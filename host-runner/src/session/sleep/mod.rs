//! A session whose connection sleeps: a socket and the time at which to wake it, without an instance.
//!
//! ```text
//!   Session ── suspend ── fall_asleep ──▶ Sleeping ── poll_wake ── wake ──▶ Session
//! ```

pub(super) mod doze;
pub(crate) mod in_common;
mod latest;
mod vigil;

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Sleep, sleep_until};
use wasocket_host_core::turn::Ending;

use self::vigil::{Due, Vigil};
use crate::contract::bindings::Instant;
use crate::contract::clock::NEVER;
use crate::guest::fault::Dead;
use crate::limits::fair_share::FairShare;
use crate::limits::read_rate::ReadRate;
use crate::limits::unsent::UnsentShare;
use crate::net::stream::Stream as _;
use crate::net::stream::accepted::Accepted;
use crate::observe::access_log::ConnectionEntry;
use crate::observe::metrics::sleep::Reason;
use crate::pool::wakeups::Signal;
use crate::pool::{Asleep, Resumed, Suspended, Woken};
use crate::session::Session;
use crate::session::ending::{Closing, Remains};
use crate::session::event::Arrived;
use crate::session::inner::Inner;
use crate::session::publish_rate::PublishRate;
use crate::session::settings::SessionContext;
use crate::session::time_limits::TimeLimits;
use crate::session::timer::Timer;

/// The most bytes that are read of a connection that sleeps, and kept until it is awake.
const MAX_READ: usize = 1024;

/// A session whose connection sleeps.
#[derive(Debug)]
pub(super) struct Sleeping {
    context: Rc<SessionContext>,
    stream: Accepted,
    /// What the system has not taken.
    unsent: Box<[u8]>,
    asleep: Asleep,
    final_bytes: Rc<Vec<u8>>,
    /// When the connection is to be woken, unless there are pings.
    wake_at: Instant,
    /// Goes off when something is due, or before.
    timer: Option<Pin<Box<Sleep>>>,
    limits: TimeLimits,
    rate: Option<Box<ReadRate>>,
    publish_rate: Option<Box<PublishRate>>,
    entry: ConnectionEntry,
    last_output: usize,
    arrived: Option<Box<Arrived>>,
    /// `None` if the connection is woken for its pings.
    vigil: Option<Vigil>,
}

impl Inner {
    /// Whether the connection is to sleep, and may be suspended now.
    pub(super) fn may_sleep(&mut self) -> bool {
        if !std::mem::take(&mut self.is_sleepy) {
            return false;
        }
        let may_sleep = self.is_unoccupied();
        if !may_sleep {
            self.doze.refused(self.context.clock.now());
        }
        may_sleep
    }

    /// Whether nothing is in progress, and nothing waits.
    fn is_unoccupied(&self) -> bool {
        self.is_idle()
            && self.is_at_rest()
            && !self.moving.is_due()
            && self.connection.is_quiet()
            && !self.connection.is_outdated()
            && !self.connection.subscriber().has_waiting()
    }
}

impl Session {
    /// The state of the connection; `None` if it stays awake.
    pub(super) async fn suspend(self: &Rc<Self>) -> Option<Suspended> {
        let suspend = {
            let mut inner = self.inner();
            // Nothing is delivered until the connection sleeps or stays awake.
            inner.is_in_call = true;
            inner.connection.suspend(inner.context.clock.now())
        };
        let suspended = suspend.await;
        let mut inner = self.inner();
        inner.is_in_call = false;
        // If the instance is dead, the connection is told of that.
        let suspended = suspended.ok().flatten();
        if suspended.is_some() && inner.is_unoccupied() {
            return suspended;
        }
        let now = inner.context.clock.now();
        inner.doze.refused(now);
        None
    }

    /// Takes the connection off its instance. Returns the session, if something else holds it.
    pub(super) fn fall_asleep(
        self: Rc<Self>,
        suspended: Suspended,
    ) -> Result<Box<Sleeping>, Rc<Self>> {
        let Self(inner) = Rc::try_unwrap(self)?;
        Ok(Box::new(inner.into_inner().fall_asleep(suspended)))
    }
}

impl Inner {
    fn fall_asleep(self, mut suspended: Suspended) -> Sleeping {
        let keepalive = suspended.keepalive.take();
        let in_common = &self.context.sleep;
        let vigil = keepalive.map(|keepalive| Vigil::new(keepalive, &in_common.terms));
        let final_bytes = in_common.final_bytes.shared(self.final_bytes);
        let asleep = self.context.pool.put_to_sleep(self.connection, suspended);
        self.context.metrics.sleep.fell_asleep.count();
        let mut sleeping = Sleeping {
            stream: self.socket.into_stream(),
            unsent: Box::default(),
            asleep,
            final_bytes,
            wake_at: self.turn.wake_at().unwrap_or(NEVER),
            timer: self.timer.into_sleep(),
            limits: self.limits,
            rate: self.rate,
            publish_rate: self.publish_rate,
            entry: self.entry,
            last_output: self.last_output,
            arrived: None,
            vigil,
            context: self.context,
        };
        sleeping.set_timer();
        sleeping
    }
}

impl Sleeping {
    fn set_timer(&mut self) {
        let wake_at = self.wake_at().min(self.limits.next());
        let instant = self.context.clock.at(wake_at);
        match (&mut self.timer, instant) {
            // It goes off before, and is set again then.
            (Some(timer), Some(instant)) if timer.deadline() <= instant && !timer.is_elapsed() => {}
            (Some(timer), Some(instant)) => timer.as_mut().reset(instant),
            (none, Some(instant)) => *none = Some(Box::pin(sleep_until(instant))),
            (timer, None) => *timer = None,
        }
    }

    /// When something is due for the connection.
    fn wake_at(&self) -> Instant {
        match &self.vigil {
            Some(vigil) => vigil.next(),
            None => self.wake_at,
        }
    }

    /// Waits for a reason to wake.
    pub(super) fn poll_wake(&mut self, context: &mut Context<'_>) -> Poll<Reason> {
        if self.poll_stop(context).is_ready() {
            return Poll::Ready(Reason::Stop);
        }
        if self.asleep.poll_waiting(context).is_ready() {
            return Poll::Ready(Reason::Topic);
        }
        if let Poll::Ready(arrived) = self.poll_socket(context) {
            self.arrived = Some(Box::new(arrived));
            return Poll::Ready(Reason::Input);
        }
        self.poll_time(context)
    }

    /// Ready when it is time to wake. Sends the pings that are due before.
    fn poll_time(&mut self, context: &mut Context<'_>) -> Poll<Reason> {
        loop {
            let Some(timer) = &mut self.timer else {
                return Poll::Pending;
            };
            ready!(timer.as_mut().poll(context));
            let now = self.context.clock.now();
            let due = match &self.vigil {
                _ if self.limits.next() <= now => Due::Wake,
                Some(vigil) => vigil.due(now),
                None if self.wake_at() <= now => Due::Wake,
                None => Due::Nothing,
            };
            match due {
                Due::Wake => return Poll::Ready(Reason::Time),
                Due::Ping if !self.ping(now) => return Poll::Ready(Reason::Time),
                Due::Ping | Due::Nothing => self.set_timer(),
            }
        }
    }

    /// Sends a ping. Returns whether the system has taken it.
    fn ping(&mut self, now: Instant) -> bool {
        let Some(vigil) = &mut self.vigil else {
            return true;
        };
        let ping = vigil.ping(now);
        self.last_output = ping.len();
        self.entry.sent(ping.len());
        let metrics = &self.context.metrics;
        metrics.bytes_sent.add(ping.len() as u64);
        metrics.sleep.pings.count();
        self.limits.note_activity(now);
        match self.stream.try_write(ping) {
            Ok(sent) => {
                let rest = ping.get(sent..).unwrap_or_default();
                self.unsent = rest.into();
                rest.is_empty() && self.stream.is_flushed()
            }
            Err(error) => {
                self.arrived = Some(Box::new(Arrived::Failure(error)));
                false
            }
        }
    }

    /// Ready when the connection is to end.
    fn poll_stop(&self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match ready!(self.asleep.poll_signal(context)) {
                signal @ (Signal::Stop(_) | Signal::Cut) => {
                    // For the connection, once it is awake.
                    self.asleep.raise(signal);
                    return Poll::Ready(());
                }
                // Its instance, once it has one, asks it again.
                Signal::Move if self.context.exit.is_open() => return Poll::Ready(()),
                // It moves when it wakes. What its instance was is over.
                Signal::Move | Signal::Overdue | Signal::Woken | Signal::Died => {}
            }
        }
    }

    /// Ready when something has arrived that is not the answer to a ping.
    fn poll_socket(&mut self, context: &mut Context<'_>) -> Poll<Arrived> {
        loop {
            let mut arrived = ready!(self.poll_read(context));
            if self.is_answer(&mut arrived) {
                self.set_timer();
            } else {
                return Poll::Ready(arrived);
            }
        }
    }

    /// Takes the answer to a ping off what has arrived. Returns whether it was all.
    fn is_answer(&mut self, arrived: &mut Arrived) -> bool {
        let (Some(vigil), Arrived::Bytes(bytes)) = (&mut self.vigil, arrived) else {
            return false;
        };
        let now = self.context.clock.now();
        let length = vigil.answered(bytes, now);
        if length == 0 {
            return false;
        }
        bytes.drain(..length);
        self.entry.received(length);
        self.context.metrics.bytes_received.add(length as u64);
        self.limits.note_activity(now);
        if let Some(rate) = &mut self.rate {
            rate.received(length, now);
        }
        bytes.is_empty()
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Arrived> {
        let mut most = MAX_READ;
        if let Some(rate) = &mut self.rate {
            ready!(rate.poll(context));
            most = most.min(rate.most());
        }
        let mut buffer = self.context.read_buffer.take();
        let mut space = ReadBuf::new(buffer.get_mut(..most).unwrap_or_default());
        let received = Pin::new(&mut self.stream).poll_read(context, &mut space);
        let arrived = received.map(|received| match received {
            Ok(()) => Arrived::Bytes(space.filled().to_vec()),
            Err(error) => Arrived::Failure(error),
        });
        self.context.read_buffer.put_back(buffer);
        arrived
    }

    /// Wakes the connection, and begins its session again.
    ///
    /// # Errors
    ///
    /// The future that closes the socket, if no instance can resume the connection.
    pub(super) async fn wake(
        self: Box<Self>,
        reason: Reason,
    ) -> Result<(Rc<Session>, io::Result<Option<Ending>>), Closing> {
        let context = Rc::clone(&self.context);
        context.metrics.sleep.woken(reason);
        let mut share = FairShare::new(&context.turns, self.asleep.client());
        if !share.is_free() {
            poll_fn(|context| share.poll_turn(context)).await;
        }
        let published = self.asleep.published();
        let (asleep, rest) = self.into_parts(reason);
        match context.pool.wake(asleep, context.clock).await {
            Ok(woken) => {
                share.called(0, woken.took);
                Ok(rest.resume(woken))
            }
            Err(Dead) => {
                context.metrics.sleep.lost.count();
                Err(rest.end(published))
            }
        }
    }

    fn into_parts(self: Box<Self>, reason: Reason) -> (Asleep, Parts) {
        let Self {
            context,
            stream,
            unsent,
            mut asleep,
            final_bytes,
            timer,
            limits,
            rate,
            publish_rate,
            entry,
            last_output,
            mut arrived,
            vigil,
            ..
        } = *self;
        let mut socket = Session::socket(&context, stream);
        if let Err(error) = socket.send(&unsent) {
            arrived = Some(Box::new(Arrived::Failure(error)));
        }
        let kept = vigil.map(|vigil| vigil.kept).unwrap_or_default();
        asleep.set_kept(kept.woken(reason));
        let parts = Parts {
            timer: Timer::with(timer),
            limits,
            rate,
            publish_rate,
            arrived,
            remains: Remains {
                unsent: UnsentShare::new(&context.unsent),
                context,
                socket,
                final_bytes: final_bytes.to_vec(),
                entry,
                last_output,
            },
        };
        (asleep, parts)
    }
}

/// A session without its connection, while that is woken.
struct Parts {
    timer: Timer,
    limits: TimeLimits,
    rate: Option<Box<ReadRate>>,
    publish_rate: Option<Box<PublishRate>>,
    arrived: Option<Box<Arrived>>,
    remains: Remains,
}

impl Parts {
    /// The session goes on with the connection that has been woken.
    fn resume(self, woken: Woken) -> (Rc<Session>, io::Result<Option<Ending>>) {
        let Remains {
            context,
            socket,
            entry,
            last_output,
            ..
        } = self.remains;
        if woken.has_moved {
            context.metrics.swap.moved_asleep();
        }
        let Resumed {
            connection,
            final_bytes,
            effects,
        } = woken.resumed;
        let mut inner = Inner::on(&context, socket, connection, final_bytes, entry);
        inner.timer = self.timer;
        inner.limits = self.limits;
        inner.rate = self.rate;
        inner.publish_rate = self.publish_rate;
        inner.arrived = self.arrived;
        inner.unfit = woken.refused_by;
        inner.last_output = last_output;
        let session = Session::of(inner);
        let begun = session
            .inner()
            .carry_out(effects.wake_at, effects.next, &effects.output);
        (session, begun)
    }

    /// Ends the session: there is no connection any more.
    fn end(mut self, published: u64) -> Closing {
        self.remains.entry.published(published);
        self.remains.end(Ok(Ending::FinalBytes), Err(Dead))
    }
}
