//! A request that waits for the answer of the handler.

use core::mem;

use wasocket_host_core::http1::Refusal;

use super::phase::{Deciding, Phase, Subject};
use super::{Client, Outcome};
use crate::context::Context;
use crate::handler::{Answer, PendingRequest};
use crate::time::after;

impl Client {
    /// Waits for the handler's answer, and polls it for the first time.
    pub(super) fn begin_deciding(
        &mut self,
        pending_request: PendingRequest,
        subject: Subject,
        context: &mut Context,
    ) -> Outcome {
        self.phase = Phase::Deciding(Deciding {
            pending_request,
            id: context.next_id(),
            subject,
            wake_at: None,
            until: after(context.now(), context.options.decision_timeout),
        });
        self.poll(context)
    }

    /// Polls the request that waits for the handler.
    pub(super) fn poll(&mut self, context: &mut Context) -> Outcome {
        let Phase::Deciding(deciding) = &mut self.phase else {
            return Ok(());
        };
        let poll_result = deciding.pending_request.poll(context.now(), deciding.id);
        deciding.wake_at = poll_result.wake_at;
        context.wake(poll_result.wake_others);
        context.topics.publish(None, poll_result.publications);
        self.log_fault(poll_result.fault.as_deref(), context);
        self.log_refusal(poll_result.refusal.as_deref(), context);
        match poll_result.answer {
            Some(answer) => self.decided(answer, context),
            None => Ok(()),
        }
    }

    fn decided(&mut self, answer: Answer, context: &mut Context) -> Outcome {
        // This drops the handler's pending request before its answer is looked at.
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
        let Subject { method, path, .. } = subject;
        context.log.warn(format_args!(
            "the app did not answer {method} {path:?} in time, sending 504 (--decision-timeout)"
        ));
        let is_head = subject.framing.is_head;
        self.refuse(&Refusal::APP_TIMEOUT.into(), is_head, context)
    }
}
