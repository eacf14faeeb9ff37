//! The handler has a request, and thinks about it.

use core::mem;

use wasocket_host_core::http1::Refusal;

use super::request::Subject;
use super::{Client, Outcome, Phase, earlier};
use crate::handler::{Answer, ConnectionId, Instant, Undecided};
use crate::server::Context;
use crate::socket::after;

pub(super) struct Deciding {
    undecided: Undecided,
    pub(super) id: ConnectionId,
    subject: Subject,
    wake_at: Option<Instant>,
    /// How long it may take.
    pub(super) until: Instant,
}

impl Deciding {
    pub(super) fn new(undecided: Undecided, subject: Subject, context: &mut Context) -> Self {
        Self {
            undecided,
            id: context.next_id(),
            subject,
            wake_at: None,
            until: after(context.now(), context.options.decision_timeout),
        }
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        earlier(Some(self.until), self.wake_at)
    }
}

impl Client {
    /// Lets the handler go on deciding.
    pub(super) fn decide(&mut self, context: &mut Context) -> Outcome {
        let Phase::Deciding(deciding) = &mut self.phase else {
            return Ok(());
        };
        let deliberation = deciding.undecided.decide(context.now(), deciding.id);
        deciding.wake_at = deliberation.wake_at;
        context.ring(deliberation.wake_others);
        self.log_fault(deliberation.fault.as_deref(), context);
        match deliberation.answer {
            Some(answer) => self.decided(answer, context),
            None => Ok(()),
        }
    }

    fn decided(&mut self, answer: Answer, context: &mut Context) -> Outcome {
        // The handler's `undecided` is dropped here, before its answer is looked at.
        let phase = mem::replace(&mut self.phase, Phase::Ended);
        let Phase::Deciding(Deciding { subject, .. }) = phase else {
            return Ok(());
        };
        self.answer(answer, subject, context)
    }

    pub(super) fn stop_deciding(&mut self, context: &mut Context) -> Outcome {
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
}
