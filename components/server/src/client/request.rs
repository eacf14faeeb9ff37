//! HTTP until the handler takes over the connection: request heads, and the answers to them.

use alloc::string::ToString;

use bytes::BytesMut;
use wasocket_host_core::http1::limits::HEAD_TIMEOUT;
use wasocket_host_core::http1::{self, BadAnswer, Framing, Refusal};

use super::phase::{Phase, Subject};
use super::{Client, Outcome};
use crate::context::Context;
use crate::handler::{self, Answer, Verdict, handle};
use crate::time::after;

impl Client {
    /// Answers the requests that are in the buffer.
    pub(super) fn read_heads(&mut self, context: &mut Context) -> Outcome {
        while self.socket.unsent() == 0 {
            let Phase::Waiting(waiting) = &mut self.phase else {
                break;
            };
            match waiting.head.read(&mut self.buffer) {
                Ok(Some((request, framing))) => self.handle(request, framing, context)?,
                Ok(None) => {
                    let until = &mut waiting.until;
                    until.get_or_insert_with(|| after(context.now(), HEAD_TIMEOUT));
                    break;
                }
                Err(refused) => {
                    let is_head = waiting.is_head();
                    self.refuse(&refused, is_head, context)?;
                }
            }
        }
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        Ok(())
    }

    /// RFC 9112 §9.5: an idle connection may be closed at any time. A 408 could be mistaken for the response to a
    /// request that crosses it on the way.
    pub(super) fn give_up_head(&mut self, refusal: Refusal, context: &mut Context) -> Outcome {
        match &self.phase {
            Phase::Waiting(waiting) if waiting.head.has_begun() => {
                let is_head = waiting.is_head();
                self.refuse(&refusal.into(), is_head, context)
            }
            _ => {
                self.close(context);
                Ok(())
            }
        }
    }

    fn handle(
        &mut self,
        request: http1::Request,
        framing: Framing,
        context: &mut Context,
    ) -> Outcome {
        let request = handler::request(request, self.remote.clone());
        let decision = handle(&request);
        context.wake(decision.wake_others);
        context.topics.publish(None, decision.publications);
        let subject = Subject {
            method: request.method,
            path: path_of(&request.target).into(),
            framing,
        };
        self.log_fault(decision.fault.as_deref(), context);
        self.log_refusal(decision.refusal.as_deref(), context);
        match decision.verdict {
            Verdict::Answer(answer) => self.answer(answer, subject, context),
            Verdict::Pending(request) => self.begin_deciding(request, subject, context),
        }
    }

    pub(super) fn answer(
        &mut self,
        answer: Answer,
        subject: Subject,
        context: &mut Context,
    ) -> Outcome {
        let framing = subject.framing;
        let outcome = match answer {
            Answer::Respond(response) => {
                handler::response(response).map(|response| self.respond(response, framing, context))
            }
            Answer::Takeover(takeover) => handler::takeover_head(&takeover, framing)
                .map(|head| self.take(head, takeover, context)),
        };
        outcome.unwrap_or_else(|bad| {
            log_bad_answer(&bad, &subject, context);
            let refused = bad.refusal().with(bad.to_string());
            self.refuse(&refused, framing.is_head, context)
        })
    }
}

fn path_of(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

fn log_bad_answer(bad: &BadAnswer, subject: &Subject, context: &Context) {
    let Subject { method, path, .. } = subject;
    // The client's fault, not the app's.
    if *bad != BadAnswer::HttpVersion {
        context.log.error(format_args!(
            "cannot send the app's answer to {method} {path:?}, sending 500: {bad}"
        ));
    }
}
