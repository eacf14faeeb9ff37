//! Calls into the component, in the order of the contract, told as they are made.

use std::fmt::Write as _;
use std::time::Duration;

use wasmtime::component::ResourceAny;
use wasocket_host_core::answer;
use wasocket_host_core::turn::Turn;
use wasocket_vectors::Frame;

use wasocket_host::bindings::{
    Answer, Arrival, Ceiling, Effects, Instant, Next, Report, Request, ResumeError, ShutdownReason,
    Takeover,
};
use wasocket_host::guest::GuestFault;
use wasocket_host::guest::{Guest, finish};

use super::report::Failure;
use super::subject::Subject;

/// A second, in nanoseconds.
pub(crate) const SECOND: Instant = 1_000_000_000;

/// How often a connection may want to be called again at one instant.
const MAX_WAKES: usize = 100;

/// What is tried with a component, and how it went so far.
pub(crate) struct Trial<'a> {
    pub(crate) subject: &'a mut Subject,
    /// What has been done, for a person.
    told: String,
    /// How many wakes in a row were wanted at one instant.
    wakes: usize,
    pub(crate) now: Instant,
}

/// A connection of the component.
pub(crate) struct Line {
    connection: ResourceAny,
    id: u64,
    /// The latest `next`.
    pub(crate) next: Next,
    turn: Turn,
}

