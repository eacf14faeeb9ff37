//! The state of a session, and what each event does to it.

use std::future::Future;
use std::io;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use wasocket_host_core::turn::{self, Ending, Turn};

use crate::contract::bindings::{Effects, Instant, Next, Outcome, Report, ShutdownReason};
use crate::guest::fault::Dead;
use crate::limits::read_rate::ReadRate;
use crate::limits::unsent::UnsentShare;
use crate::net::stream::accepted::Accepted;
use crate::net::stream::socket::Socket;
use crate::observe::access_log::ConnectionEntry;
use crate::pool::wakeups::Signal;
use crate::pool::{Call, Connection};
use crate::session::Session;
use crate::session::read_buffer::Filled;
use crate::session::settings::SessionContext;
use crate::session::time_limits::{NEVER, TimeLimits};
use crate::session::timer::Timer;

/// The longest reading, in bytes, that is given to the guest in a batch: with longer ones the call is not what
/// they cost.
const SMALL: usize = 2 * 1024;

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
    /// When the last call was made.
    called_at: Instant,
    limits: TimeLimits,
    /// How fast it may be read, if that is limited.
    rate: Option<Box<ReadRate>>,
    unsent: UnsentShare,
    entry: ConnectionEntry,
    last_read: Reading,
    batch: Batch,
    /// Polled first the next time.
    first: Source,
    waker: Option<Waker>,
}

/// How much was last read at once.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reading {
    Small,
    /// A long message is under way: what is read next is more of it, or of the next such.
    Large,
}

/// Whether what was read is in a batch.
#[derive(Debug)]
enum Batch {
    /// No.
    Apart,
    /// It is, and not with the guest yet. The task may have been woken meanwhile, and has to look again.
    Joined { woken: bool },
    /// The batch was called and its effects carried out, which the task is to go on with.
    Delivered(io::Result<Option<Ending>>),
}

/// What a session waits for. The two take turns at being polled first: one that is always ready, such as an app
/// that never rests, must not keep the other waiting.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Socket,
    /// Signals and the timer.
    Host,
}

