use crate::topics::Publication;
use alloc::vec::Vec;

use super::shared::Shared;
use crate::protocol::Instant;
use crate::session::{ConnectionId, Effects, ReadyList, Session, ShutdownReason, Task};

impl Session for Task<Shared> {
    fn open(
        &mut self,
        now: Instant,
        id: ConnectionId,
        ready: &ReadyList,
        residual: Vec<u8>,
    ) -> Effects {
        Self::open(self, id, ready);
        self.receive(now, residual)
    }

    fn receive(&mut self, now: Instant, bytes: Vec<u8>) -> Effects {
        self.begin();
        self.machine.advance(now, Some(0));
        self.machine.receive(bytes.into());
        self.run()
    }

    fn receive_eof(&mut self, now: Instant) -> Effects {
        self.begin();
        self.machine.advance(now, Some(0));
        self.machine.end_of_stream();
        self.run()
    }

    fn wake(&mut self, now: Instant, unsent: u64) -> Effects {
        self.begin_wake();
        self.machine.advance(now, Some(unsent));
        self.run()
    }

    /// Tells the app, which knows its protocol and so how to tell the peer.
    fn shutdown(&mut self, now: Instant, _: ShutdownReason) -> Effects {
        self.begin();
        self.machine.advance(now, None);
        self.machine.stop();
        self.run()
    }

    fn lost(&mut self, now: Instant) -> Vec<Publication> {
        self.begin();
        self.machine.advance(now, None);
        self.machine.lose();
        let _ = self.run();
        Vec::new()
    }
}
