//! What a session is given of topics: at once, by the task that delivers to all, or when its output is sent.

use std::io;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use wasocket_host_core::turn::Ending;

use super::event::{Event, Pushed};
use super::inner::Inner;
use crate::contract::bindings::{Instant, Outcome};
use crate::pool::Delivered;
use crate::session::Session;
use crate::topics::subscriber::{Readiness, Recipient};

impl Recipient for Session {
    fn readiness(&self) -> Readiness {
        self.inner().readiness()
    }

    fn take_form(&self, now: Instant, form: &Bytes) {
        self.inner().take_form(now, form);
    }

    fn take_outcome(&self, now: Instant, outcome: &Outcome, output: &[u8]) {
        self.inner().take_outcome(now, outcome, output);
    }
}

impl Inner {
    /// Makes the session the one that its connection's subscriptions are delivered to.
    pub(super) fn attach(&self, session: &Rc<Session>) {
        let session = Rc::downgrade(session);
        self.connection.subscriber().attach(session);
    }

    /// Takes what has waited for the connection, if it may be given something now.
    pub(super) fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if !self.turn.is_open() {
            return Poll::Pending;
        }
        let is_sent = self.turn.may_deliver() && self.socket.is_flushed();
        let due = self.connection.subscriber().poll_due(context, is_sent);
        due.map(Event::Due)
    }

    /// What has become of the session meanwhile, if it must end.
    pub(super) fn take_pushed(&mut self) -> Option<io::Result<Option<Ending>>> {
        match mem::replace(&mut self.pushed, Pushed::Nothing) {
            Pushed::Nothing => None,
            Pushed::Ended(outcome) => Some(outcome),
        }
    }

    fn readiness(&self) -> Readiness {
        let is_free = self.is_idle() && matches!(self.pushed, Pushed::Nothing);
        if !self.turn.may_deliver() || !self.socket.is_flushed() {
            Readiness::Unsent
        } else if is_free {
            Readiness::Ready
        } else {
            Readiness::Busy
        }
    }

    fn take_form(&mut self, now: Instant, form: &Bytes) {
        // The peer may have gone during the call.
        if self.turn.is_open() {
            let sent = self.send_form(now, form);
            self.look_after(sent.map(|()| None));
        }
    }

    fn take_outcome(&mut self, now: Instant, outcome: &Outcome, output: &[u8]) {
        if self.turn.is_open() {
            self.called_at = now;
            self.is_timed = false;
            self.entry.delivered();
            let carried_out = self.carry_out(outcome.wake_at, outcome.next, output);
            let has_timer = self.set_timer();
            self.look_after(carried_out);
            if has_timer {
                self.connection.subscriber().wake();
            }
        }
    }

    /// Carries out what the connection does with a publication that has waited for it.
    pub(super) fn carry_out_delivered(
        &mut self,
        now: Instant,
        delivered: Delivered,
    ) -> io::Result<Option<Ending>> {
        match delivered {
            Delivered::Nothing => {
                self.entry.delivered();
                Ok(None)
            }
            Delivered::Form(form) => {
                self.context.metrics.bytes_sent.add(form.len() as u64);
                self.send_form(now, &form).map(|()| None)
            }
            Delivered::Outcome(outcome, output) => {
                self.entry.delivered();
                self.carry_out(outcome.wake_at, outcome.next, &output)
            }
        }
    }

    /// Sends bytes that others may be sent as well. Changes no timer: the idle timeout finds out for itself.
    fn send_form(&mut self, now: Instant, form: &Bytes) -> io::Result<()> {
        self.entry.delivered();
        if form.is_empty() {
            return Ok(());
        }
        self.last_output = form.len();
        self.entry.sent(form.len());
        self.doze.sent(false);
        self.note_activity(now);
        self.socket.send_shared(form)?;
        let unsent = self.socket.unsent();
        if unsent > 0 {
            // Output was added, not flushed, so this is no reason to wake the guest.
            let _ = self.turn.on_sent(unsent);
            self.unsent.set(unsent)?;
        }
        Ok(())
    }

    /// Wakes the task, if it has something to do.
    fn look_after(&mut self, carried_out: io::Result<Option<Ending>>) {
        match carried_out {
            Ok(None) if self.socket.is_flushed() && !self.moving.is_due() => return,
            Ok(None) => {}
            ended => self.pushed = Pushed::Ended(ended),
        }
        self.connection.subscriber().wake();
    }
}
