//! A socket in the hands of a guest: the bytes between the two.
//!
//! One loop: something happens, the guest is called, its effects are carried out. Which call may come next is
//! [`Turn`](wasocket_host_core::turn::Turn)'s to say.
//!
//! ```text
//!               ┌──────────────── converse ────────────────┐
//!   socket ──▶ inner.poll_event ──▶ inner.call ──▶ guest ──┘ effects ──▶ inner.carry_out ──▶ socket
//!                    │ few bytes                                              ▲
//!                    └──────▶ a batch of the instance ── receive-many ──▶ deliver
//! ```

mod inner;
pub(crate) mod read_buffer;
pub mod settings;
mod time_limits;
mod timer;

use std::cell::{RefCell, RefMut};
use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;

use wasocket_host_core::turn::Ending;

use crate::contract::bindings::{Effects, Instant, Outcome};
use crate::net::stream::accepted::Accepted;
use crate::observe::access_log::ConnectionEntry;
use crate::pool::Connection;
use crate::pool::batch::Receiver;
use crate::session::inner::{Event, Inner};
use crate::session::settings::SessionContext;

/// A socket in the hands of a guest. Shared by its task and, for as long as it is in one, a batch.
#[derive(Debug)]
pub struct Session(RefCell<Inner>);

impl Session {
    /// A session whose connection has been opened. On the heap: moved between futures, it would take up room
    /// in each of them, for as long as the connection lives.
    pub(crate) fn new(
        context: &Rc<SessionContext>,
        stream: Accepted,
        connection: Connection,
        final_bytes: Vec<u8>,
        entry: ConnectionEntry,
    ) -> Rc<Self> {
        let inner = Inner::new(context, stream, connection, final_bytes, entry);
        Rc::new(Self(RefCell::new(inner)))
    }

    /// Serves the socket to its end. `head` and what the guest answered to `open` go out first, in one write,
    /// and at once: kept, they would take up room in the future.
    ///
    /// # Errors
    ///
    /// When the socket failed.
    pub(crate) fn run(
        self: Rc<Self>,
        mut head: Vec<u8>,
        mut opened: Effects,
    ) -> impl Future<Output = io::Result<()>> {
        head.append(&mut opened.output);
        let begun = self.inner().carry_out(opened.wake_at, opened.next, &head);
        async move {
            let outcome = match begun {
                Ok(None) => self.converse().await,
                Ok(Some(ending)) => Ok(ending),
                Err(error) => Err(error),
            };
            if outcome.is_err() {
                let lost = self.inner().lost();
                // With a dead instance it is lost anyway.
                let _ = lost.await;
            }
            let report = self.inner().report();
            let report = report.await;
            self.inner().count_end(&outcome, report);
            match self.end(outcome?)? {
                Some(closing) => closing.await,
                None => Ok(()),
            }
        }
    }

    /// How the socket is closed, if not at once. Not an async function: its future would have room for what is
    /// taken apart here.
    fn end(
        self: Rc<Self>,
        ending: Ending,
    ) -> io::Result<Option<impl Future<Output = io::Result<()>>>> {
        // No batch shares it any more: nothing ends while one does.
        match Rc::into_inner(self) {
            Some(Self(inner)) => inner.into_inner().end(ending),
            None => Ok(None),
        }
    }

    fn inner(&self) -> RefMut<'_, Inner> {
        self.0.borrow_mut()
    }

    async fn converse(self: &Rc<Self>) -> io::Result<Ending> {
        loop {
            self.inner().set_timer();
            let event = poll_fn(|context| self.inner().poll_event(self, context)).await?;
            let called = match event {
                Event::Delivered(Some(ending)) => return Ok(ending),
                event => self.inner().call(event)?,
            };
            let Some(called) = called else {
                continue;
            };
            let Ok(effects) = called.await else {
                return Ok(self.inner().died());
            };
            let Effects {
                wake_at,
                next,
                output,
                ..
            } = effects;
            if let Some(ending) = self.inner().carry_out(wake_at, next, &output)? {
                return Ok(ending);
            }
        }
    }
}

impl Receiver for Session {
    fn deliver(&self, now: Instant, outcome: &Outcome, output: &[u8]) {
        self.inner().deliver(now, outcome, output);
    }

    fn forsake(&self) {
        self.inner().forsake();
    }
}
