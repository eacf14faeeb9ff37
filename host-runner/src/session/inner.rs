//! The state of a session, and what each event does to it.

use std::io;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use wasocket_host_core::turn::{self, Ending, Turn};

use crate::contract::bindings::{Effects, Instant, Next, Outcome, Report, ShutdownReason};
use crate::contract::clock::NEVER;
use crate::guest::fault::Dead;
use crate::limits::fair_share::FairShare;
use crate::limits::read_rate::ReadRate;
use crate::limits::unsent::UnsentShare;
use crate::net::stream::accepted::Accepted;
use crate::net::stream::socket::Socket;
use crate::observe::access_log::{ABORTED, ConnectionEntry};
use crate::pool::batch::Receiver;
use crate::pool::wakeups::Signal;
use crate::pool::{Call, Connection};
use crate::session::event::{Arrived, Called, Done, Event, Pushed};
use crate::session::moving::opportunity::Moving;
use crate::session::publish_rate::PublishRate;
use crate::session::read_buffer::Filled;
use crate::session::settings::SessionContext;
use crate::session::sleep::doze::Doze;
use crate::session::time_limits::TimeLimits;
use crate::session::timer::Timer;
use crate::topics::waiting::Due;

/// The most bytes of one read that go into a batch. For longer reads, the call itself is a small part of the cost.
const MAX_BATCHED: usize = 2 * 1024;

/// The state of a session.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) context: Rc<SessionContext>,
    pub(super) socket: Socket<Accepted>,
    pub(super) connection: Connection,
    pub(super) final_bytes: Vec<u8>,
    /// Which calls may come next.
    pub(super) turn: Turn,
    pub(super) timer: Timer,
    /// When the last call into the guest was made.
    pub(super) called_at: Instant,
    pub(super) limits: TimeLimits,
    pub(super) doze: Doze,
    /// Whether to sleep at the next opportunity.
    pub(super) is_sleepy: bool,
    /// What arrived while it slept.
    pub(super) arrived: Option<Box<Arrived>>,
    /// The read rate limit, if there is one.
    pub(super) rate: Option<Box<ReadRate>>,
    /// The limits on what it publishes, if there are any.
    pub(super) publish_rate: Option<Box<PublishRate>>,
    pub(super) unsent: UnsentShare,
    share: FairShare,
    pub(super) entry: ConnectionEntry,
    /// The length of the latest output: at the end, of what has the Close frame in it.
    pub(super) last_output: usize,
    /// Whether the call in progress was made at the instant that an earlier one asked for, as for a ping.
    pub(super) is_timed: bool,
    /// Whether the peer has to acknowledge everything, or to make progress with it.
    awaits_delivery: bool,
    last_read: ReadSize,
    batch: Batch,
    /// Whether a call is in progress whose effects have not been carried out.
    pub(super) is_in_call: bool,
    /// What a delivery has brought about.
    pub(super) pushed: Pushed,
    pub(super) moving: Moving,
    /// The version of the component that has refused the connection.
    pub(super) unfit: Option<u64>,
    /// Whether it is another process's now.
    pub(super) has_left: bool,
    /// The source to poll first next time.
    first: Source,
    waker: Option<Waker>,
}

/// The size of the last read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ReadSize {
    Small,
    /// A long message is being received: the next read is likely more of it, or of another one.
    Large,
}

/// Whether the bytes just read are in a batch.
#[derive(Debug)]
enum Batch {
    /// They are not.
    NotJoined,
    /// They are, and the guest does not have them yet. `woken`: whether the task was woken meanwhile and has to poll
    /// again.
    Joined { woken: bool },
    /// The batch was called and its effects were carried out, with this result for the task.
    Delivered(io::Result<Option<Ending>>),
}

/// A source of events. The two take turns at being polled first, so that one that is always ready, such as an app that
/// is always busy, does not starve the other.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Socket,
    /// Signals and the timer.
    Host,
}

