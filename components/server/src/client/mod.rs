//! One client's connection: HTTP until the handler takes it over, then the handler's, to its end.
//!
//! ```text
//!   request ──┬──────────────┬──▶ response ──┬──▶ request     Waiting, Deciding, Discarding
//!             └──▶ deciding ─┤               │
//!                            └──▶ taken ─────┴──▶ ending      Taken; Closing, Lingering, Stuck, Ended
//! ```
//!
//! Each phase has a file of its own. This one has the events that reach a client in any of them: its socket is
//! ready, an instant has come, another connection wakes it.
//!
//! While output is unsent nothing is read, in any phase. So no takeover can cut a response short, and no peer can
//! fill memory with answers that it does not read.

mod arrivals;
mod deciding;
mod ending;
mod phase;
mod request;
mod response;
mod subscriber;
mod taken;

use alloc::string::String;
use core::time::Duration;

use bytes::BytesMut;
use wasi::io::poll::Pollable;
use wasocket_host_core::http1::Refusal;
use wasocket_host_core::turn::Turn;

use crate::context::Context;
use crate::handler::{ConnectionId, Instant};
use crate::socket::{Failed, Received, Socket};
use crate::time::earlier;
use ending::END_DELAY;
use phase::{Phase, Waiting};

pub(crate) use arrivals::Item;

/// A connection.
pub(crate) struct Client {
    socket: Socket,
    remote: String,
    /// Bytes received and not consumed yet. Holds no memory while it is empty.
    buffer: BytesMut,
    end_delay: Duration,
    phase: Phase,
}

type Outcome = Result<(), Failed>;

impl Client {
    pub(crate) fn new(socket: Socket, remote: String, now: Instant) -> Self {
        Self {
            socket,
            remote,
            buffer: BytesMut::new(),
            end_delay: END_DELAY,
            phase: Phase::Waiting(Waiting::first(now)),
        }
    }

    /// The address, for logs.
    pub(crate) fn remote(&self) -> &str {
        &self.remote
    }

    /// Whether there is nothing more to do.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// The number by which the handler knows the client in this phase.
    pub(crate) fn id(&self) -> Option<ConnectionId> {
        match &self.phase {
            Phase::Deciding(deciding) => Some(deciding.id),
            Phase::Taken(taken) => Some(taken.id),
            _ => None,
        }
    }

    /// The direction of the socket that is waited for, if any: never both.
    pub(crate) fn awaited(&self) -> Option<&Pollable> {
        if self.socket.unsent() > 0 {
            return self.socket.writable();
        }
        let reads = match &self.phase {
            Phase::Taken(taken) => taken.turn.may_receive(),
            Phase::Waiting(_) | Phase::Discarding(_) | Phase::Lingering(_) => true,
            Phase::Deciding(_) | Phase::Closing | Phase::Stuck | Phase::Ended => false,
        };
        reads.then(|| self.socket.readable())
    }

    /// The next deadline, independent of the socket.
    pub(crate) fn due_at(&self, send_timeout: Duration) -> Option<Instant> {
        let own = match &self.phase {
            Phase::Waiting(waiting) if self.socket.unsent() == 0 => waiting.until,
            Phase::Deciding(deciding) => deciding.due_at(),
            Phase::Discarding(discarding) => Some(discarding.until),
            Phase::Taken(taken) => taken.turn.wake_at(),
            Phase::Lingering(lingering) => Some(lingering.due_at()),
            _ => None,
        };
        earlier(self.stalls_at(send_timeout), own)
    }

    fn stalls_at(&self, send_timeout: Duration) -> Option<Instant> {
        match self.phase {
            Phase::Stuck | Phase::Ended => None,
            _ => self.socket.stalls_at(send_timeout),
        }
    }

    /// Handles readiness of the awaited direction of the socket.
    pub(crate) fn on_ready(&mut self, context: &mut Context) {
        let outcome = match self.socket.unsent() {
            0 => self.receive(context),
            _ => self.flush(context),
        };
        self.settle(outcome, context);
    }

    /// Handles the deadline that [`due_at`](Self::due_at) returned.
    pub(crate) fn on_time(&mut self, context: &mut Context) {
        let outcome = self.act(context);
        self.settle(outcome, context);
    }

