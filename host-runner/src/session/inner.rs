//! The state of a session, and what each event does to it.

use std::future::Future;
use std::io;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use wasocket_host_core::turn::{self, Ending, Turn};

use crate::contract::bindings::{Effects, Instant, Next, Outcome, Report, ShutdownReason};
use crate::guest::fault::Dead;
use crate::limits::fair_share::FairShare;
use crate::limits::read_rate::ReadRate;
use crate::limits::unsent::UnsentShare;
use crate::net::stream::accepted::Accepted;
use crate::net::stream::closing::{END, Lost, linger};
use crate::net::stream::socket::Socket;
use crate::observe::access_log::{ABORTED, ConnectionEntry};
use crate::pool::wakeups::Signal;
use crate::pool::{Call, Connection};
use crate::session::Session;
use crate::session::read_buffer::Filled;
use crate::session::settings::SessionContext;
use crate::session::time_limits::{NEVER, TimeLimits};
use crate::session::timer::Timer;

/// The most bytes of one read that go into a batch. For longer reads, the call itself is a small part of the cost.
const MAX_BATCHED: usize = 2 * 1024;

/// The state of a session.
#[derive(Debug)]
pub(super) struct Inner {
    context: Rc<SessionContext>,
    socket: Socket<Accepted>,
    connection: Connection,
    final_bytes: Vec<u8>,
    /// Which calls may come next.
    turn: Turn,
    timer: Timer,
    /// When the last call into the guest was made.
    called_at: Instant,
    limits: TimeLimits,
    /// The read rate limit, if there is one.
    rate: Option<Box<ReadRate>>,
    unsent: UnsentShare,
    share: FairShare,
    entry: ConnectionEntry,
    /// The length of the latest output: at the end, of what has the Close frame in it.
    last_output: usize,
    /// Whether the call in progress was made at the instant that an earlier one asked for, as for a ping.
    is_timed: bool,
    /// Whether the peer has to acknowledge everything, or to make progress with it.
    awaits_delivery: bool,
    last_read: ReadSize,
    batch: Batch,
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

/// An event of a session.
#[derive(Debug)]
pub(super) enum Event {
    /// The number of bytes now in the worker's read buffer; 0 means end of stream.
    Received(usize),
    /// All output is sent, after some was unsent.
    Sent,
    /// The timer went off.
    Time,
    Signal(Signal),
    /// A batch was called, and its effects were carried out.
    Delivered(Option<Ending>),
}

impl Inner {
    pub(super) fn new(
        context: &Rc<SessionContext>,
        stream: Accepted,
        connection: Connection,
        final_bytes: Vec<u8>,
        entry: ConnectionEntry,
    ) -> Self {
        let settings = &context.settings;
        let now = context.clock.now();
        Self {
            socket: Socket::new(stream, context.max_backlog)
                .with_send_timeout(settings.send_timeout),
            share: FairShare::new(&context.turns, connection.client()),
            connection,
            final_bytes,
            turn: Turn::new(),
            timer: Timer::default(),
            called_at: now,
            limits: TimeLimits::new(settings, now),
            rate: ReadRate::new(settings.max_bytes_per_second, now),
            unsent: UnsentShare::new(&context.unsent),
            entry,
            last_output: 0,
            is_timed: false,
            awaits_delivery: false,
            last_read: ReadSize::Small,
            batch: Batch::NotJoined,
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
        let wake_at = self.limits.next().min(self.turn.wake_at().unwrap_or(NEVER));
        let wake_at = (wake_at < NEVER).then_some(wake_at);
        let clock = self.context.clock;
        self.timer.set(wake_at, self.called_at, clock)
    }

    /// Waits for the next event.
    pub(super) fn poll_event(
        &mut self,
        session: &Rc<Session>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Event>> {
        if let Batch::Joined { woken } = &mut self.batch {
            *woken = true;
            return Poll::Pending;
        }
        if let Batch::Delivered(outcome) = mem::replace(&mut self.batch, Batch::NotJoined) {
            return Poll::Ready(outcome.map(Event::Delivered));
        }
        match self.first {
            Source::Socket => {
                self.first = Source::Host;
                match self.poll_socket(session, context) {
                    Poll::Ready(event) => Poll::Ready(event),
                    Poll::Pending => self.poll_host(context).map(Ok),
                }
            }
            Source::Host => {
                self.first = Source::Socket;
                match self.poll_host(context) {
                    Poll::Ready(event) => Poll::Ready(Ok(event)),
                    Poll::Pending => self.poll_socket(session, context),
                }
            }
        }
    }

    fn poll_host(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if let Poll::Ready(signal) = self.connection.poll_signal(context) {
            return Poll::Ready(Event::Signal(signal));
        }
        self.timer.poll(context).map(|()| Event::Time)
    }

    /// Sends unsent output and reports when all of it is sent; otherwise receives, if the guest wants more.
    fn poll_socket(
        &mut self,
        session: &Rc<Session>,
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
        let mut most = self.share.most();
        if let Some(rate) = &mut self.rate {
            ready!(rate.poll(context));
            most = most.min(rate.most());
        }
        if !self.share.is_free() {
            // Only those that have something to read take a turn.
            ready!(self.socket.poll_readable(context));
            ready!(self.share.poll_turn(context));
        }
        let mut buffer = self.context.read_buffer.take();
        let most = most.min(buffer.len());
        let space = buffer.get_mut(..most).unwrap_or_default();
        let received = self.socket.poll_receive(context, space);
        let mut joined = false;
        if let Poll::Ready(Ok(length)) = received
            && self.rate.is_none()
            && self.may_join(length, context)
        {
            let bytes = buffer.get(..length).unwrap_or_default();
            joined = self.connection.join(session, bytes);
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
        self.context.metrics.bytes_received.add(length as u64);
    }

    /// Calls the guest, if the event requires it. No other task has run since the read, so the read buffer still holds
    /// the received bytes.
    ///
    /// # Errors
    ///
    /// If it is time to give up the connection instead.
    pub(super) fn call(&mut self, event: Event) -> io::Result<Option<Call<Effects>>> {
        let now = self.context.clock.now();
        // Closes with 1012, which tells clients to reconnect.
        let mut reason = ShutdownReason::ServiceRestart;
        let wake_at = self.turn.wake_at();
        self.is_timed = wake_at.is_some_and(|at| at > self.called_at && at <= now);
        let mut is_due = wake_at.is_some_and(|at| at <= now);
        let call = match event {
            Event::Received(0) => self.turn.on_eof(),
            Event::Received(length) => return Ok(Some(self.receive(now, length))),
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
            Event::Signal(Signal::Died) => return Ok(Some(Call::done(Err(Dead)))),
            Event::Delivered(_) => None,
        };
        let Some(call) = call else {
            return Ok(None);
        };
        self.called_at = now;
        Ok(match call {
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
            turn::Call::Lost | turn::Call::Report => None,
        })
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
        let stop = if expired { self.turn.on_stop() } else { None };
        Ok(stop.or_else(|| self.turn.on_time(now)))
    }

    fn receive(&mut self, now: Instant, length: usize) -> Call<Effects> {
        self.called_at = now;
        self.received(length);
        self.limits.note_activity(now);
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
            self.limits.note_activity(self.called_at);
            self.socket.send(output)?;
            let unsent = self.socket.unsent();
            // Output was added, not flushed, so this is no reason to wake the guest.
            let _ = self.turn.on_sent(unsent);
            self.unsent.set(unsent)?;
        }
        Ok(ending)
    }

    /// Carries out the effects of a batch. The task is woken only if it has something to do now.
    pub(super) fn deliver(&mut self, now: Instant, outcome: &Outcome, output: &[u8]) {
        let woken = matches!(self.batch, Batch::Joined { woken: true });
        self.batch = Batch::NotJoined;
        self.called_at = now;
        self.limits.note_activity(now);
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

    /// Returns the future that closes the socket, and logs and counts the end once the peer has all output, or has lost it.
    pub(super) fn end(
        self,
        outcome: io::Result<Ending>,
        report: Result<Report, Dead>,
    ) -> impl Future<Output = io::Result<()>> {
        let Self {
            context,
            mut socket,
            connection,
            final_bytes,
            mut entry,
            unsent,
            last_output,
            ..
        } = self;
        // The guest has had its last call, so its place is free before the peer has closed.
        drop(connection);
        entry.conclude(report.ok());
        // Boxed: needed only at the end, and inline it would enlarge every connection's task.
        Box::pin(async move {
            let metrics = &context.metrics;
            let counter = match &outcome {
                Ok(Ending::Close | Ending::Abort) => &metrics.ended_well,
                Ok(Ending::FinalBytes) => &metrics.ended_by_fault,
                Err(_) => &metrics.ended_by_failure,
            };
            let delivered = match outcome {
                Ok(Ending::Abort) => Ok(None),
                Ok(Ending::Close) => allow_lost_close(socket.deliver().await, last_output),
                Ok(Ending::FinalBytes) => match socket.send(&final_bytes) {
                    Ok(()) => allow_lost_close(socket.deliver().await, final_bytes.len()),
                    Err(error) => Err(socket.lost(error)),
                },
                Err(error) => Err(given_up(&socket, error)),
            };
            drop(unsent);
            if delivered.is_ok() {
                counter.count();
            } else {
                metrics.ended_by_failure.count();
            }
            if let Some(report) = entry.report() {
                metrics.reported(report);
            }
            entry.log(delivered.as_ref().err());
            drop(entry);
            if let Some(stream) = delivered? {
                linger(stream).await;
            }
            Ok(())
        })
    }
}

/// The loss of a socket that failed, or was given up. What the system has taken by the time it is given up is still sent.
fn given_up(socket: &Socket<Accepted>, error: io::Error) -> Lost {
    let is_given_up = error.kind() == io::ErrorKind::Other;
    let lost = socket.lost(error);
    if is_given_up && socket.unsent() == 0 {
        return Lost { bytes: 0, ..lost };
    }
    lost
}

/// The longest Close frame of a server (RFC 6455 §5.5).
const MAX_CLOSE_FRAME: usize = 127;

/// A peer that has gone without the Close frame at the end has lost nothing.
fn allow_lost_close<S>(delivered: Result<S, Lost>, last_output: usize) -> Result<Option<S>, Lost> {
    match delivered {
        Err(lost) if last_output <= MAX_CLOSE_FRAME && lost.bytes <= last_output + END => Ok(None),
        delivered => delivered.map(Some),
    }
}