impl Inner {
    pub(super) fn on(
        context: &Rc<SessionContext>,
        socket: Socket<Accepted>,
        connection: Connection,
        final_bytes: Vec<u8>,
        entry: ConnectionEntry,
    ) -> Self {
        let settings = &context.settings;
        let now = context.clock.now();
        Self {
            socket,
            share: FairShare::new(&context.turns, connection.client()),
            connection,
            final_bytes,
            turn: Turn::new(),
            timer: Timer::default(),
            called_at: now,
            limits: TimeLimits::new(settings, now),
            doze: Doze::new(settings.hibernate_after, now),
            is_sleepy: false,
            arrived: None,
            rate: ReadRate::new(settings.max_bytes_per_second, now),
            publish_rate: PublishRate::new(&context.topics, now),
            unsent: UnsentShare::new(&context.unsent),
            entry,
            last_output: 0,
            is_timed: false,
            awaits_delivery: false,
            last_read: ReadSize::Small,
            batch: Batch::NotJoined,
            is_in_call: false,
            pushed: Pushed::Nothing,
            moving: Moving::Settled,
            unfit: None,
            has_left: false,
            first: Source::Socket,
            waker: None,
            context: Rc::clone(context),
        }
    }

    /// Tells the guest that the connection is lost, unless the guest has already ended it.
    pub(super) fn lost(&mut self) -> Call<()> {
        match self.turn.on_lost() {
            Some(_) => self.connection.lost(self.context.clock.now()),
            None => Call::done(Ok(())),
        }
    }

    /// Asks the guest for its report on the connection.
    pub(super) fn report(&mut self) -> Call<Report> {
        match self.turn.on_report() {
            Some(_) => self.connection.report(),
            None => Call::done(Err(Dead)),
        }
    }

    /// The instance is dead.
    pub(super) fn died(&mut self) -> Ending {
        self.turn.on_died().unwrap_or(Ending::FinalBytes)
    }

    /// Sets the timer to the next deadline. Returns whether it must be polled to go off then.
    pub(super) fn set_timer(&mut self) -> bool {
        let wake_at = self.turn.wake_at().unwrap_or(NEVER);
        let wake_at = wake_at.min(self.limits.next()).min(self.doze.due());
        let wake_at = (wake_at < NEVER).then_some(wake_at);
        let clock = self.context.clock;
        self.timer.set(wake_at, self.called_at, clock)
    }

    /// Waits for the next event.
    pub(super) fn poll_event(
        &mut self,
        receiver: &Rc<impl Receiver + 'static>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Event>> {
        if let Batch::Joined { woken } = &mut self.batch {
            *woken = true;
            return Poll::Pending;
        }
        if let Batch::Delivered(outcome) = mem::replace(&mut self.batch, Batch::NotJoined) {
            return Poll::Ready(outcome.map(Event::Delivered));
        }
        if let Some(outcome) = self.take_pushed() {
            return Poll::Ready(outcome.map(Event::Delivered));
        }
        match self.first {
            Source::Socket => {
                self.first = Source::Host;
                match self.poll_socket(receiver, context) {
                    Poll::Ready(event) => Poll::Ready(event),
                    Poll::Pending => self.poll_host(context).map(Ok),
                }
            }
            Source::Host => {
                self.first = Source::Socket;
                match self.poll_host(context) {
                    Poll::Ready(event) => Poll::Ready(Ok(event)),
                    Poll::Pending => self.poll_socket(receiver, context),
                }
            }
        }
    }

    fn poll_host(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if let Poll::Ready(signal) = self.connection.poll_signal(context) {
            return Poll::Ready(Event::Signal(signal));
        }
        if let Poll::Ready(due) = self.poll_due(context) {
            return Poll::Ready(due);
        }
        self.timer.poll(context).map(|()| Event::Time)
    }

