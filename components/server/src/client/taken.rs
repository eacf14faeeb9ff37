//! The connection is the handler's: bytes in, effects out.

use alloc::vec::Vec;
use core::mem;

use super::ending::CLOSED_END_DELAY;
use super::{Client, Outcome, Phase};
use crate::handler::{Connection, ConnectionId, Effects, Initiator, Instant, Next, Takeover};
use crate::server::Context;

pub(super) struct Taken {
    pub(super) connection: Connection,
    pub(super) id: ConnectionId,
    paused: bool,
    pub(super) at_end: bool,
    pub(super) wake_at: Option<Instant>,
}

impl Taken {
    /// Whether it may be given what arrives.
    pub(super) fn may_receive(&self) -> bool {
        !self.paused && !self.at_end
    }
}

impl Client {
    /// Hands the connection over. The head goes out together with the first output.
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
            paused: false,
            at_end: false,
            wake_at: None,
        });
        self.carry_out(effects, context)
    }

    pub(super) fn carry_out(&mut self, effects: Effects, context: &mut Context) -> Outcome {
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
    pub(super) fn report(&mut self, context: &Context) {
        if let Phase::Taken(taken) = &self.phase {
            let report = taken.connection.report();
            self.log_fault(report.fault.as_deref(), context);
            let initiator = report.closing.map(|closing| closing.initiator);
            if initiator == Some(Initiator::Peer) {
                self.end_delay = CLOSED_END_DELAY;
            }
        }
    }
}
