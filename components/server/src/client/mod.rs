//! One client's connection: HTTP until the handler takes it over, then the handler's, to its end.
//!
//! ```text
//!   request ──┬──────────────┬──▶ response ──┬──▶ request     Waiting, Deciding, Discarding
//!             └──▶ deciding ─┤               │
//!                            └──▶ taken ─────┴──▶ ending      Taken; Closing, Lingering, Stuck, Ended
//! ```
//!
//! Each phase has a file of its own. Here is what happens to a client in any of them: its socket is ready, a time
//! has come, somebody rings for it.
//!
//! While output is unsent nothing is read, in any phase: so no head is read whose takeover would cut a response
//! short, and no peer fills memory with answers that it does not read.

mod deciding;
mod ending;
mod request;
mod response;
mod taken;

use alloc::string::String;
use core::time::Duration;

use bytes::BytesMut;
use wasi::io::poll::Pollable;
use wasocket_host_core::http1::Refusal;
use wasocket_host_core::http1::limits::FLUSH_TIMEOUT;

use crate::handler::{ConnectionId, Instant};
use crate::server::Context;
use crate::socket::{Failed, Received, Socket};
use deciding::Deciding;
use ending::{END_DELAY, Lingering};
use request::Waiting;
use response::Discarding;
use taken::Taken;

/// A connection.
pub(crate) struct Client {
    socket: Socket,
    remote: String,
    /// Received, and not used yet. Without memory of its own while it is empty.
    buffer: BytesMut,
    end_delay: Duration,
    phase: Phase,
}

/// How far the connection has come.
enum Phase {
    Waiting(Waiting),
    Deciding(Deciding),
    Discarding(Discarding),
    Taken(Taken),
    /// It is closed when all output is sent.
    Closing,
    Lingering(Lingering),
    /// Given up, but the runtime would wait with dropping the socket.
    Stuck,
    /// To be dropped.
    Ended,
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

    /// The number by which the handler knows it now.
    pub(crate) fn id(&self) -> Option<ConnectionId> {
        match &self.phase {
            Phase::Deciding(deciding) => Some(deciding.id),
            Phase::Taken(taken) => Some(taken.id),
            _ => None,
        }
    }

    /// What of the socket is waited for, if anything: one of its directions, never both.
    pub(crate) fn awaited(&self) -> Option<&Pollable> {
        if self.socket.unsent() > 0 {
            return self.socket.writable();
        }
        let reads = match &self.phase {
            Phase::Taken(taken) => taken.may_receive(),
            Phase::Waiting(_) | Phase::Discarding(_) | Phase::Lingering(_) => true,
            Phase::Deciding(_) | Phase::Closing | Phase::Stuck | Phase::Ended => false,
        };
        reads.then(|| self.socket.readable())
    }

    /// When there is something to do in any case.
    pub(crate) fn due_at(&self, send_timeout: Duration) -> Option<Instant> {
        let own = match &self.phase {
            Phase::Waiting(waiting) if self.socket.unsent() == 0 => waiting.until,
            Phase::Deciding(deciding) => deciding.due_at(),
            Phase::Discarding(discarding) => Some(discarding.until),
            Phase::Taken(taken) => taken.wake_at,
            Phase::Lingering(lingering) => Some(lingering.due_at()),
            _ => None,
        };
        earlier(self.stalls_at(send_timeout), own)
    }

    fn stalls_at(&self, send_timeout: Duration) -> Option<Instant> {
        match self.phase {
            Phase::Stuck | Phase::Ended => None,
            Phase::Closing => self.socket.stalls_at(FLUSH_TIMEOUT),
            _ => self.socket.stalls_at(send_timeout),
        }
    }

    /// What is waited for is ready.
    pub(crate) fn on_ready(&mut self, context: &mut Context) {
        let outcome = match self.socket.unsent() {
            0 => self.receive(context),
            _ => self.flush(context),
        };
        self.settle(outcome, context);
    }

    /// The time has come that [`due_at`](Self::due_at) has said.
    pub(crate) fn on_time(&mut self, context: &mut Context) {
        let outcome = self.act(context);
        self.settle(outcome, context);
    }

    /// Another connection wants it, or another request.
    pub(crate) fn on_ring(&mut self, context: &mut Context) {
        let outcome = self.wake(context);
        self.settle(outcome, context);
    }

    /// What comes behind every event: the requests that have arrived already.
    fn settle(&mut self, outcome: Outcome, context: &mut Context) {
        if let Err(failed) = outcome.and_then(|()| self.read_heads(context)) {
            self.lose(context, failed.reason());
        }
    }

    fn flush(&mut self, context: &mut Context) -> Outcome {
        self.socket.flush(context.now())?;
        if self.socket.unsent() > 0 {
            return Ok(());
        }
        match self.phase {
            Phase::Taken(_) => self.wake(context)?,
            Phase::Closing => self.linger(context),
            Phase::Stuck => self.end(),
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
            Phase::Taken(taken) => {
                taken.at_end = true;
                let effects = taken.connection.receive_eof(context.now());
                self.carry_out(effects, context)
            }
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
            self.lose(context, "the client takes nothing of what it is sent");
            return Ok(());
        }
        match &self.phase {
            Phase::Waiting(_) => self.give_up_head(Refusal::TIMEOUT, context),
            Phase::Deciding(deciding) if is_over(Some(deciding.until)) => {
                self.stop_deciding(context)
            }
            Phase::Deciding(_) | Phase::Taken(_) => self.wake(context),
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

    /// Calls the handler, whatever it is that it may have been waiting for.
    fn wake(&mut self, context: &mut Context) -> Outcome {
        match &mut self.phase {
            Phase::Taken(taken) => {
                let unsent = self.socket.unsent() as u64;
                let effects = taken.connection.wake(context.now(), unsent);
                self.carry_out(effects, context)
            }
            Phase::Deciding(_) => self.decide(context),
            _ => Ok(()),
        }
    }

    /// The socket has failed, or the client is given up.
    fn lose(&mut self, context: &mut Context, reason: &str) {
        if !matches!(self.phase, Phase::Stuck) {
            let remote = &self.remote;
            context.log.debug(format_args!("{remote}: {reason}"));
        }
        if let Phase::Taken(taken) = &self.phase {
            let rung = taken.connection.lost(context.now());
            context.ring(rung);
        }
        self.report(context);
        self.end();
    }

    fn log_fault(&self, fault: Option<&str>, context: &Context) {
        if let Some(fault) = fault {
            let remote = &self.remote;
            // Any text may be in it: shown so that it begins no line of its own.
            let log = &context.log;
            log.error(format_args!("{remote}: the app is at fault: {fault:?}"));
        }
    }
}

/// The earlier one of those that there are.
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}