    /// Sends unsent output and reports when all of it is sent; otherwise receives, if the guest wants more.
    fn poll_socket(
        &mut self,
        receiver: &Rc<impl Receiver + 'static>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Event>> {
        if !self.socket.is_flushed() {
            let flushed = self.socket.poll_flush(context);
            self.unsent.set(self.socket.unsent())?;
            ready!(flushed)?;
            if self.turn.unsent() > 0 {
                return Poll::Ready(Ok(Event::Sent));
            }
        }
        if self.awaits_delivery {
            self.awaits_delivery = self.socket.poll_delivered(context)?.is_pending();
        }
        if !self.turn.may_receive() {
            return Poll::Pending;
        }
        if let Some(rate) = &mut self.publish_rate {
            let totals = self.connection.subscriber().totals();
            ready!(rate.poll(totals, || self.context.clock.now(), context));
        }
        let mut most = self.share.most();
        if let Some(rate) = &mut self.rate {
            ready!(rate.poll(context));
            most = most.min(rate.most());
        }
        if self.arrived.is_none() && !self.share.is_free() {
            // Only those that have something to read take a turn.
            ready!(self.socket.poll_readable(context));
            ready!(self.share.poll_turn(context));
        }
        let mut buffer = self.context.read_buffer.take();
        let received = self.poll_read(context, &mut buffer, most);
        let mut joined = false;
        if let Poll::Ready(Ok(length)) = received
            && self.rate.is_none()
            && self.may_join(length, context)
        {
            let bytes = buffer.get(..length).unwrap_or_default();
            joined = self.connection.join(receiver, bytes);
            if joined {
                self.batch = Batch::Joined { woken: false };
                self.share.joined(length);
                self.received(length);
            }
        }
        self.context.read_buffer.put_back(buffer);
        if joined {
            return Poll::Pending;
        }
        received.map_ok(Event::Received)
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
        most: usize,
    ) -> Poll<io::Result<usize>> {
        if let Some(arrived) = self.arrived.take() {
            return Poll::Ready(arrived.copy_to(buffer));
        }
        let most = most.min(buffer.len());
        let space = buffer.get_mut(..most).unwrap_or_default();
        self.socket.poll_receive(context, space)
    }

    /// Whether a read of this length may join a batch: it is small, and nothing more is readable for now.
    fn may_join(&mut self, length: usize, context: &mut Context<'_>) -> bool {
        let now = if length > MAX_BATCHED {
            ReadSize::Large
        } else {
            ReadSize::Small
        };
        let before = mem::replace(&mut self.last_read, now);
        if length == 0
            || now == ReadSize::Large
            || before == ReadSize::Large
            || self.socket.poll_readable(context).is_ready()
        {
            return false;
        }
        match &mut self.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        true
    }

    fn received(&mut self, length: usize) {
        self.entry.received(length);
        self.doze.received(length);
        self.context.metrics.bytes_received.add(length as u64);
    }

    /// Calls the guest, if the event requires it. No other task has run since the read, so the read buffer still holds
    /// the received bytes.
    ///
    /// # Errors
    ///
    /// If it is time to give up the connection instead.
    pub(super) fn call(&mut self, event: Event) -> io::Result<Option<Called>> {
        let called = self.make_call(event)?;
        self.is_in_call = called.is_some();
        Ok(called)
    }