    /// Handles a wake by another connection, or a request, that named the client in `wake-others`.
    pub(crate) fn on_woken(&mut self, context: &mut Context) {
        let outcome = match self.phase {
            Phase::Deciding(_) => self.poll(context),
            _ => self.wake_if(Turn::on_woken, context),
        };
        self.settle(outcome, context);
    }

    /// Finishes an event: reads the requests that have already arrived, or gives up the client.
    fn settle(&mut self, outcome: Outcome, context: &mut Context) {
        if let Err(failed) = outcome.and_then(|()| self.read_heads(context)) {
            self.lose(context, failed.reason());
        }
    }

    fn flush(&mut self, context: &mut Context) -> Outcome {
        self.socket.flush(context.now())?;
        let unsent = self.socket.unsent();
        match self.phase {
            Phase::Taken(_) => {
                self.wake_if(|turn| turn.on_sent(unsent), context)?;
                self.catch_up(context)?;
            }
            Phase::Closing if unsent == 0 => self.linger(context),
            Phase::Stuck if unsent == 0 => self.end(),
            _ => {}
        }
        Ok(())
    }

    fn receive(&mut self, context: &mut Context) -> Outcome {
        match self.socket.receive()? {
            Received::Nothing => Ok(()),
            Received::Bytes(bytes) => self.on_bytes(&bytes, context),
            Received::End => self.on_end(context),
        }
    }

    fn on_bytes(&mut self, bytes: &[u8], context: &mut Context) -> Outcome {
        match &mut self.phase {
            Phase::Waiting(_) => self.buffer.extend_from_slice(bytes),
            Phase::Discarding(_) => {
                self.buffer.extend_from_slice(bytes);
                self.discard(context)?;
            }
            Phase::Taken(taken) => {
                let effects = taken.connection.receive(context.now(), bytes);
                self.carry_out(effects, context)?;
            }
            _ => self.linger_on(bytes, context.now()),
        }
        Ok(())
    }

    fn on_end(&mut self, context: &mut Context) -> Outcome {
        match &mut self.phase {
            Phase::Waiting(_) => self.give_up_head(Refusal::INCOMPLETE, context),
            Phase::Discarding(_) => self.stop_discarding(context),
            Phase::Taken(_) => self.receive_eof(context),
            _ => {
                self.end();
                Ok(())
            }
        }
    }

    fn act(&mut self, context: &mut Context) -> Outcome {
        let now = context.now();
        let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_over(self.stalls_at(context.options.send_timeout)) {
            self.lose(context, "the client stopped reading");
            return Ok(());
        }
        match &self.phase {
            Phase::Waiting(_) => self.give_up_head(Refusal::TIMEOUT, context),
            Phase::Deciding(deciding) if is_over(Some(deciding.until)) => {
                self.stop_deciding(context)
            }
            Phase::Deciding(_) => self.poll(context),
            Phase::Taken(_) => self.wake_if(|turn| turn.on_time(now), context),
            Phase::Discarding(_) => self.stop_discarding(context),
            Phase::Lingering(lingering) if is_over(lingering.ends_at) => {
                self.finish_sending();
                Ok(())
            }
            _ => {
                self.end();
                Ok(())
            }
        }
    }

    /// Gives up the client, whose socket failed or whose time is up.
    fn lose(&mut self, context: &mut Context, reason: &str) {
        if !matches!(self.phase, Phase::Stuck) {
            let remote = &self.remote;
            context.log.debug(format_args!("{remote}: {reason}"));
        }
        self.lose_connection(context);
        self.end();
    }

    /// Logs why the handler refuses a request.
    fn log_refusal(&self, refusal: Option<&str>, context: &Context) {
        if let Some(refusal) = refusal {
            let remote = &self.remote;
            // Escaped, as below.
            let message = format_args!("{remote}: refused: {refusal:?}");
            context.log.refusal(context.now(), message);
        }
    }

    fn log_fault(&self, fault: Option<&str>, context: &Context) {
        if let Some(fault) = fault {
            let remote = &self.remote;
            // Escaped, since it may be any text, and must not begin a line of its own.
            let log = &context.log;
            log.error(format_args!("{remote}: app error: {fault:?}"));
        }
    }
}
