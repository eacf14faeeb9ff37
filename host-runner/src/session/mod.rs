//! The bytes between a socket and a guest's connection.
//!
//! One loop: something happens, the guest is called, its effects are carried out. It is told in
//! `wit/websocket-handler.wit` what may happen and in which order.

pub mod read_buffer;
pub mod timer;

use std::cell::{RefCell, RefMut};
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use crate::contract::bindings::{Effects, Instant, Next, Outcome, Report, ShutdownReason};
use crate::guest::fault::Dead;
use crate::http::worker::Worker;
use crate::limits::read_rate::Rate;
use crate::limits::unsent::Debt;
use crate::net::stream::accepted::Accepted;
use crate::net::stream::socket::Socket;
use crate::observe::access_log::Access;
use crate::pool::Call;
use crate::pool::Connection;
use crate::pool::batch::Receiver;
use crate::pool::wakeups::Signal;
use crate::session::read_buffer::Filled;
use crate::session::timer::Timer;

/// How long a connection that has lasted as long as it may has to end.
const GRACE: Duration = Duration::from_secs(10);

/// The longest reading that is given to the guest together with those of others, in bytes: with longer ones the
/// call is not what they cost.
const SMALL: usize = 2 * 1024;

/// A socket in the hands of a guest. Its task has it, and a batch for the time that it is in one.
#[derive(Debug)]
pub struct Session(RefCell<Line>);

#[derive(Debug)]
struct Line {
    worker: Rc<Worker>,
    socket: Socket<Accepted>,
    connection: Connection,
    farewell: Vec<u8>,
    wake_at: Option<Instant>,
    timer: Timer,
    /// When the last call was made.
    called_at: Instant,
    /// The guest wants nothing more to be read.
    paused: bool,
    /// The guest has nothing more to do with the socket, and is not told what becomes of it.
    released: bool,
    /// The guest has been told that the connection is to end.
    stopped: bool,
    /// Who was asked first, the last time.
    socket_first: bool,
    access: Access,
    /// How fast it may be read, if that is limited.
    rate: Option<Box<Rate>>,
    debt: Debt,
    /// When something was last received or sent.
    active_at: Instant,
    /// When it has lasted as long as it may, and whether the guest knows.
    ends_at: Instant,
    outlived: bool,
    /// A long message is under way: what is read next is more of it, or of the next such.
    in_large: bool,
    /// What was read is in a batch, and not with the guest yet.
    joined: bool,
    /// The task was woken meanwhile, and has to look again.
    missed: bool,
    /// What has come of a batch, if the task is to go on with it.
    carried_out: Option<io::Result<Option<Ending>>>,
    waker: Option<Waker>,
}

/// What a session waits for.
#[derive(Debug)]
enum Event {
    /// So many bytes are in the worker's read buffer; none is the end of stream.
    Received(usize),
    /// The time has come, or all output is sent that was not.
    Wake,
    Signal(Signal),
    /// A batch has been called, and its effects carried out.
    CarriedOut(Option<Ending>),
}

/// How a session ends.
#[derive(Debug)]
enum Ending {
    /// All output is sent, and the peer can read it.
    Close,
    /// At once.
    Abort,
    /// The instance is dead: the farewell, then as `Close`.
    Died,
}

impl Session {
    /// A session whose connection has been opened. On the heap: moved about between futures, it would be room
    /// in each of them, for as long as the connection lives.
    pub fn new(
        worker: Rc<Worker>,
        stream: Accepted,
        connection: Connection,
        farewell: Vec<u8>,
        access: Access,
    ) -> Rc<Self> {
        let socket = Socket::new(stream, worker.max_backlog).with_send_timeout(worker.send_timeout);
        let now = worker.now();
        Rc::new(Self(RefCell::new(Line {
            called_at: now,
            rate: Rate::new(worker.max_bytes_per_second, now),
            debt: Debt::new(&worker.shared.debts),
            active_at: now,
            ends_at: after(now, worker.max_lifetime),
            outlived: false,
            worker,
            socket,
            connection,
            farewell,
            wake_at: None,
            timer: Timer::default(),
            paused: false,
            released: false,
            stopped: false,
            socket_first: false,
            access,
            in_large: false,
            joined: false,
            missed: false,
            carried_out: None,
            waker: None,
        })))
    }

    /// Serves the socket to its end. `head` and what the guest answered to `open` go out first, in one write,
    /// and at once: they would be room in the future.
    ///
    /// # Errors
    ///
    /// When the socket failed.
    pub fn run(
        self: Rc<Self>,
        mut head: Vec<u8>,
        mut opened: Effects,
    ) -> impl Future<Output = io::Result<()>> {
        head.append(&mut opened.output);
        let begun = self.line().carry_out(opened.wake_at, opened.next, &head);
        async move {
            let outcome = match begun {
                Ok(None) => self.converse().await,
                Ok(Some(ending)) => Ok(ending),
                Err(error) => Err(error),
            };
            if outcome.is_err() {
                let lost = self.line().lost();
                // With a dead instance it is lost anyway.
                let _ = lost.await;
            }
            let report = self.line().connection.report();
            let report = report.await;
            self.line().count_end(&outcome, report);
            match self.end(outcome?)? {
                Some(closing) => closing.await,
                None => Ok(()),
            }
        }
    }

