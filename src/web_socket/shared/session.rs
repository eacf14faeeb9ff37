//! The host's calls, for a connection whose app is a function.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::Shared;
use crate::protocol::{Instant, MessageLimits, Report};
use crate::session::{
    ConnectionId, Delivered, Effects, ReadyList, Session, ShutdownReason, Task, shut_down,
};
use crate::topics::{Broadcast, Publication, TopicEvent, publications};

impl Session for Task<Shared> {
    fn open(
        &mut self,
        now: Instant,
        id: ConnectionId,
        ready: &ReadyList,
        residual: Vec<u8>,
    ) -> Effects {
        Self::open(self, id, ready);
        begin(self, now, Some(0));
        self.machine
            .with_connection(|connection| connection.receive_bytes(now, BytesMut::new()));
        self.poll();
        self.receive(now, residual)
    }

    fn set_limits(&mut self, limits: MessageLimits) {
        self.machine
            .with_connection(|connection| connection.set_limits(limits));
    }

    fn receive(&mut self, now: Instant, bytes: Vec<u8>) -> Effects {
        begin(self, now, Some(0));
        self.machine
            .with_connection(|connection| connection.receive_bytes(now, Bytes::from(bytes)));
        self.run()
    }

    fn receive_eof(&mut self, now: Instant) -> Effects {
        begin(self, now, Some(0));
        self.machine
            .with_connection(|connection| connection.receive_eof(now));
        self.run()
    }

    fn wake(&mut self, now: Instant, unsent: u64) -> Effects {
        self.begin_wake();
        self.machine.advance(now, Some(unsent));
        // A peer that is not being read from is not silent.
        let unheard = if self.machine.is_full() { 1 } else { unsent };
        self.machine
            .with_connection(|connection| connection.handle_timeout(now, unheard));
        self.run()
    }

    fn shutdown(&mut self, now: Instant, reason: ShutdownReason) -> Effects {
        begin(self, now, None);
        self.machine
            .with_connection(|connection| shut_down(connection, reason));
        self.run()
    }

    fn lost(&mut self, now: Instant) -> Vec<Publication> {
        begin(self, now, None);
        self.machine
            .with_connection(|connection| connection.receive_eof(now));
        publications(self.run().topics)
    }

    fn deliver(&mut self, now: Instant, broadcast: &Broadcast) -> Delivered {
        begin(self, now, Some(0));
        match self.machine.deliver(now, broadcast, !self.is_woken()) {
            Some(form) => {
                self.end();
                Delivered::Form(form)
            }
            None => Delivered::Effects(self.run()),
        }
    }

    fn tell(&mut self, now: Instant, event: TopicEvent) -> Effects {
        begin(self, now, None);
        self.machine.on_topic_event(event);
        self.run()
    }

    fn report(&self) -> Report {
        self.machine.report()
    }
}

fn begin(task: &Task<Shared>, now: Instant, unsent: Option<u64>) {
    task.begin();
    task.machine.advance(now, unsent);
}
