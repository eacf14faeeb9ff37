//! Plain HTTP responses, sent once the request body has been read.

use core::mem;

use bytes::Buf;
use wasocket_host_core::http1::limits::DISCARD_TIMEOUT;
use wasocket_host_core::http1::{Framing, Refused, Response};

use super::phase::{Discarding, Phase, Waiting};
use super::{Client, Outcome};
use crate::context::Context;
use crate::time::after;

impl Client {
    /// Sends a response once the request body has been read. A response that ends the connection is sent at once.
    pub(super) fn respond(
        &mut self,
        response: Response,
        framing: Framing,
        context: &mut Context,
    ) -> Outcome {
        match framing.discardable() {
            Some(left) if !response.closes() && !framing.is_last => {
                self.phase = Phase::Discarding(Discarding {
                    left,
                    until: after(context.now(), DISCARD_TIMEOUT),
                    response,
                    is_head: framing.is_head,
                });
                self.discard(context)
            }
            _ => self.finish(response, framing.is_head, context),
        }
    }

    /// Drops the part of the body that is in the buffer, and responds after the last of it.
    pub(super) fn discard(&mut self, context: &mut Context) -> Outcome {
        let Phase::Discarding(Discarding { left, .. }) = &mut self.phase else {
            return Ok(());
        };
        let here = usize::try_from(*left).unwrap_or(usize::MAX);
        let here = here.min(self.buffer.len());
        self.buffer.advance(here);
        *left = left.saturating_sub(here as u64);
        if *left > 0 {
            return Ok(());
        }
        match mem::replace(&mut self.phase, Phase::Waiting(Waiting::default())) {
            Phase::Discarding(Discarding {
                response, is_head, ..
            }) => self.write(&response, is_head, context),
            _ => Ok(()),
        }
    }

    /// Responds without the rest of the body: the client takes too long, or will not send it.
    pub(super) fn stop_discarding(&mut self, context: &mut Context) -> Outcome {
        match mem::replace(&mut self.phase, Phase::Closing) {
            Phase::Discarding(Discarding {
                response, is_head, ..
            }) => self.finish(response, is_head, context),
            _ => Ok(()),
        }
    }

    pub(super) fn refuse(
        &mut self,
        refused: &Refused,
        is_head: bool,
        context: &mut Context,
    ) -> Outcome {
        let (remote, status) = (&self.remote, refused.refusal.status);
        let message = format_args!("{remote}: refused with {status}: {refused}");
        context.log.refusal(context.now(), message);
        self.finish(refused.refusal.into(), is_head, context)
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
}
