//! Calls into the component, in the order the contract demands, recorded as they are made.

use std::fmt::Write as _;
use std::time::Duration;

use wasmtime::component::ResourceAny;
use wasocket_host_core::answer;
use wasocket_host_core::turn::Turn;
use wasocket_vectors::Frame;

use wasocket_host::bindings::{
    Answer, Effects, Instant, MessageLimits, Next, Report, Request, ResumeError, ShutdownReason,
    Suspended, Suspension, Takeover, TopicAction,
};
use wasocket_host::guest::GuestFault;
use wasocket_host::guest::{Guest, finish};

use super::report::Failure;
use super::subject::Subject;

/// One second, in nanoseconds.
pub(crate) const SECOND: Instant = 1_000_000_000;

/// The most wakes in a row that a connection may ask for at the same instant.
const MAX_WAKES: usize = 100;

/// A test of a component, with a record of the calls so far.
pub(crate) struct Trial<'a> {
    pub(crate) subject: &'a mut Subject,
    /// The record, for people.
    told: String,
    /// Number of wakes in a row at the same instant.
    wakes: usize,
    pub(crate) now: Instant,
}

/// A connection of the component.
pub(crate) struct Connection {
    pub(super) handle: ResourceAny,
    id: u64,
    /// The latest `next`.
    pub(crate) next: Next,
    /// The topics that it has subscribed to.
    pub(super) topics: Vec<String>,
    pub(super) turn: Turn,
}