    /// How the socket is closed, if it is not to be at once. No function that waits: in its future, too, there would
    /// be room for what is taken apart here.
    fn end(
        self: Rc<Self>,
        ending: Ending,
    ) -> io::Result<Option<impl Future<Output = io::Result<()>>>> {
        // No batch has it any more: nothing ends while one does.
        match Rc::into_inner(self) {
            Some(Self(line)) => line.into_inner().end(ending),
            None => Ok(None),
        }
    }

    fn line(&self) -> RefMut<'_, Line> {
        self.0.borrow_mut()
    }

    async fn converse(self: &Rc<Self>) -> io::Result<Ending> {
        loop {
            self.line().set_timer();
            let event = poll_fn(|context| self.line().poll_event(self, context)).await?;
            let called = match event {
                Event::CarriedOut(Some(ending)) => return Ok(ending),
                Event::CarriedOut(None) => continue,
                event => self.line().call(event)?,
            };
            let Ok(effects) = called.await else {
                return Ok(Ending::Died);
            };
            let Effects {
                wake_at,
                next,
                output,
                ..
            } = effects;
            if let Some(ending) = self.line().carry_out(wake_at, next, &output)? {
                return Ok(ending);
            }
        }
    }
}

impl Receiver for Session {
    /// Sends what the guest answers. The task is not woken if it has nothing to do but wait on.
    fn deliver(&self, now: Instant, outcome: &Outcome, output: &[u8]) {
        let line = &mut *self.line();
        line.joined = false;
        line.called_at = now;
        line.active_at = now;
        let carried_out = line.carry_out(outcome.wake_at, outcome.next, output);
        let waits_on = matches!(carried_out, Ok(None)) && line.socket.is_flushed() && !line.paused;
        if line.set_timer() || line.missed || !waits_on {
            line.missed = false;
            line.carried_out = Some(carried_out);
            line.wake_task();
        }
    }

    fn forsake(&self) {
        let line = &mut *self.line();
        line.joined = false;
        line.wake_task();
    }
}

impl Line {
    /// Logs and counts the end.
    fn count_end(&mut self, outcome: &io::Result<Ending>, report: Result<Report, Dead>) {
        let metrics = &self.worker.metrics;
        match outcome {
            Ok(Ending::Close | Ending::Abort) => metrics.ended_well.count(),
            Ok(Ending::Died) => metrics.ended_by_fault.count(),
            Err(_) => metrics.ended_by_failure.count(),
        }
        if let Ok(report) = &report {
            metrics.reported(report);
        }
        self.access.log(report, outcome.as_ref().err());
    }

    fn wake_task(&self) {
        self.waker.iter().for_each(Waker::wake_by_ref);
    }

    /// The connection is lost, unless the guest has let go of it.
    fn lost(&self) -> Call<()> {
        match self.released {
            true => Call::done(Ok(())),
            false => self.connection.lost(self.worker.now()),
        }
    }

    /// Sets the timer to what is next to be done. Whether it is to be polled then.
    fn set_timer(&mut self) -> bool {
        let wake_at = self.limited_until().min(self.wake_at.unwrap_or(NEVER));
        let wake_at = (wake_at < NEVER).then_some(wake_at);
        self.timer.set(wake_at, self.called_at, &self.worker)
    }