impl Line {
    /// A connection that is about to be opened, or has just been resumed.
    fn new(connection: ResourceAny, id: u64) -> Self {
        Self {
            connection,
            id,
            next: Next::Open,
            turn: Turn::new(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.turn.is_open()
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.turn.wake_at()
    }

    fn on_effects(&mut self, next: Next, wake_at: Option<Instant>) {
        self.next = next;
        // There is no socket to end.
        let _ = self.turn.on_effects(next.into(), wake_at);
    }
}

impl<'a> Trial<'a> {
    pub(crate) fn new(subject: &'a mut Subject) -> Self {
        Self {
            subject,
            told: String::new(),
            wakes: 0,
            now: SECOND,
        }
    }

    /// Notes what is done.
    pub(crate) fn tell(&mut self, what: &str) {
        let separator = if self.told.is_empty() { "" } else { ", " };
        let _ = write!(self.told, "{separator}{what}");
    }

    /// Forgets what was done: another attempt begins.
    pub(crate) fn begin(&mut self) {
        self.told.clear();
    }

    pub(crate) fn failure(&self, expected: &str, received: impl Into<String>) -> Failure {
        Failure {
            sent: self.told.clone(),
            expected: expected.to_owned(),
            received: received.into(),
        }
    }

    /// Fails unless something holds.
    pub(crate) fn expect(
        &self,
        holds: bool,
        expected: &str,
        received: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match holds {
            true => Ok(()),
            false => Err(self.failure(expected, received())),
        }
    }

    pub(crate) fn fault(&self, fault: &impl ToString) -> Failure {
        self.failure("no fault", fault.to_string())
    }

    pub(crate) fn handle(&mut self, request: &Request) -> Result<Answer, Failure> {
        self.tell(&format!("{} {}", request.method, request.target));
        let answer = self.subject.handle(request);
        answer.map_err(|none| self.fault(&none))
    }

    /// Has the opening handshake accepted.
    pub(crate) fn take_over(&mut self) -> Result<Takeover, Failure> {
        let request = self.subject.handshake(&[]);
        match self.handle(&request)? {
            Answer::Takeover(takeover) => {
                let head = takeover.response.as_ref();
                let head = head.map(|head| (head.status, &head.fields[..]));
                let checked = answer::takeover(head, &takeover.farewell, &request.fields);
                checked.map_err(|bad| self.failure("a head that can be sent", bad.to_string()))?;
                Ok(takeover)
            }
            Answer::Respond(response) => {
                let status = response.head.status;
                Err(self.failure("status 101", format!("status {status}")))
            }
        }
    }

    /// Opens a connection with bytes behind the request head.
    pub(crate) fn open(&mut self, residual: &[u8]) -> Result<(Line, Vec<u8>), Failure> {
        let connection = self.take_over()?.connection;
        let id = self.subject.next_id();
        let mut line = Line::new(connection, id);
        let now = self.now;
        let what = format!("open with {}", shown(residual));
        let output = self.call(&mut line, &what, |guest| {
            finish(guest.open(connection, now, id, residual))
        })?;
        Ok((line, output))
    }

    /// Those who run it allow no more than this.
    pub(crate) fn limit(&mut self, line: &Line, ceiling: Ceiling) -> Result<(), Failure> {
        self.tell(&format!(
            "limit (max-message-size {:?}, max-messages-per-second {:?})",
            ceiling.max_message_size, ceiling.max_messages_per_second
        ));
        let connection = line.connection;
        let limited = self
            .subject
            .call(|guest| finish(guest.limit(connection, ceiling)));
        limited.map_err(|fault| self.fault(&fault))
    }

    /// Bytes arrive. A connection that has paused is first given the time it asks for.
    pub(crate) fn receive(&mut self, line: &mut Line, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut output = self.resume(line)?;
        let (connection, now) = (line.connection, self.now);
        let received = self.call(line, &format!("receive {}", shown(bytes)), |guest| {
            finish(guest.receive(connection, now, bytes))
        })?;
        output.extend(received);
        Ok(output)
    }

    /// Bytes arrive on several connections in one call. None of them has paused.
    pub(crate) fn receive_many(
        &mut self,
        lines: &mut [Line],
        pieces: &[&[u8]],
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let pieces_shown: Vec<_> = pieces.iter().map(|bytes| shown(bytes)).collect();
        self.tell(&format!("receive-many ({})", pieces_shown.join("; ")));
        let arrival = |(line, bytes): (&Line, &&[u8])| Arrival {
            connection: line.connection,
            length: bytes.len() as u32,
        };
        let arrived: Vec<_> = lines.iter().zip(pieces).map(arrival).collect();
        let (now, bytes) = (self.now, pieces.concat());
        let received = |guest: &mut Guest| finish(guest.receive_many(now, &arrived, &bytes));
        let outcomes = self.subject.call(received);
        let outcomes = outcomes.map_err(|fault| self.fault(&fault))?;
        let number = outcomes.each.len();
        self.expect(number == lines.len(), "an outcome of each", || {
            format!("{number} outcomes")
        })?;
        let mut rest = &outcomes.output[..];
        let mut outputs = Vec::new();
        for (line, outcome) in lines.iter_mut().zip(&outcomes.each) {
            let parts = rest.split_at_checked(outcome.output_length as usize);
            let (output, behind) = parts.ok_or_else(|| self.failure("all output", "less"))?;
            rest = behind;
            line.on_effects(outcome.next, outcome.wake_at);
            let mut output = output.to_vec();
            if line.turn.on_time(now).is_some() {
                output.extend(self.wake(line, 0)?);
            }
            outputs.push(output);
        }
        self.expect(rest.is_empty(), "no output but the connections'", || {
            shown(rest)
        })?;
        Ok(outputs)
    }

    fn resume(&mut self, line: &mut Line) -> Result<Vec<u8>, Failure> {
        const MOST: usize = 100;
        let mut output = Vec::new();
        for _ in 0..MOST {
            match (line.next, line.wake_at()) {
                (Next::Pause, Some(at)) => self.now = self.now.max(at),
                _ => break,
            }
            output.extend(self.wake(line, 0)?);
        }
        self.expect(
            line.next == Next::Open,
            "a connection that is read from",
            || format!("a `next` of {:?}", line.next),
        )?;
        Ok(output)
    }

    pub(crate) fn receive_eof(&mut self, line: &mut Line) -> Result<Vec<u8>, Failure> {
        let (connection, now) = (line.connection, self.now);
        self.call(line, "receive-eof", |guest| {
            finish(guest.receive_eof(connection, now))
        })
    }

    /// Wakes a connection; again, if it wants to be at once.
    pub(crate) fn wake(&mut self, line: &mut Line, unsent: usize) -> Result<Vec<u8>, Failure> {
        let (connection, now) = (line.connection, self.now);
        self.call(line, &format!("wake (unsent {unsent})"), |guest| {
            finish(guest.wake(connection, now, unsent))
        })
    }

    pub(crate) fn shutdown(
        &mut self,
        line: &mut Line,
        reason: ShutdownReason,
    ) -> Result<Vec<u8>, Failure> {
        let (connection, now) = (line.connection, self.now);
        let what = match reason {
            ShutdownReason::GoingAway => "shutdown (going-away)",
            ShutdownReason::ServiceRestart => "shutdown (service-restart)",
        };
        self.call(line, what, |guest| {
            finish(guest.shutdown(connection, now, reason))
        })
    }

    /// The socket is lost; the connection is dropped.
    pub(crate) fn lose(&mut self, line: Line) -> Result<(), Failure> {
        self.lost(&line)?;
        self.report(line).map(drop)
    }

    /// The socket is lost.
    pub(crate) fn lost(&mut self, line: &Line) -> Result<(), Failure> {
        self.tell("lost");
        let (connection, now) = (line.connection, self.now);
        let lost = self
            .subject
            .call(|guest| finish(guest.lost(connection, now)));
        lost.map(drop).map_err(|fault| self.fault(&fault))
    }

    /// What became of a connection that has ended; it is dropped.
    pub(crate) fn report(&mut self, line: Line) -> Result<Report, Failure> {
        self.tell("report");
        let connection = line.connection;
        let report = self.subject.call(|guest| finish(guest.report(connection)));
        let report = report.map_err(|fault| self.fault(&fault))?;
        self.close(line)?;
        Ok(report)
    }

    /// The connection as a value, if it can be one. It is to be dropped then.
    pub(crate) fn suspend(&mut self, line: &Line) -> Result<Option<Vec<u8>>, Failure> {
        self.tell("suspend");
        let (connection, now) = (line.connection, self.now);
        let state = self
            .subject
            .call(|guest| finish(guest.suspend(connection, now)));
        state.map_err(|fault| self.fault(&fault))
    }

    /// Makes a connection of a state, unless the component says that it is none.
    pub(crate) fn resume_from(
        &mut self,
        state: &[u8],
    ) -> Result<Result<Line, ResumeError>, Failure> {
        self.tell(&format!("resume {}", shown(state)));
        let (id, now) = (self.subject.next_id(), self.now);
        let resume = |guest: &mut Guest| finish(guest.resume(now, id, Duration::ZERO, state));
        let resumed = self.subject.call(resume);
        let resumed = resumed.map_err(|fault| self.fault(&fault))?;
        Ok(resumed.map(|resumed| {
            let mut line = Line::new(resumed.connection, id);
            line.on_effects(resumed.effects.next, resumed.effects.wake_at);
            line
        }))
    }

    /// Another instance goes on.
    pub(crate) fn renew(&mut self) {
        self.tell("another instance");
        self.subject.renew();
    }

    /// Drops the connection.
    pub(crate) fn close(&mut self, line: Line) -> Result<(), Failure> {
        self.discard(line.connection)
    }

    pub(crate) fn discard(&mut self, connection: ResourceAny) -> Result<(), Failure> {
        self.tell("drop");
        let dropped = self.subject.drop_connection(connection);
        dropped.map_err(|fault| self.fault(&fault))
    }

    fn call(
        &mut self,
        line: &mut Line,
        what: &str,
        call: impl FnOnce(&mut Guest) -> Result<Effects, GuestFault>,
    ) -> Result<Vec<u8>, Failure> {
        self.tell(what);
        let effects = self.subject.call(call);
        let effects = effects.map_err(|fault| self.fault(&fault))?;
        line.on_effects(effects.next, effects.wake_at);
        self.expect(
            !effects.wake_others.contains(&line.id),
            "in `wake-others`, connections other than the one that was called",
            || "that connection".to_owned(),
        )?;
        let mut output = effects.output;
        let is_due = line.turn.on_time(self.now).is_some();
        // What it has left to do, it may do in the next call.
        self.wakes = if is_due { self.wakes + 1 } else { 0 };
        self.expect(self.wakes < MAX_WAKES, "a connection that rests", || {
            format!("a `wake-at` of now, {MAX_WAKES} times")
        })?;
        if is_due {
            output.extend(self.wake(line, 0)?);
        }
        Ok(output)
    }

    /// The frames of an output, which ends with a whole one.
    pub(crate) fn frames(&self, output: &[u8]) -> Result<Vec<Frame>, Failure> {
        Frame::read_all(output).map_err(|error| self.failure("whole frames", error))
    }
}

/// Bytes for a person, cut where they are long.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 40;
    let start: Vec<_> = bytes
        .iter()
        .take(MOST)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    match bytes.len() {
        0 => "no bytes".to_owned(),
        1..=MOST => start.join(" "),
        length => format!("{}.. ({length} bytes)", start.join(" ")),
    }
}

/// Frames for a person.
pub(crate) fn listed(frames: &[Frame]) -> String {
    let frames: Vec<_> = frames.iter().map(Frame::to_string).collect();
    match frames.is_empty() {
        true => "no frame".to_owned(),
        false => frames.join(", "),
    }
}
