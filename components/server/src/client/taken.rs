//! The connection is the handler's: bytes in, effects out. `Turn` says which call comes next.

use alloc::vec::Vec;
use core::mem;

use wasocket_host_core::turn::{Call, Ending, Turn};

use super::arrivals::Arrivals;
use super::ending::CLOSED_END_DELAY;
use super::phase::{Phase, Taken};
use super::{Client, Outcome};
use crate::context::Context;
use crate::handler::{Effects, Initiator, Takeover, TopicAction};

impl Client {
    /// Hands the connection over. The head is sent together with the first output.
    pub(super) fn take(
        &mut self,
        mut head: Vec<u8>,
        takeover: Takeover,
        context: &mut Context,
    ) -> Outcome {
        let id = context.next_id();
        let connection = takeover.connection;
        let residual = mem::take(&mut self.buffer);
        let mut effects = connection.open(context.now(), id, &residual);
        head.append(&mut effects.output);
        effects.output = head;
        self.phase = Phase::Taken(Taken {
            connection,
            id,
            turn: Turn::new(),
            waiting: Arrivals::default(),
        });
        self.carry_out(effects, context)
    }

    /// Wakes the connection, if `Turn` says that the event requires it.
    pub(super) fn wake_if(
        &mut self,
        happened: impl FnOnce(&mut Turn) -> Option<Call>,
        context: &mut Context,
    ) -> Outcome {
        let Phase::Taken(taken) = &mut self.phase else {
            return Ok(());
        };
        if happened(&mut taken.turn).is_none() {
            return Ok(());
        }
        let unsent = taken.turn.unsent() as u64;
        let effects = taken.connection.wake(context.now(), unsent);
        self.carry_out(effects, context)
    }

    pub(super) fn receive_eof(&mut self, context: &mut Context) -> Outcome {
        let Phase::Taken(taken) = &mut self.phase else {
            return Ok(());
        };
        if taken.turn.on_eof().is_none() {
            return Ok(());
        }
        let effects = taken.connection.receive_eof(context.now());
        self.carry_out(effects, context)
    }

    pub(super) fn carry_out(&mut self, effects: Effects, context: &mut Context) -> Outcome {
        context.wake(effects.wake_others);
        let Phase::Taken(taken) = &mut self.phase else {
            return Ok(());
        };
        let ending = taken.turn.on_effects(effects.next.into(), effects.wake_at);
        let mut topics = effects.topics;
        if ending.is_some() {
            // All that is left of a connection that has ended.
            topics.retain(|action| matches!(action, TopicAction::Publish(_)));
        }
        context.topics.act(taken.id, topics);
        match ending {
            None => {
                self.socket.send(&effects.output, context.now())?;
                let unsent = self.socket.unsent();
                self.wake_if(|turn| turn.on_sent(unsent), context)?;
            }
            Some(Ending::Close | Ending::FinalBytes) => {
                // This drops the handler's connection, which has had its last call.
                self.report(context);
                self.phase = Phase::Closing;
                self.socket.send(&effects.output, context.now())?;
                self.close(context);
            }
            Some(Ending::Abort) => {
                self.report(context);
                self.end();
            }
        }
        Ok(())
    }

    /// Tells the handler that the socket failed or the client was given up.
    pub(super) fn lose_connection(&mut self, context: &mut Context) {
        if let Phase::Taken(taken) = &mut self.phase
            && taken.turn.on_lost().is_some()
        {
            let last = taken.connection.lost(context.now());
            context.wake(last.wake_others);
            context.topics.publish(Some(taken.id), last.publications);
        }
        self.report(context);
    }

    /// Ends the subscriptions, logs the app's fault, if any, and notes who ended the connection.
    fn report(&mut self, context: &mut Context) {
        let Phase::Taken(taken) = &mut self.phase else {
            return;
        };
        if taken.turn.on_report().is_none() {
            return;
        }
        context.topics.leave(taken.id);
        let report = taken.connection.report();
        self.log_fault(report.fault.as_deref(), context);
        let initiator = report.closing.map(|closing| closing.initiator);
        if initiator == Some(Initiator::Peer) {
            self.end_delay = CLOSED_END_DELAY;
        }
    }
}
