//! One client's connection: HTTP until the handler takes it over, then the handler's, to its end.
//!
//! While output is unsent nothing is read, in any phase: so no head is read whose takeover would cut a response
//! short, and no peer fills memory with answers that it does not read.

use alloc::string::String;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use bytes::{Buf, BytesMut};
use wasi::io::poll::Pollable;
use wasocket_http1::limits::{
    DISCARD_TIMEOUT, FLUSH_TIMEOUT, HEAD_TIMEOUT, LINGER_TIMEOUT, MAX_LINGERED,
};
use wasocket_http1::{self as http1, BadAnswer, Framing, Head, Refusal, Response};

use crate::handler::{
    self, Answer, Connection, ConnectionId, Effects, Initiator, Instant, Next, Takeover, Undecided,
    Verdict, handle,
};
use crate::server::Context;
use crate::socket::{Failed, Received, Socket, after};

/// How long a client must have sent nothing before our direction ends.
const END_DELAY: Duration = Duration::from_millis(100);

/// The same of a client that has closed its WebSocket: it waits for the end, and sends nothing more.
const CLOSED_END_DELAY: Duration = Duration::from_millis(10);

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
    /// A head is waited for; `until` is known as soon as that is all.
    Head { head: Head, until: Option<Instant> },
    /// The handler has not decided yet.
    Deciding(Deciding),
    /// There is a response, and the rest of a body to be read before it is sent.
    Discarding {
        left: u64,
        until: Instant,
        response: Response,
        is_head: bool,
    },
    /// It is the handler's.
    Taken(Taken),
    /// It is closed when all output is sent.
    Closing,
    /// All is sent, and what the client still sends is discarded. Our direction ends at `ends_at`.
    Lingering {
        left: u64,
        until: Instant,
        ends_at: Option<Instant>,
    },
    /// Given up, but the runtime would wait with dropping the socket.
    Stuck,
    /// To be dropped.
    Ended,
}

struct Deciding {
    undecided: Undecided,
    id: ConnectionId,
    subject: Subject,
    wake_at: Option<Instant>,
    until: Instant,
}

/// A request, when the handler has it.
struct Subject {
    method: String,
    target: String,
    framing: Framing,
}

struct Taken {
    connection: Connection,
    id: ConnectionId,
    paused: bool,
    at_end: bool,
    wake_at: Option<Instant>,
}

impl Phase {
    fn head() -> Self {
        Self::Head {
            head: Head::default(),
            until: None,
        }
    }
}

type Outcome = Result<(), Failed>;

