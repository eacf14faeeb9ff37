use crate::topics::Publication;
use alloc::vec::Vec;
use core::mem;

use super::{ConnectionId, Effects, RawHandler, RawSocket, ReadyList, Session, ShutdownReason};
use crate::protocol::{Disposition, Instant};

/// A raw socket and the app's handler.
pub(crate) struct RawSession<H> {
    socket: RawSocket,
    handler: H,
}

impl<H> RawSession<H> {
    pub(crate) fn new(handler: H) -> Self {
        Self {
            socket: RawSocket::default(),
            handler,
        }
    }

    fn effects(&mut self) -> Effects {
        Effects {
            topics: Vec::new(),
            output: mem::take(&mut self.socket.output),
            wake_at: None,
            next: if self.socket.closed {
                Disposition::Close
            } else {
                Disposition::Open
            },
        }
    }
}

impl<H: RawHandler> Session for RawSession<H> {
    fn open(&mut self, now: Instant, _: ConnectionId, _: &ReadyList, residual: Vec<u8>) -> Effects {
        self.handler.open(&mut self.socket);
        if residual.is_empty() {
            return self.effects();
        }
        self.receive(now, residual)
    }

    fn receive(&mut self, _: Instant, bytes: Vec<u8>) -> Effects {
        if !self.socket.closed {
            self.handler.receive(&mut self.socket, &bytes);
        }
        self.effects()
    }

    fn receive_eof(&mut self, _: Instant) -> Effects {
        self.handler.end_of_stream(&mut self.socket);
        self.effects()
    }

    fn wake(&mut self, _: Instant, _: u64) -> Effects {
        self.effects()
    }

    fn shutdown(&mut self, _: Instant, _: ShutdownReason) -> Effects {
        self.socket.close();
        self.effects()
    }

    fn lost(&mut self, _: Instant) -> Vec<Publication> {
        Vec::new()
    }
}
