//! The bytes between a socket and a guest's connection.
//!
//! One loop: something happens, the guest is called, its effects are carried out. It is told in
//! `wit/websocket-handler.wit` what may happen and in which order.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::net::TcpStream;
use tokio::select;
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::access::Access;
use crate::bindings::{Effects, Instant, Next, ShutdownReason};
use crate::pool::{Connection, Dead};
use crate::socket::Socket;
use crate::worker::Worker;

/// A socket in the hands of a guest.
#[derive(Debug)]
pub struct Session {
    worker: Rc<Worker>,
    socket: Socket,
    connection: Connection,
    farewell: Vec<u8>,
    wake_at: Option<Instant>,
    /// When the last call was made.
    called_at: Instant,
    /// The guest wants nothing more to be read.
    paused: bool,
    access: Access,
}

/// What a session waits for.
enum Event {
    /// So many bytes are in the worker's read buffer; none is the end of stream.
    Received(usize),
    /// The time has come, or all output is sent that was not.
    Wake,
    /// Another connection wants it.
    Woken,
    Stop(ShutdownReason),
    Died,
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
    /// A session whose connection is to be opened yet.
    pub fn new(
        worker: Rc<Worker>,
        stream: TcpStream,
        connection: Connection,
        farewell: Vec<u8>,
        access: Access,
    ) -> Self {
        let socket = Socket::new(stream, worker.max_backlog).with_send_timeout(worker.send_timeout);
        Self {
            called_at: worker.now(),
            worker,
            socket,
            connection,
            farewell,
            wake_at: None,
            paused: false,
            access,
        }
    }

    /// Serves the socket to its end. `head` and what the guest answered to `open` go out first,
    /// in one write.
    ///
    /// # Errors
    ///
    /// When the socket failed.
    pub async fn run(mut self, mut head: Vec<u8>, mut opened: Effects) -> io::Result<()> {
        head.append(&mut opened.output);
        opened.output = head;
        let outcome = self.serve(opened).await;
        if outcome.is_err() {
            self.connection.lost(self.worker.now());
        }
        self.access.log(self.connection.report());
        self.end(outcome?).await
    }

    async fn serve(&mut self, opened: Effects) -> io::Result<Ending> {
        match self.carry_out(opened)? {
            Some(ending) => Ok(ending),
            None => self.converse().await,
        }
    }

    async fn converse(&mut self) -> io::Result<Ending> {
        let mut died = pin!(self.connection.died());
        let mut woken = pin!(self.connection.woken());
        let mut stop = pin!(self.worker.stopping.rung());
        let mut retired = pin!(self.connection.retired());
        let mut stopped = false;
        let mut timer = pin!(sleep(std::time::Duration::ZERO));
        let mut timer_at = None;
        loop {
            let at_once = self
                .wake_at
                .is_some_and(|instant| instant <= self.called_at);
            let wake_at = match at_once {
                true => None,
                false => self.wake_at.and_then(|instant| self.worker.at(instant)),
            };
            if let Some(instant) = wake_at
                && wake_at != timer_at
            {
                timer.as_mut().reset(instant);
                timer_at = wake_at;
            }
            // In no order: what is always ready must not keep the others waiting.
            let event = select! {
                () = &mut died => Event::Died,
                () = &mut stop, if !stopped => Event::Stop(ShutdownReason::GoingAway),
                () = &mut retired, if !stopped => Event::Stop(ShutdownReason::ServiceRestart),
                () = &mut timer, if wake_at.is_some() => Event::Wake,
                // The timer is good to a millisecond only. Other connections go first.
                () = yield_now(), if at_once => Event::Wake,
                () = &mut woken => Event::Woken,
                event = poll_fn(|context| {
                    poll_socket(&mut self.socket, &self.worker, self.paused, context)
                }) => event?,
            };
            match event {
                Event::Stop(_) => stopped = true,
                // Used up; should the guest ask for the same instant again, it has to be set again.
                Event::Wake => timer_at = None,
                Event::Woken => woken.set(self.connection.woken()),
                Event::Received(_) | Event::Died => {}
            }
            let Ok(effects) = self.call(event) else {
                return Ok(Ending::Died);
            };
            if let Some(ending) = self.carry_out(effects)? {
                return Ok(ending);
            }
        }
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
                let buffer = self.worker.read_buffer.borrow();
                self.connection
                    .receive(now, buffer.get(..length).unwrap_or_default())
            }
            Event::Wake | Event::Woken => self.connection.wake(now, self.socket.unsent()),
            Event::Stop(reason) => self.connection.shutdown(now, reason),
            Event::Died => Err(Dead),
        }
    }

    fn carry_out(&mut self, effects: Effects) -> io::Result<Option<Ending>> {
        self.wake_at = effects.wake_at;
        self.paused = effects.next == Next::Pause;
        self.access.sent(effects.output.len());
        self.socket.send(&effects.output)?;
        Ok(match effects.next {
            Next::Open | Next::Pause => None,
            Next::Close => Some(Ending::Close),
            Next::Abort => Some(Ending::Abort),
        })
    }

    async fn end(mut self, ending: Ending) -> io::Result<()> {
        match ending {
            Ending::Abort => return Ok(()),
            Ending::Close => {}
            Ending::Died => self.socket.send(&self.farewell)?,
        }
        // The guest has had its last call; its place need not wait for the peer.
        drop(self.connection);
        self.socket.close().await
    }
}

/// Sends what is unsent, and then says so; or receives, if the guest wants more.
fn poll_socket(
    socket: &mut Socket,
    worker: &Worker,
    paused: bool,
    context: &mut Context<'_>,
) -> Poll<io::Result<Event>> {
    if socket.unsent() > 0 {
        return socket.poll_flush(context).map_ok(|()| Event::Wake);
    }
    if paused {
        return Poll::Pending;
    }
    let mut buffer = worker.read_buffer.borrow_mut();
    socket
        .poll_receive(context, &mut buffer)
        .map_ok(Event::Received)
}
