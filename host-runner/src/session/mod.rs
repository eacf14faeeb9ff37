//! A session: a socket in the hands of a guest, and the bytes between the two.
//!
//! One loop: something happens, the guest is called, its effects are carried out.
//! [`Turn`](wasocket_host_core::turn::Turn) decides which call may come next.
//!
//! ```text
//!               ┌─────────────── event_loop ───────────────┐
//!   socket ──▶ inner.poll_event ──▶ inner.call ──▶ guest ──┘ effects ──▶ inner.carry_out ──▶ socket
//!                    │ few bytes                                              ▲
//!                    └────▶ the instance's next batch ── receive-many ──▶ deliver
//! ```

mod deliveries;
mod ending;
mod event;
mod inner;
pub(crate) mod moving;
mod publish_rate;
pub(crate) mod read_buffer;
pub mod settings;
pub(crate) mod sleep;
mod time_limits;
mod timer;

use std::cell::{RefCell, RefMut};
use std::future::{Future, poll_fn, ready};
use std::io;
use std::rc::Rc;

use wasocket_host_core::turn::Ending;

use crate::contract::bindings::{Effects, Instant, Outcome, Report};
use crate::guest::fault::Dead;
use crate::net::stream::accepted::Accepted;
use crate::net::stream::socket::Socket;
use crate::observe::access_log::ConnectionEntry;
use crate::pool::batch::Receiver;
use crate::pool::{Connection, Suspended};
use crate::session::ending::Closing;
use crate::session::event::Event;
use crate::session::inner::Inner;
use crate::session::settings::SessionContext;
use crate::session::sleep::Sleeping;

/// Why a session pauses.
enum Pause {
    Ended(Ending),
    /// It is to sleep, with this state.
    Asleep(Suspended),
}

/// What follows after a session was awake.
enum Rest {
    /// It has ended.
    Ended(Closing),
    Asleep(Box<Sleeping>),
}

/// A socket in the hands of a guest. Owned by its task and, while it is in one, a batch.
#[derive(Debug)]
pub struct Session(RefCell<Inner>);

impl Session {
    /// Makes a session of an opened connection. Boxed, as moving it between futures would take up space in each of them
    /// for the life of the connection.
    pub(crate) fn new(
        context: &Rc<SessionContext>,
        stream: Accepted,
        connection: Connection,
        final_bytes: Vec<u8>,
        entry: ConnectionEntry,
    ) -> Rc<Self> {
        let socket = Self::socket(context, stream);
        Self::of(Inner::on(context, socket, connection, final_bytes, entry))
    }

    fn socket(context: &SessionContext, stream: Accepted) -> Socket<Accepted> {
        let send_timeout = context.settings.send_timeout;
        Socket::new(stream, context.max_backlog).with_send_timeout(send_timeout)
    }

    fn of(inner: Inner) -> Rc<Self> {
        let session = Rc::new(Self(RefCell::new(inner)));
        session.inner().attach(&session);
        session
    }

    /// Serves the socket to its end. `head` and the output of `open` are sent first, in one write, before the future is
    /// made: it would otherwise need space for them.
    ///
    /// # Errors
    ///
    /// If the socket fails.
    pub(crate) fn run(
        self: Rc<Self>,
        mut head: Vec<u8>,
        mut opened: Effects,
    ) -> impl Future<Output = io::Result<()>> {
        head.append(&mut opened.output);
        let begun = self.inner().carry_out(opened.wake_at, opened.next, &head);
        async move {
            let (mut session, mut begun) = (self, begun);
            loop {
                // Boxed, as what follows: a task keeps its size to its end, and one that sleeps is to be small.
                let mut sleeping = match Box::pin(session.serve(begun)).await {
                    Rest::Ended(closing) => return closing.await,
                    Rest::Asleep(sleeping) => sleeping,
                };
                let reason = poll_fn(|context| sleeping.poll_wake(context)).await;
                match Box::pin(sleeping.wake(reason)).await {
                    Ok(woken) => (session, begun) = woken,
                    Err(closing) => return closing.await,
                }
            }
        }
    }

    /// Serves the socket to its end, or until the connection sleeps.
    async fn serve(self: Rc<Self>, begun: io::Result<Option<Ending>>) -> Rest {
        let mut session = self;
        let mut outcome = begun;
        let outcome = loop {
            match outcome {
                Ok(None) => {}
                Ok(Some(ending)) => break Ok(ending),
                Err(error) => break Err(error),
            }
            outcome = match session.event_loop().await {
                Ok(Pause::Ended(ending)) => Ok(Some(ending)),
                Ok(Pause::Asleep(suspended)) => match session.fall_asleep(suspended) {
                    Ok(sleeping) => return Rest::Asleep(sleeping),
                    Err(awake) => {
                        session = awake;
                        Ok(None)
                    }
                },
                Err(error) => Err(error),
            };
        };
        if session.inner().has_left {
            session.forget();
            return Rest::Ended(Box::pin(ready(Ok(()))));
        }
        if outcome.is_err() {
            let lost = session.inner().lost();
            // A dead instance need not be told.
            let _ = lost.await;
        }
        let report = session.inner().report();
        let report = report.await;
        Rest::Ended(session.end(outcome, report))
    }

    /// Returns the future that closes the socket.
    fn end(self: Rc<Self>, outcome: io::Result<Ending>, report: Result<Report, Dead>) -> Closing {
        match Rc::into_inner(self) {
            Some(Self(inner)) => inner.into_inner().into_remains().end(outcome, report),
            // No batch holds the session any more, as it cannot end while one does.
            None => Box::pin(ready(Ok(()))),
        }
    }

    fn inner(&self) -> RefMut<'_, Inner> {
        self.0.borrow_mut()
    }

    async fn event_loop(self: &Rc<Self>) -> io::Result<Pause> {
        loop {
            if self.inner().may_sleep() {
                let suspended = Box::pin(self.suspend()).await;
                if let Some(suspended) = suspended {
                    return Ok(Pause::Asleep(suspended));
                }
            }
            if self.inner().may_move() {
                // Boxed: needed rarely, and inline it would enlarge every connection's task.
                let moved = Box::pin(self.move_elsewhere());
                if let Some(ending) = moved.await? {
                    return Ok(Pause::Ended(ending));
                }
            }
            self.inner().set_timer();
            let event = poll_fn(|context| self.inner().poll_event(self, context)).await?;
            let called = match event {
                Event::Delivered(Some(ending)) => return Ok(Pause::Ended(ending)),
                event => self.inner().call(event)?,
            };
            let Some(called) = called else {
                continue;
            };
            let Ok(done) = called.await else {
                return Ok(Pause::Ended(self.inner().died()));
            };
            if let Some(ending) = self.inner().carry_out_call(done)? {
                return Ok(Pause::Ended(ending));
            }
        }
    }
}

impl Receiver for Session {
    fn deliver(&self, now: Instant, outcome: Outcome, output: &[u8]) {
        self.inner().deliver(now, outcome, output);
    }

    fn cancel(&self) {
        self.inner().cancel_batch();
    }
}