    /// Waits for what comes first. The socket and the rest take turns at being asked first: what is always
    /// ready, as an app that never rests, must not keep the other waiting.
    fn poll_event(
        &mut self,
        session: &Rc<Session>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Event>> {
        if self.joined {
            self.missed = true;
            return Poll::Pending;
        }
        if let Some(carried_out) = self.carried_out.take() {
            return Poll::Ready(carried_out.map(Event::CarriedOut));
        }
        self.socket_first = !self.socket_first;
        if self.socket_first
            && let Poll::Ready(event) = self.poll_socket(session, context)
        {
            return Poll::Ready(event);
        }
        while let Poll::Ready(signal) = self.connection.poll_signal(context) {
            match signal {
                Signal::Stop(_) if self.stopped => continue,
                Signal::Stop(_) => self.stopped = true,
                _ => {}
            }
            return Poll::Ready(Ok(Event::Signal(signal)));
        }
        if self.timer.poll(context).is_ready() {
            return Poll::Ready(Ok(Event::Wake));
        }
        if self.socket_first {
            return Poll::Pending;
        }
        self.poll_socket(session, context)
    }

    /// Sends what is unsent, and then says so; or receives, if the guest wants more.
    fn poll_socket(
        &mut self,
        session: &Rc<Session>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Event>> {
        if !self.socket.is_flushed() {
            let flushed = self.socket.poll_flush(context);
            self.debt.set(self.socket.unsent())?;
            return flushed.map_ok(|()| Event::Wake);
        }
        if self.paused {
            return Poll::Pending;
        }
        let mut most = usize::MAX;
        if let Some(rate) = &mut self.rate {
            ready!(rate.poll(context));
            most = rate.most();
        }
        let mut buffer = self.worker.read_buffer.take();
        let most = most.min(buffer.len());
        let space = buffer.get_mut(..most).unwrap_or_default();
        let received = self.socket.poll_receive(context, space);
        if let Poll::Ready(Ok(length)) = received
            && self.rate.is_none()
            && self.joins(length, context)
        {
            let bytes = buffer.get(..length).unwrap_or_default();
            self.joined = self.connection.join(session, bytes);
            if self.joined {
                self.received(length);
            }
        }
        self.worker.read_buffer.put_back(buffer);
        if self.joined {
            return Poll::Pending;
        }
        received.map_ok(Event::Received)
    }

    /// Whether so many bytes are all that there is for now, and few.
    fn joins(&mut self, length: usize, context: &mut Context<'_>) -> bool {
        let was_in_large = mem::replace(&mut self.in_large, length > SMALL);
        if length == 0
            || self.in_large
            || was_in_large
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

    /// When a limit of the host's on the time is next to be looked at.
    fn limited_until(&self) -> Instant {
        after(self.active_at, self.worker.idle_timeout).min(self.ends_at)
    }

    /// Ends what is silent, or has lasted too long. What waits to be sent is not silent: the time for that is
    /// another.
    fn check_limits(&mut self) -> io::Result<Event> {
        let now = self.worker.now();
        if self.socket.unsent() > 0 {
            self.active_at = now;
        }
        if now >= after(self.active_at, self.worker.idle_timeout) {
            return Err(late("nothing was received or sent (--idle-timeout)"));
        }
        if now < self.ends_at {
            return Ok(Event::Wake);
        }
        if self.outlived {
            return Err(late("it did not end when asked to (--max-lifetime)"));
        }
        self.outlived = true;
        self.ends_at = after(now, Some(GRACE));
        if self.stopped {
            return Ok(Event::Wake);
        }
        self.stopped = true;
        // 1012: to connect again is worth it.
        Ok(Event::Signal(Signal::Stop(ShutdownReason::ServiceRestart)))
    }

    fn received(&mut self, length: usize) {
        self.access.received(length);
        self.worker.metrics.bytes_received.add(length as u64);
    }

    /// Calls the guest. Between the reading and this no other task has run: the read buffer still
    /// holds what was received.
    ///
    /// # Errors
    ///
    /// When it is time to give the connection up instead.
    fn call(&mut self, mut event: Event) -> io::Result<Call<Effects>> {
        if matches!(event, Event::Wake) {
            event = self.check_limits()?;
        }
        let now = self.worker.now();
        self.called_at = now;
        Ok(match event {
            Event::Received(0) => self.connection.receive_eof(now),
            Event::Received(length) => {
                self.received(length);
                self.active_at = now;
                if let Some(rate) = &mut self.rate {
                    rate.received(length, now);
                }
                let worker = Rc::clone(&self.worker);
                let buffer = worker.read_buffer.take();
                let bytes = Filled { buffer, length };
                let reuse = move |bytes: Filled| worker.read_buffer.put_back(bytes.buffer);
                self.connection.receive(now, bytes, reuse)
            }
            Event::Wake | Event::Signal(Signal::Woken) | Event::CarriedOut(_) => {
                self.connection.wake(now, self.socket.unsent())
            }
            Event::Signal(Signal::Stop(reason)) => self.connection.shutdown(now, reason),
            Event::Signal(Signal::Died) => Call::done(Err(Dead)),
        })
    }

    fn carry_out(
        &mut self,
        wake_at: Option<Instant>,
        next: Next,
        output: &[u8],
    ) -> io::Result<Option<Ending>> {
        self.wake_at = wake_at;
        self.paused = next == Next::Pause;
        self.released = matches!(next, Next::Close | Next::Abort);
        if !output.is_empty() {
            self.access.sent(output.len());
            self.worker.metrics.bytes_sent.add(output.len() as u64);
            self.active_at = self.called_at;
            self.socket.send(output)?;
            self.debt.set(self.socket.unsent())?;
        }
        Ok(match next {
            Next::Open | Next::Pause => None,
            Next::Close => Some(Ending::Close),
            Next::Abort => Some(Ending::Abort),
        })
    }

    /// How the socket is closed, if it is not to be at once.
    fn end(mut self, ending: Ending) -> io::Result<Option<impl Future<Output = io::Result<()>>>> {
        match ending {
            Ending::Abort => return Ok(None),
            Ending::Close => {}
            Ending::Died => self.socket.send(&self.farewell)?,
        }
        // The guest has had its last call; its place need not wait for the peer.
        drop(self.connection);
        Ok(Some(self.socket.close()))
    }
}

/// Later than any instant that comes.
const NEVER: Instant = Instant::MAX;

fn after(instant: Instant, time: Option<Duration>) -> Instant {
    let nanos = time.map_or(NEVER, |time| {
        u64::try_from(time.as_nanos()).unwrap_or(NEVER)
    });
    instant.saturating_add(nanos)
}

fn late(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, text)
}
