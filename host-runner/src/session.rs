//! The bytes between a socket and a guest's connection.
//!
//! One loop: something happens, the guest is called, its effects are carried out. It is told in
//! `wit/websocket-handler.wit` what may happen and in which order.

use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::accepted::Accepted;
use crate::access::Access;
use crate::bindings::{Effects, Instant, Next, ShutdownReason};
use crate::debt::Debt;
use crate::pool::{Connection, Dead};
use crate::rate::Rate;
use crate::signals::Signal;
use crate::socket::Socket;
use crate::timer::Timer;
use crate::worker::Worker;

/// How long a connection that has lasted as long as it may has to end.
const GRACE: Duration = Duration::from_secs(10);

/// A socket in the hands of a guest.
#[derive(Debug)]
pub struct Session {
    worker: Rc<Worker>,
    socket: Socket,
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
}

/// What a session waits for.
enum Event {
    /// So many bytes are in the worker's read buffer; none is the end of stream.
    Received(usize),
    /// The time has come, or all output is sent that was not.
    Wake,
    Signal(Signal),
}

/// How a session ends.
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
    ) -> Box<Self> {
        let socket = Socket::new(stream, worker.max_backlog).with_send_timeout(worker.send_timeout);
        let now = worker.now();
        Box::new(Self {
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
        })
    }

    /// Serves the socket to its end. `head` and what the guest answered to `open` go out first, in one write,
    /// and at once: they would be room in the future.
    ///
    /// # Errors
    ///
    /// When the socket failed.
    pub fn run(
        mut self: Box<Self>,
        mut head: Vec<u8>,
        mut opened: Effects,
    ) -> impl Future<Output = io::Result<()>> {
        head.append(&mut opened.output);
        opened.output = head;
        let begun = self.carry_out(opened);
        async move {
            let outcome = match begun {
                Ok(None) => self.converse().await,
                Ok(Some(ending)) => Ok(ending),
                Err(error) => Err(error),
            };
            if outcome.is_err() && !self.released {
                self.connection.lost(self.worker.now());
            }
            self.count_end(&outcome);
            match self.end(outcome?)? {
                Some(closing) => closing.await,
                None => Ok(()),
            }
        }
    }

    /// Logs and counts the end.
    fn count_end(&mut self, outcome: &io::Result<Ending>) {
        let report = self.connection.report();
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

    async fn converse(&mut self) -> io::Result<Ending> {
        loop {
            let wake_at = self.limited_until().min(self.wake_at.unwrap_or(NEVER));
            let wake_at = (wake_at < NEVER).then_some(wake_at);
            self.timer.set(wake_at, self.called_at, &self.worker);
            let mut event = poll_fn(|context| self.poll_event(context)).await?;
            if matches!(event, Event::Wake) {
                event = self.check_limits()?;
            }
            let Ok(effects) = self.call(event) else {
                return Ok(Ending::Died);
            };
            if let Some(ending) = self.carry_out(effects)? {
                return Ok(ending);
            }
        }
    }

    /// Waits for what comes first. The socket and the rest take turns at being asked first: what is always
    /// ready, as an app that never rests, must not keep the other waiting.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Event>> {
        self.socket_first = !self.socket_first;
        if self.socket_first
            && let Poll::Ready(event) = self.poll_socket(context)
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
        self.poll_socket(context)
    }

    /// Sends what is unsent, and then says so; or receives, if the guest wants more.
    fn poll_socket(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Event>> {
        if !self.socket.is_flushed() {
            let flushed = self.socket.poll_flush(context);
            self.debt.set(self.socket.unsent())?;
            return flushed.map_ok(|()| Event::Wake);
        }
        if self.paused {
            return Poll::Pending;
        }
        let mut buffer = self.worker.read_buffer.borrow_mut();
        let mut space = &mut buffer[..];
        if let Some(rate) = &mut self.rate {
            ready!(rate.poll(context));
            let most = rate.most().min(space.len());
            space = space.get_mut(..most).unwrap_or_default();
        }
        let received = self.socket.poll_receive(context, space);
        received.map_ok(Event::Received)
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

    /// Calls the guest. Between the reading and this no other task has run: the read buffer still
    /// holds what was received.
    fn call(&mut self, event: Event) -> Result<Effects, Dead> {
        let now = self.worker.now();
        self.called_at = now;
        match event {
            Event::Received(0) => self.connection.receive_eof(now),
            Event::Received(length) => {
                self.access.received(length);
                self.worker.metrics.bytes_received.add(length as u64);
                self.active_at = now;
                if let Some(rate) = &mut self.rate {
                    rate.received(length, now);
                }
                let buffer = self.worker.read_buffer.borrow();
                self.connection
                    .receive(now, buffer.get(..length).unwrap_or_default())
            }
            Event::Wake | Event::Signal(Signal::Woken) => {
                self.connection.wake(now, self.socket.unsent())
            }
            Event::Signal(Signal::Stop(reason)) => self.connection.shutdown(now, reason),
            Event::Signal(Signal::Died) => Err(Dead),
        }
    }

    fn carry_out(&mut self, effects: Effects) -> io::Result<Option<Ending>> {
        self.wake_at = effects.wake_at;
        self.paused = effects.next == Next::Pause;
        self.released = matches!(effects.next, Next::Close | Next::Abort);
        if !effects.output.is_empty() {
            self.access.sent(effects.output.len());
            let length = effects.output.len() as u64;
            self.worker.metrics.bytes_sent.add(length);
            self.active_at = self.called_at;
            self.socket.send(&effects.output)?;
            self.debt.set(self.socket.unsent())?;
        }
        Ok(match effects.next {
            Next::Open | Next::Pause => None,
            Next::Close => Some(Ending::Close),
            Next::Abort => Some(Ending::Abort),
        })
    }

    /// How the socket is closed, if it is not to be at once.
    fn end(
        mut self: Box<Self>,
        ending: Ending,
    ) -> io::Result<Option<impl Future<Output = io::Result<()>>>> {
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