impl Connection {
    /// A connection about to be opened, or just resumed.
    fn new(handle: ResourceAny, id: u64) -> Self {
        Self {
            handle,
            id,
            next: Next::Open,
            topics: Vec::new(),
            turn: Turn::new(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.turn.is_open()
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.turn.wake_at()
    }

    pub(super) fn on_effects(&mut self, next: Next, wake_at: Option<Instant>) {
        self.next = next;
        // There is no socket to close.
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

    /// Records what is done.
    pub(crate) fn tell(&mut self, what: &str) {
        let separator = if self.told.is_empty() { "" } else { ", " };
        let _ = write!(self.told, "{separator}{what}");
    }

    /// Clears the record for another attempt.
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

    /// Fails unless a condition holds.
    pub(crate) fn expect(
        &self,
        holds: bool,
        expected: &str,
        received: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if holds {
            Ok(())
        } else {
            Err(self.failure(expected, received()))
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

    /// Expects the opening handshake to be accepted.
    pub(crate) fn take_over(&mut self) -> Result<Takeover, Failure> {
        self.take_over_with(&[])
    }

    fn take_over_with(&mut self, fields: &[(&str, &str)]) -> Result<Takeover, Failure> {
        let request = self.subject.handshake(fields);
        match self.handle(&request)? {
            Answer::Takeover(takeover) => {
                let head = takeover.response.as_ref();
                let head = head.map(|head| (head.status, &head.fields[..]));
                let checked = answer::takeover(head, &takeover.final_bytes, &request.fields);
                checked.map_err(|bad| self.failure("a head that can be sent", bad.to_string()))?;
                Ok(takeover)
            }
            Answer::Respond(response) => {
                let status = response.head.status;
                Err(self.failure("status 101", format!("status {status}")))
            }
        }
    }

    /// Opens a connection with bytes after the request head.
    pub(crate) fn open(&mut self, residual: &[u8]) -> Result<(Connection, Vec<u8>), Failure> {
        self.open_with(&[], residual)
    }

    /// The same, with these further fields in the handshake.
    pub(super) fn open_with(
        &mut self,
        fields: &[(&str, &str)],
        residual: &[u8],
    ) -> Result<(Connection, Vec<u8>), Failure> {
        let handle = self.take_over_with(fields)?.connection;
        let id = self.subject.next_id();
        let mut connection = Connection::new(handle, id);
        let now = self.now;
        let what = format!("open with {}", shown(residual));
        let output = self.call(&mut connection, &what, |guest| {
            finish(guest.open(handle, now, id, residual))
        })?;
        Ok((connection, output))
    }

    /// Limits a connection.
    pub(crate) fn set_limits(
        &mut self,
        connection: &Connection,
        limits: MessageLimits,
    ) -> Result<(), Failure> {
        self.tell(&format!(
            "set-limits (max-message-size {:?}, max-messages-per-second {:?})",
            limits.max_message_size, limits.max_messages_per_second
        ));
        let handle = connection.handle;
        let limited = self
            .subject
            .call(|guest| finish(guest.set_limits(handle, limits)));
        limited.map_err(|fault| self.fault(&fault))
    }

    /// Bytes arrive. A paused connection first gets the time it asked for.
    pub(crate) fn receive(
        &mut self,
        connection: &mut Connection,
        bytes: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let mut output = self.resume(connection)?;
        let (handle, now) = (connection.handle, self.now);
        let received = self.call(connection, &format!("receive {}", shown(bytes)), |guest| {
            finish(guest.receive(handle, now, bytes))
        })?;
        output.extend(received);
        Ok(output)
    }

    fn resume(&mut self, connection: &mut Connection) -> Result<Vec<u8>, Failure> {
        const MOST: usize = 100;
        let mut output = Vec::new();
        for _ in 0..MOST {
            match (connection.next, connection.wake_at()) {
                (Next::Pause, Some(at)) => self.now = self.now.max(at),
                _ => break,
            }
            output.extend(self.wake(connection, 0)?);
        }
        self.expect(
            connection.next == Next::Open,
            "a connection that is read from",
            || format!("a `next` of {:?}", connection.next),
        )?;
        Ok(output)
    }

    pub(crate) fn receive_eof(&mut self, connection: &mut Connection) -> Result<Vec<u8>, Failure> {
        let (handle, now) = (connection.handle, self.now);
        self.call(connection, "receive-eof", |guest| {
            finish(guest.receive_eof(handle, now))
        })
    }

    /// Wakes a connection, again if it asks for that at once.
    pub(crate) fn wake(
        &mut self,
        connection: &mut Connection,
        unsent: usize,
    ) -> Result<Vec<u8>, Failure> {
        let (handle, now) = (connection.handle, self.now);
        self.call(connection, &format!("wake (unsent {unsent})"), |guest| {
            finish(guest.wake(handle, now, unsent))
        })
    }

    pub(crate) fn shutdown(
        &mut self,
        connection: &mut Connection,
        reason: ShutdownReason,
    ) -> Result<Vec<u8>, Failure> {
        let (handle, now) = (connection.handle, self.now);
        let what = match reason {
            ShutdownReason::GoingAway => "shutdown (going-away)",
            ShutdownReason::ServiceRestart => "shutdown (service-restart)",
        };
        self.call(connection, what, |guest| {
            finish(guest.shutdown(handle, now, reason))
        })
    }

    /// The socket is lost; drops the connection.
    pub(crate) fn lose(&mut self, connection: Connection) -> Result<(), Failure> {
        self.lost(&connection)?;
        self.report(connection).map(drop)
    }

    /// The socket is lost.
    pub(crate) fn lost(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.tell("lost");
        let (handle, now) = (connection.handle, self.now);
        let lost = self.subject.call(|guest| finish(guest.lost(handle, now)));
        lost.map(drop).map_err(|fault| self.fault(&fault))
    }

    /// The report of a connection that has ended; drops it.
    pub(crate) fn report(&mut self, connection: Connection) -> Result<Report, Failure> {
        self.tell("report");
        let handle = connection.handle;
        let report = self.subject.call(|guest| finish(guest.report(handle)));
        let report = report.map_err(|fault| self.fault(&fault))?;
        self.close(connection)?;
        Ok(report)
    }

    /// The connection's state, if it can be suspended. The connection must then be dropped.
    pub(crate) fn suspend(&mut self, connection: &Connection) -> Result<Option<Vec<u8>>, Failure> {
        let suspended = self.suspended(connection)?;
        Ok(suspended.map(|suspended| suspended.state))
    }

    /// The same, with its `keepalive`.
    pub(crate) fn suspended(
        &mut self,
        connection: &Connection,
    ) -> Result<Option<Suspended>, Failure> {
        self.tell("suspend");
        let (handle, now) = (connection.handle, self.now);
        let state = self
            .subject
            .call(|guest| finish(guest.suspend(handle, now)));
        state.map_err(|fault| self.fault(&fault))
    }

    /// Resumes a connection from a state, unless the component rejects it. Returns the output, too.
    pub(crate) fn resume_from(
        &mut self,
        state: &[u8],
    ) -> Result<Result<(Connection, Vec<u8>), ResumeError>, Failure> {
        self.resume_after(Duration::ZERO.into(), state)
    }

    /// The same, after this has happened.
    pub(crate) fn resume_after(
        &mut self,
        suspension: Suspension,
        state: &[u8],
    ) -> Result<Result<(Connection, Vec<u8>), ResumeError>, Failure> {
        self.tell(&format!("resume {}", shown(state)));
        let (id, now) = (self.subject.next_id(), self.now);
        let resume = |guest: &mut Guest| finish(guest.resume(now, id, suspension, state));
        let resumed = self.subject.call(resume);
        let resumed = resumed.map_err(|fault| self.fault(&fault))?;
        Ok(resumed.map(|resumed| {
            let mut connection = Connection::new(resumed.connection, id);
            connection.on_effects(resumed.effects.next, resumed.effects.wake_at);
            (connection, resumed.effects.output)
        }))
    }

    /// Continues with a new instance.
    pub(crate) fn renew(&mut self) {
        self.tell("another instance");
        self.subject.renew();
    }

    /// Drops the connection.
    pub(crate) fn close(&mut self, connection: Connection) -> Result<(), Failure> {
        self.discard(connection.handle)
    }

    pub(crate) fn discard(&mut self, handle: ResourceAny) -> Result<(), Failure> {
        self.tell("drop");
        let dropped = self.subject.drop_connection(handle);
        dropped.map_err(|fault| self.fault(&fault))
    }

    pub(super) fn call(
        &mut self,
        connection: &mut Connection,
        what: &str,
        call: impl FnOnce(&mut Guest) -> Result<Effects, GuestFault>,
    ) -> Result<Vec<u8>, Failure> {
        self.tell(what);
        let effects = self.subject.call(call);
        let effects = effects.map_err(|fault| self.fault(&fault))?;
        connection.on_effects(effects.next, effects.wake_at);
        connection.topics.extend(subscribed(effects.topics));
        self.expect(
            !effects.wake_others.contains(&connection.id),
            "in `wake-others`, connections other than the one that was called",
            || "that connection".to_owned(),
        )?;
        let mut output = effects.output;
        let is_due = connection.turn.on_time(self.now).is_some();
        // It may do the rest in the next call.
        self.wakes = if is_due { self.wakes + 1 } else { 0 };
        self.expect(self.wakes < MAX_WAKES, "a connection that rests", || {
            format!("a `wake-at` of now, {MAX_WAKES} times")
        })?;
        if is_due {
            output.extend(self.wake(connection, 0)?);
        }
        Ok(output)
    }

    /// The frames of an output, which must end with a complete one.
    pub(crate) fn frames(&self, output: &[u8]) -> Result<Vec<Frame>, Failure> {
        Frame::read_all(output).map_err(|error| self.failure("whole frames", error))
    }
}

/// The topics that these actions subscribe to.
fn subscribed(actions: Vec<TopicAction>) -> impl Iterator<Item = String> {
    actions.into_iter().filter_map(|action| match action {
        TopicAction::Subscribe(subscription) => Some(subscription.topic),
        _ => None,
    })
}

/// Bytes in readable form, cut if long.
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

/// Frames in readable form.
pub(crate) fn listed(frames: &[Frame]) -> String {
    let frames: Vec<_> = frames.iter().map(Frame::to_string).collect();
    if frames.is_empty() {
        "no frame".to_owned()
    } else {
        frames.join(", ")
    }
}