    /// The effects of the call have been carried out, or there are none.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_in_call && matches!(self.batch, Batch::NotJoined)
    }

    fn make_call(&mut self, event: Event) -> io::Result<Option<Called>> {
        let now = self.context.clock.now();
        // Closes with 1012, which tells clients to reconnect.
        let mut reason = ShutdownReason::ServiceRestart;
        let wake_at = self.turn.wake_at();
        self.is_timed = wake_at.is_some_and(|at| at > self.called_at && at <= now);
        let mut is_due = wake_at.is_some_and(|at| at <= now);
        let call = match event {
            Event::Received(0) => self.turn.on_eof(),
            Event::Received(length) => return Ok(Some(self.receive(now, length).into())),
            Event::Sent => self.turn.on_sent(self.socket.unsent()),
            Event::Time => {
                is_due = true;
                self.on_time(now)?
            }
            Event::Signal(Signal::Woken) => self.turn.on_woken(),
            Event::Signal(Signal::Stop(given)) => {
                reason = given;
                self.turn.on_stop()
            }
            Event::Signal(Signal::Cut) => return Err(io::Error::other(ABORTED)),
            Event::Signal(Signal::Move) => {
                self.moving = Moving::asked();
                None
            }
            Event::Signal(Signal::Overdue) => self.on_overdue(),
            Event::Signal(Signal::Died) => return Ok(Some(Call::done(Err(Dead)).into())),
            Event::Due(due) => return Ok(Some(self.give(now, due))),
            Event::Delivered(_) => None,
        };
        let Some(call) = call else {
            return Ok(None);
        };
        self.called_at = now;
        let call = match call {
            turn::Call::ReceiveEof => Some(self.connection.receive_eof(now)),
            turn::Call::Wake => {
                let unsent = if is_due {
                    self.undelivered()
                } else {
                    self.socket.unsent()
                };
                Some(self.connection.wake(now, unsent))
            }
            turn::Call::Shutdown => Some(self.connection.shutdown(now, reason)),
            turn::Call::Lost | turn::Call::Report | turn::Call::Resume => None,
        };
        Ok(call.map(Called::from))
    }

    /// Gives the connection what has waited for it.
    fn give(&mut self, now: Instant, due: Due) -> Called {
        self.called_at = now;
        match due {
            Due::Publication(arrived) => Called::Deliver(self.connection.deliver(now, &arrived)),
            Due::Event(event) => self.connection.tell(now, event).into(),
        }
    }

    /// The number of unsent bytes, as the contract counts them: the last one until the peer has acknowledged it. From now on
    /// the peer has to acknowledge something within the send timeout.
    fn undelivered(&mut self) -> usize {
        let unsent = self.socket.unsent();
        if unsent > 0 || self.socket.undelivered() == 0 {
            return unsent;
        }
        self.awaits_delivery = true;
        1
    }

    /// Checks the host's own limits first, and asks a connection at its maximum lifetime to close.
    fn on_time(&mut self, now: Instant) -> io::Result<Option<turn::Call>> {
        let has_unsent = self.undelivered() > 0;
        let expired = self.limits.check(now, has_unsent)?;
        self.is_sleepy = now >= self.doze.due();
        let stop = if expired { self.turn.on_stop() } else { None };
        Ok(stop.or_else(|| self.turn.on_time(now)))
    }

    fn receive(&mut self, now: Instant, length: usize) -> Call<Effects> {
        self.called_at = now;
        self.received(length);
        self.note_activity(now);
        if let Some(rate) = &mut self.rate {
            rate.received(length, now);
        }
        let read_buffer = Rc::clone(&self.context.read_buffer);
        let buffer = read_buffer.take();
        let bytes = Filled { buffer, length };
        let reuse = move |bytes: Filled| read_buffer.put_back(bytes.buffer);
        let call = self.connection.receive(now, bytes, reuse);
        let took = self.context.clock.now().saturating_sub(now);
        self.share.called(length, Duration::from_nanos(took));
        call
    }

    /// Something was received or sent.
    pub(super) fn note_activity(&mut self, now: Instant) {
        self.limits.note_activity(now);
        self.doze.note_use(now);
    }

    /// Carries out what the call that is done has brought about.
    pub(super) fn carry_out_call(&mut self, done: Done) -> io::Result<Option<Ending>> {
        self.is_in_call = false;
        match done {
            Done::Effects(effects) => {
                self.carry_out(effects.wake_at, effects.next, &effects.output)
            }
            Done::Delivered(delivered) => self.carry_out_delivered(self.called_at, delivered),
        }
    }

    pub(super) fn carry_out(
        &mut self,
        wake_at: Option<Instant>,
        next: Next,
        output: &[u8],
    ) -> io::Result<Option<Ending>> {
        let ending = self.turn.on_effects(next.into(), wake_at);
        if !output.is_empty() {
            self.last_output = output.len();
            self.awaits_delivery |= self.is_timed;
            self.entry.sent(output.len());
            self.context.metrics.bytes_sent.add(output.len() as u64);
            self.doze.sent(self.is_timed);
            self.note_activity(self.called_at);
            self.socket.send(output)?;
            let unsent = self.socket.unsent();
            // Output was added, not flushed, so this is no reason to wake the guest.
            let _ = self.turn.on_sent(unsent);
            self.unsent.set(unsent)?;
        }
        Ok(ending)
    }

    /// Carries out the effects of a batch. The task is woken only if it has something to do now.
    pub(super) fn deliver(&mut self, now: Instant, mut outcome: Outcome, output: &[u8]) {
        let mut woken = matches!(self.batch, Batch::Joined { woken: true }) || self.moving.is_due();
        if !outcome.topics.is_empty() {
            self.connection.carry_out(mem::take(&mut outcome.topics));
            woken |= self.connection.subscriber().needs_poll();
        }
        self.batch = Batch::NotJoined;
        self.called_at = now;
        self.is_timed = false;
        self.note_activity(now);
        let carried_out = self.carry_out(outcome.wake_at, outcome.next, output);
        let only_waits =
            matches!(carried_out, Ok(None)) && self.socket.is_flushed() && self.turn.may_receive();
        if self.set_timer() || woken || !only_waits {
            self.batch = Batch::Delivered(carried_out);
            self.wake_task();
        }
    }

    /// Wakes the task, as the batch brings no result.
    pub(super) fn cancel_batch(&mut self) {
        self.batch = Batch::NotJoined;
        self.wake_task();
    }

    fn wake_task(&self) {
        self.waker.iter().for_each(Waker::wake_by_ref);
    }
}
