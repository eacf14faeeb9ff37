//! The machine that drives the future of a connection.

use alloc::string::String;
use alloc::sync::Arc;

use super::Shared;
use crate::protocol::{CloseReason, Connection, Disposition, Event};
use crate::session::{Calling, Effects, Machine};

impl Shared {
    fn call_hooks(&self, event: &Event) {
        match event {
            Event::Ping(payload) => drop(self.on_ping.call(|hook| hook(payload))),
            Event::Pong(payload) => drop(self.on_pong.call(|hook| hook(payload))),
            Event::Closed(_) => self.release(),
            _ => {}
        }
    }

    /// Lets the app answer the peer's Close frame, if that has arrived.
    fn answer_close(&self) {
        let Some(reason) = self.with_connection(|connection| connection.unanswered_close()) else {
            return;
        };
        if let Some(Some(own)) = self.on_close.call(|hook| hook(reason.as_ref())) {
            // Fails if the hook has already closed the connection itself.
            let _ = self.with_connection(|connection| connection.close(own.code, &own.reason));
        }
    }

    /// The next event, or the end of the connection once the app has answered all that came before it.
    fn next_event(&self) -> Option<Event> {
        let event = self.with_connection(Connection::next_event_before_end);
        if event.is_some() || self.delays_end() {
            return event;
        }
        self.answer_close();
        self.with_connection(Connection::end_event)
    }
}

impl Machine for Shared {
    /// The close reason for the peer, and the operator's report of a failure.
    type Output = (CloseReason, Option<String>);

    fn called_by(&self, calling: Arc<Calling>) {
        *self.calling.borrow_mut() = Some(calling);
    }

    fn take_event(&self) -> bool {
        if self.is_full() {
            return false;
        }
        let Some(event) = self.next_event() else {
            return false;
        };
        self.call_hooks(&event);
        self.state.borrow_mut().on_event(event);
        true
    }

    fn release(&self) {
        self.on_ping.clear();
        self.on_pong.clear();
        self.on_close.clear();
    }

    fn finish(&self, (reason, fault): Self::Output) {
        let mut state = self.state.borrow_mut();
        state.discard();
        let closed = state.connection.close(reason.code, &reason.reason);
        // If the connection is already closing, an error that results from that is not a failure.
        if closed.is_ok() {
            state.fault = fault;
        }
    }

    fn effects(&self, is_woken: bool) -> Effects {
        let mut state = self.state.borrow_mut();
        let output = state.connection.take_output();
        state.unsent = state.unsent.saturating_add(output.len() as u64);
        let again = is_woken || (!output.is_empty() && state.asks());
        let delays_end = state.delays_end();
        let wake_at = if again {
            Some(state.now)
        } else {
            let deadline = if delays_end {
                state.last_answers.until()
            } else {
                state.connection.deadline()
            };
            [deadline, state.timers.next()].into_iter().flatten().min()
        };
        let is_full = state.inbox.is_full();
        state.connection.hold(is_full);
        let next = match state.connection.disposition() {
            // After a Close frame there is nothing to read (RFC 6455 §5.5.1).
            Disposition::Open if is_full || delays_end => Disposition::Pause,
            next => next,
        };
        let disposition = state.connection.disposition();
        Effects {
            topics: state.topics.take_actions(disposition),
            output,
            wake_at,
            next,
        }
    }
}