/// What a session has waited for.
#[derive(Debug)]
pub(super) enum Event {
    /// The number of bytes now in the worker's read buffer; 0 means end of stream.
    Received(usize),
    /// All output is sent, where some was unsent.
    Sent,
    /// The timer has gone off.
    Time,
    Signal(Signal),
    /// A batch has been called, and its effects carried out.
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
            connection,
            final_bytes,
            turn: Turn::new(),
            timer: Timer::default(),
            called_at: now,
            limits: TimeLimits::new(settings, now),
            rate: ReadRate::new(settings.max_bytes_per_second, now),
            unsent: UnsentShare::new(&context.unsent),
            entry,
            last_read: Reading::Small,
            batch: Batch::Apart,
            first: Source::Socket,
            waker: None,
            context: Rc::clone(context),
        }
    }

    /// Logs and counts the end.
    pub(super) fn count_end(&mut self, outcome: &io::Result<Ending>, report: Result<Report, Dead>) {
        let metrics = &self.context.metrics;
        match outcome {
            Ok(Ending::Close | Ending::Abort) => metrics.ended_well.count(),
            Ok(Ending::FinalBytes) => metrics.ended_by_fault.count(),
            Err(_) => metrics.ended_by_failure.count(),
        }
        if let Ok(report) = &report {
            metrics.reported(report);
        }
        self.entry.log(report, outcome.as_ref().err());
    }

    /// Tells the guest that the connection is lost, unless it has let go of it.
    pub(super) fn lost(&mut self) -> Call<()> {
        match self.turn.on_lost() {
            Some(_) => self.connection.lost(self.context.clock.now()),
            None => Call::done(Ok(())),
        }
    }

    /// Asks the guest what became of the connection.
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

    /// Sets the timer to what is next to be done. Whether it has to be polled for that.
    pub(super) fn set_timer(&mut self) -> bool {
        let wake_at = self.limits.next().min(self.turn.wake_at().unwrap_or(NEVER));
        let wake_at = (wake_at < NEVER).then_some(wake_at);
        let clock = self.context.clock;
        self.timer.set(wake_at, self.called_at, clock)
    }

    /// Waits for what comes first.
    pub(super) fn poll_event(
        &mut self,
        session: &Rc<Session>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Event>> {
        if let Batch::Joined { woken } = &mut self.batch {
            *woken = true;
            return Poll::Pending;
        }
        if let Batch::Delivered(outcome) = mem::replace(&mut self.batch, Batch::Apart) {
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

    /// Sends what is unsent, and then says so; or receives, if the guest wants more.
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
        if !self.turn.may_receive() {
            return Poll::Pending;
        }
        let mut most = usize::MAX;
        if let Some(rate) = &mut self.rate {
            ready!(rate.poll(context));
            most = rate.most();
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
                self.received(length);
            }
        }
        self.context.read_buffer.put_back(buffer);
        if joined {
            return Poll::Pending;
        }
        received.map_ok(Event::Received)
    }

    /// Whether this number of bytes is all that there is for now, and small.
    fn may_join(&mut self, length: usize, context: &mut Context<'_>) -> bool {
        let now = if length > SMALL {
            Reading::Large
        } else {
            Reading::Small
        };
        let before = mem::replace(&mut self.last_read, now);
        if length == 0
            || now == Reading::Large
            || before == Reading::Large
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

    /// Calls the guest, if the event means a call. Between the reading and this no other task has run: the read
    /// buffer still holds what was received.
    ///
    /// # Errors
    ///
    /// When it is time to give the connection up instead.
    pub(super) fn call(&mut self, event: Event) -> io::Result<Option<Call<Effects>>> {
        let now = self.context.clock.now();
        // 1012: to connect again is worth it.
        let mut reason = ShutdownReason::ServiceRestart;
        let call = match event {
            Event::Received(0) => self.turn.on_eof(),
            Event::Received(length) => return Ok(Some(self.receive(now, length))),
            Event::Sent => self.turn.on_sent(self.socket.unsent()),
            Event::Time => self.on_time(now)?,
            Event::Signal(Signal::Woken) => self.turn.on_woken(),
            Event::Signal(Signal::Stop(given)) => {
                reason = given;
                self.turn.on_stop()
            }
            Event::Signal(Signal::Died) => return Ok(Some(Call::done(Err(Dead)))),
            Event::Delivered(_) => None,
        };
        let Some(call) = call else {
            return Ok(None);
        };
        self.called_at = now;
        Ok(match call {
            turn::Call::ReceiveEof => Some(self.connection.receive_eof(now)),
            turn::Call::Wake => Some(self.connection.wake(now, self.socket.unsent())),
            turn::Call::Shutdown => Some(self.connection.shutdown(now, reason)),
            turn::Call::Lost | turn::Call::Report => None,
        })
    }

    /// The host's own limits come first; a connection that has lasted as long as it may is asked to end.
    fn on_time(&mut self, now: Instant) -> io::Result<Option<turn::Call>> {
        let is_to_end = self.limits.check(now, self.socket.unsent() > 0)?;
        let stop = if is_to_end { self.turn.on_stop() } else { None };
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
        self.connection.receive(now, bytes, reuse)
    }

    pub(super) fn carry_out(
        &mut self,
        wake_at: Option<Instant>,
        next: Next,
        output: &[u8],
    ) -> io::Result<Option<Ending>> {
        let ending = self.turn.on_effects(next.into(), wake_at);
        if !output.is_empty() {
            self.entry.sent(output.len());
            self.context.metrics.bytes_sent.add(output.len() as u64);
            self.limits.note_activity(self.called_at);
            self.socket.send(output)?;
            let unsent = self.socket.unsent();
            // More output is no flush: there is nothing to wake for.
            let _ = self.turn.on_sent(unsent);
            self.unsent.set(unsent)?;
        }
        Ok(ending)
    }

    /// Sends what the guest answers in a batch. The task is not woken if it has nothing to do but wait on.
    pub(super) fn deliver(&mut self, now: Instant, outcome: &Outcome, output: &[u8]) {
        let woken = matches!(self.batch, Batch::Joined { woken: true });
        self.batch = Batch::Apart;
        self.called_at = now;
        self.limits.note_activity(now);
        let carried_out = self.carry_out(outcome.wake_at, outcome.next, output);
        let waits_on =
            matches!(carried_out, Ok(None)) && self.socket.is_flushed() && self.turn.may_receive();
        if self.set_timer() || woken || !waits_on {
            self.batch = Batch::Delivered(carried_out);
            self.wake_task();
        }
    }

    /// The batch will not be called: the task goes on without it.
    pub(super) fn forsake(&mut self) {
        self.batch = Batch::Apart;
        self.wake_task();
    }

    fn wake_task(&self) {
        self.waker.iter().for_each(Waker::wake_by_ref);
    }

    /// How the socket is closed, if not at once.
    pub(super) fn end(
        mut self,
        ending: Ending,
    ) -> io::Result<Option<impl Future<Output = io::Result<()>>>> {
        match ending {
            Ending::Abort => return Ok(None),
            Ending::Close => {}
            Ending::FinalBytes => self.socket.send(&self.final_bytes)?,
        }
        // The guest has had its last call; its place need not wait for the peer.
        drop(self.connection);
        Ok(Some(self.socket.close()))
    }
}