impl Client {
    pub(crate) fn new(socket: Socket, remote: String, now: Instant) -> Self {
        Self {
            socket,
            remote,
            buffer: BytesMut::new(),
            end_delay: END_DELAY,
            phase: Phase::Head {
                head: Head::default(),
                until: Some(after(now, HEAD_TIMEOUT)),
            },
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
        match &self.phase {
            Phase::Taken(taken) if taken.paused || taken.at_end => None,
            Phase::Head { .. }
            | Phase::Discarding { .. }
            | Phase::Taken(_)
            | Phase::Lingering { .. } => Some(self.socket.readable()),
            _ => None,
        }
    }

    /// When there is something to do in any case.
    pub(crate) fn due_at(&self, send_timeout: Duration) -> Option<Instant> {
        let stalls_at = self.stalls_at(send_timeout);
        let own = match &self.phase {
            Phase::Head { until, .. } if self.socket.unsent() == 0 => *until,
            Phase::Deciding(deciding) => earlier(Some(deciding.until), deciding.wake_at),
            Phase::Taken(taken) => taken.wake_at,
            Phase::Discarding { until, .. } => Some(*until),
            Phase::Lingering { until, ends_at, .. } => Some(ends_at.unwrap_or(*until)),
            _ => None,
        };
        earlier(stalls_at, own)
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
            Phase::Head { .. } => self.buffer.extend_from_slice(bytes),
            Phase::Discarding { .. } => {
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
            Phase::Head { .. } => self.give_up_head(Refusal::INCOMPLETE, context),
            Phase::Discarding { .. } => self.stop_discarding(context),
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
            Phase::Head { .. } => self.give_up_head(Refusal::TIMEOUT, context),
            Phase::Deciding(deciding) if is_over(Some(deciding.until)) => {
                self.stop_deciding(context)
            }
            Phase::Deciding(_) | Phase::Taken(_) => self.wake(context),
            Phase::Discarding { .. } => self.stop_discarding(context),
            Phase::Lingering { ends_at, .. } if is_over(*ends_at) => {
                self.finish_sending();
                Ok(())
            }
            _ => {
                self.end();
                Ok(())
            }
        }
    }

    /// RFC 9112 §9.5: an idle connection may be closed at any time. A 408 would be taken for the answer to a
    /// request that crosses it on the way.
    fn give_up_head(&mut self, refusal: Refusal, context: &mut Context) -> Outcome {
        match &self.phase {
            Phase::Head { head, .. } if head.has_begun() => {
                let is_head = head.method() == Some("HEAD");
                self.refuse(refusal, is_head, context)
            }
            _ => {
                self.close(context);
                Ok(())
            }
        }
    }

    /// Answers the requests that are in the buffer.
    fn read_heads(&mut self, context: &mut Context) -> Outcome {
        while self.socket.unsent() == 0 {
            let Phase::Head { head, until } = &mut self.phase else {
                break;
            };
            match head.read(&mut self.buffer) {
                Ok(Some((request, framing))) => self.handle(request, framing, context)?,
                Ok(None) => {
                    until.get_or_insert_with(|| after(context.now(), HEAD_TIMEOUT));
                    break;
                }
                // The answer to HEAD has no body.
                Err(refusal) => {
                    let is_head = head.method() == Some("HEAD");
                    self.refuse(refusal, is_head, context)?;
                }
            }
        }
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        Ok(())
    }

    fn handle(
        &mut self,
        request: http1::Request,
        framing: Framing,
        context: &mut Context,
    ) -> Outcome {
        let request = handler::request(request, self.remote.clone());
        let decision = handle(&request);
        context.ring(decision.wake_others);
        let subject = Subject {
            method: request.method,
            target: request.target,
            framing,
        };
        self.log_fault(decision.fault.as_deref(), context);
        match decision.verdict {
            Verdict::Answer(answer) => self.answer(answer, subject, context),
            Verdict::Later(undecided) => {
                self.phase = Phase::Deciding(Deciding {
                    undecided,
                    id: context.next_id(),
                    subject,
                    wake_at: None,
                    until: after(context.now(), context.options.decision_timeout),
                });
                self.wake(context)
            }
        }
    }

    /// Calls the handler, whatever it is that it may have been waiting for.
    fn wake(&mut self, context: &mut Context) -> Outcome {
        let now = context.now();
        match &mut self.phase {
            Phase::Taken(taken) => {
                let unsent = self.socket.unsent() as u64;
                let effects = taken.connection.wake(now, unsent);
                self.carry_out(effects, context)
            }
            Phase::Deciding(deciding) => {
                let deliberation = deciding.undecided.decide(now, deciding.id);
                deciding.wake_at = deliberation.wake_at;
                context.ring(deliberation.wake_others);
                self.log_fault(deliberation.fault.as_deref(), context);
                match deliberation.answer {
                    Some(answer) => self.decided(answer, context),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn decided(&mut self, answer: Answer, context: &mut Context) -> Outcome {
        let phase = mem::replace(&mut self.phase, Phase::Ended);
        let Phase::Deciding(Deciding { subject, .. }) = phase else {
            return Ok(());
        };
        self.answer(answer, subject, context)
    }

    fn stop_deciding(&mut self, context: &mut Context) -> Outcome {
        let Phase::Deciding(Deciding { subject, .. }) = &self.phase else {
            return Ok(());
        };
        let Subject { method, target, .. } = subject;
        context.log.warn(format_args!(
            "the app has not answered {method} {target} in time (--decision-timeout)"
        ));
        let is_head = subject.framing.is_head;
        self.refuse(Refusal::UNDECIDED, is_head, context)
    }

    fn answer(&mut self, answer: Answer, subject: Subject, context: &mut Context) -> Outcome {
        let framing = subject.framing;
        let outcome = match answer {
            Answer::Respond(response) => {
                handler::response(response).map(|response| self.respond(response, framing, context))
            }
            Answer::Takeover(takeover) => {
                takeover_head(&takeover, framing).map(|head| self.take(head, takeover, context))
            }
        };
        outcome.unwrap_or_else(|bad| {
            log_bad_answer(&bad, &subject, context);
            self.refuse(bad.refusal(), framing.is_head, context)
        })
    }

    /// Sends a response once the body of the request is out of the way. One that ends the connection goes out
    /// at once.
    fn respond(&mut self, response: Response, framing: Framing, context: &mut Context) -> Outcome {
        match framing.discardable() {
            Some(left) if !response.closes() && !framing.is_last => {
                self.phase = Phase::Discarding {
                    left,
                    until: after(context.now(), DISCARD_TIMEOUT),
                    response,
                    is_head: framing.is_head,
                };
                self.discard(context)
            }
            _ => self.finish(response, framing.is_head, context),
        }
    }

    fn discard(&mut self, context: &mut Context) -> Outcome {
        let Phase::Discarding { left, .. } = &mut self.phase else {
            return Ok(());
        };
        let here = usize::try_from(*left).unwrap_or(usize::MAX);
        let here = here.min(self.buffer.len());
        self.buffer.advance(here);
        *left = left.saturating_sub(here as u64);
        if *left > 0 {
            return Ok(());
        }
        match mem::replace(&mut self.phase, Phase::head()) {
            Phase::Discarding {
                response, is_head, ..
            } => self.write(&response, is_head, context),
            _ => Ok(()),
        }
    }

    /// The client has taken too long with its body, or will not send it.
    fn stop_discarding(&mut self, context: &mut Context) -> Outcome {
        match mem::replace(&mut self.phase, Phase::Closing) {
            Phase::Discarding {
                response, is_head, ..
            } => self.finish(response, is_head, context),
            _ => Ok(()),
        }
    }

    fn refuse(&mut self, refusal: Refusal, is_head: bool, context: &mut Context) -> Outcome {
        self.finish(refusal.into(), is_head, context)
    }

    /// Sends the last response.
    fn finish(&mut self, mut response: Response, is_head: bool, context: &mut Context) -> Outcome {
        response.close();
        self.phase = Phase::Closing;
        self.write(&response, is_head, context)?;
        self.close(context);
        Ok(())
    }

    fn write(&mut self, response: &Response, is_head: bool, context: &mut Context) -> Outcome {
        let date = context.date();
        let bytes = response.to_bytes(date.as_deref(), is_head);
        self.socket.send(&bytes, context.now())
    }

    /// Hands the connection over. The head goes out together with the first output.
    fn take(&mut self, mut head: Vec<u8>, takeover: Takeover, context: &mut Context) -> Outcome {
        let id = context.next_id();
        let connection = takeover.connection;
        let residual = mem::take(&mut self.buffer);
        let mut effects = connection.open(context.now(), id, &residual);
        head.append(&mut effects.output);
        effects.output = head;
        self.phase = Phase::Taken(Taken {
            connection,
            id,
            paused: false,
            at_end: false,
            wake_at: None,
        });
        self.carry_out(effects, context)
    }

    fn carry_out(&mut self, effects: Effects, context: &mut Context) -> Outcome {
        context.ring(effects.wake_others);
        match (effects.next, &mut self.phase) {
            (Next::Open | Next::Pause, Phase::Taken(taken)) => {
                taken.wake_at = effects.wake_at;
                taken.paused = effects.next == Next::Pause;
                self.socket.send(&effects.output, context.now())?;
            }
            // The handler has had its last call: its connection is dropped here.
            (Next::Close, _) => {
                self.report(context);
                self.phase = Phase::Closing;
                self.socket.send(&effects.output, context.now())?;
                self.close(context);
            }
            _ => {
                self.report(context);
                self.end();
            }
        }
        Ok(())
    }

    /// What the app's author is to be told, if the app has done something wrong; and how the end came.
    fn report(&mut self, context: &Context) {
        if let Phase::Taken(taken) = &self.phase {
            let report = taken.connection.report();
            self.log_fault(report.fault.as_deref(), context);
            let initiator = report.closing.map(|closing| closing.initiator);
            if initiator == Some(Initiator::Peer) {
                self.end_delay = CLOSED_END_DELAY;
            }
        }
    }

    fn log_fault(&self, fault: Option<&str>, context: &Context) {
        if let Some(fault) = fault {
            let remote = &self.remote;
            // Any text may be in it: shown so that it begins no line of its own.
            let log = &context.log;
            log.error(format_args!("{remote}: the app is at fault: {fault:?}"));
        }
    }

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

    /// Closes when all output is sent.
    fn close(&mut self, context: &mut Context) {
        self.phase = Phase::Closing;
        self.buffer = BytesMut::new();
        if self.socket.unsent() == 0 {
            self.linger(context);
        }
    }

    /// RFC 9112 §9.6: closing with unread input makes the system send a reset, which can erase "the server's
    /// last response" at the client before it is read.
    ///
    /// jco ends our direction with the drop of its stream, wasmtime with `shutdown`; with which jco ends both, so
    /// a client that may still be sending is heard out before.
    fn linger(&mut self, context: &mut Context) {
        self.socket.drop_output();
        let now = context.now();
        self.phase = Phase::Lingering {
            left: MAX_LINGERED,
            until: after(now, LINGER_TIMEOUT),
            ends_at: Some(after(now, self.end_delay)),
        };
    }

    fn finish_sending(&mut self) {
        if let Phase::Lingering { ends_at, .. } = &mut self.phase {
            *ends_at = None;
        }
        self.socket.finish_sending();
    }

    fn linger_on(&mut self, bytes: &[u8], now: Instant) {
        if let Phase::Lingering { left, ends_at, .. } = &mut self.phase {
            if let Some(ends_at) = ends_at {
                *ends_at = after(now, self.end_delay);
            }
            *left = left.saturating_sub(bytes.len() as u64);
            if *left == 0 {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        self.phase = match self.socket.can_be_dropped() {
            true => Phase::Ended,
            false => Phase::Stuck,
        };
    }
}

/// Checks a takeover, and has the head that it begins with. One that is not made drops the handler's
/// connection.
fn takeover_head(takeover: &Takeover, framing: Framing) -> Result<Vec<u8>, BadAnswer> {
    framing.check_takeover()?;
    let head = takeover.response.as_ref();
    let head = head.map(|head| (head.status, &head.fields[..]));
    http1::takeover_head(head, &takeover.farewell, framing.expects_continue)
}

fn log_bad_answer(bad: &BadAnswer, subject: &Subject, context: &Context) {
    let Subject { method, target, .. } = subject;
    // The client's fault, not the app's.
    if *bad != BadAnswer::HttpVersion {
        context.log.error(format_args!(
            "the app's answer to {method} {target} is refused: {bad}"
        ));
    }
}

/// The earlier one of those that there are.
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}
