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
mod moving;
mod publish_rate;
pub(crate) mod read_buffer;
pub mod settings;
mod time_limits;
mod timer;

use std::cell::{RefCell, RefMut};
use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;

use wasocket_host_core::turn::Ending;

use crate::contract::bindings::{Effects, Instant, Outcome, Report};
use crate::guest::fault::Dead;
use crate::net::stream::accepted::Accepted;
use crate::observe::access_log::ConnectionEntry;
use crate::pool::Connection;
use crate::pool::batch::Receiver;
use crate::session::event::Event;
use crate::session::inner::Inner;
use crate::session::settings::SessionContext;

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
        let inner = Inner::new(context, stream, connection, final_bytes, entry);
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
            let outcome = match begun {
                Ok(None) => self.event_loop().await,
                Ok(Some(ending)) => Ok(ending),
                Err(error) => Err(error),
            };
            if outcome.is_err() {
                let lost = self.inner().lost();
                // A dead instance need not be told.
                let _ = lost.await;
            }
            let report = self.inner().report();
            let report = report.await;
            match self.end(outcome, report) {
                Some(closing) => closing.await,
                None => Ok(()),
            }
        }
    }

    /// Returns the future that closes the socket. Not an async function: its future would need space for the parts of the
    /// session.
    fn end(
        self: Rc<Self>,
        outcome: io::Result<Ending>,
        report: Result<Report, Dead>,
    ) -> Option<impl Future<Output = io::Result<()>>> {
        // No batch holds the session any more, as it cannot end while one does.
        let Self(inner) = Rc::into_inner(self)?;
        Some(inner.into_inner().end(outcome, report))
    }

    fn inner(&self) -> RefMut<'_, Inner> {
        self.0.borrow_mut()
    }

    async fn event_loop(self: &Rc<Self>) -> io::Result<Ending> {
        loop {
            if self.inner().may_move() {
                // Boxed: needed rarely, and inline it would enlarge every connection's task.
                let moved = Box::pin(self.move_elsewhere());
                if let Some(ending) = moved.await? {
                    return Ok(ending);
                }
            }
            self.inner().set_timer();
            let event = poll_fn(|context| self.inner().poll_event(self, context)).await?;
            let called = match event {
                Event::Delivered(Some(ending)) => return Ok(ending),
                event => self.inner().call(event)?,
            };
            let Some(called) = called else {
                continue;
            };
            let Ok(done) = called.await else {
                return Ok(self.inner().died());
            };
            if let Some(ending) = self.inner().carry_out_call(done)? {
                return Ok(ending);
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
