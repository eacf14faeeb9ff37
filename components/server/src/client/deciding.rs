//! The handler has a request and is making up its mind.

use core::mem;

use wasocket_host_core::http1::Refusal;

use super::phase::{Deciding, Phase, Subject};
use super::{Client, Outcome};
use crate::context::Context;
use crate::handler::{Answer, Undecided};
use crate::time::after;

impl Client {
    /// Waits for the handler's answer, and lets it decide for the first time.
    pub(super) fn begin_deciding(
        &mut self,
        undecided: Undecided,
        subject: Subject,
        context: &mut Context,
    ) -> Outcome {
        self.phase = Phase::Deciding(Deciding {
            undecided,
            id: context.next_id(),
            subject,
            wake_at: None,
            until: after(context.now(), context.options.decision_timeout),
        });
        self.decide(context)
    }

    /// Lets the handler go on deciding.
    pub(super) fn decide(&mut self, context: &mut Context) -> Outcome {
        let Phase::Deciding(deciding) = &mut self.phase else {
            return Ok(());
        };
        let deliberation = deciding.undecided.decide(context.now(), deciding.id);
        deciding.wake_at = deliberation.wake_at;
        context.wake(deliberation.wake_others);
        self.log_fault(deliberation.fault.as_deref(), context);
        match deliberation.answer {
            Some(answer) => self.decided(answer, context),
            None => Ok(()),
        }
    }

    fn decided(&mut self, answer: Answer, context: &mut Context) -> Outcome {
        // This drops the handler's `undecided` before its answer is looked at.
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
            "the app did not answer {method} {target} in time, sending 504 (--decision-timeout)"
        ));
        let is_head = subject.framing.is_head;
        self.refuse(Refusal::UNDECIDED, is_head, context)
    }
}
