//! How a session hands its connection over to another process.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use wasocket_host_core::turn::Ending;

use super::Stay;
use super::departure::{Departure, Farewell, Leaving, Refusal, Reply, Reserved};
use super::opportunity::Moving;
use crate::contract::clock::monotonic;
use crate::session::Session;
use crate::session::inner::Inner;

/// How long the other process may take to resume a connection, which neither process serves meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

impl Session {
    /// Hands the connection over, if it is at rest; otherwise it goes on here.
    pub(super) async fn hand_over(self: &Rc<Self>) -> io::Result<Option<Ending>> {
        let Some(place) = self.inner().find_way() else {
            return Ok(None);
        };
        let left = self.leave_for(place).await;
        let mut inner = self.inner();
        inner.is_in_call = false;
        match left {
            Ok(()) => {
                inner.context.metrics.handover.left.count();
                inner.has_left = true;
                // Its task ends, and nothing else: see `Session::run`.
                Ok(Some(Ending::Abort))
            }
            Err(stay) => {
                inner.stay_behind(stay);
                Ok(None)
            }
        }
    }

    async fn leave_for(self: &Rc<Self>, place: Reserved) -> Result<(), StayBehind> {
        let suspend = {
            let mut inner = self.inner();
            // No other call is made, and nothing delivered, until the connection has left or stays.
            inner.is_in_call = true;
            inner.connection.suspend(inner.context.clock.now())
        };
        let suspended = suspend.await?.ok_or(Stay::NotAtRest)?;
        if !self.inner().is_at_rest() {
            return Err(Stay::NotAtRest.into());
        }
        let gone = self.hand_to(place, suspended.into_state()).await;
        if gone.is_err() {
            self.inner().connection.unpack_topics();
        }
        gone
    }

    /// Sends the connection, and lets go of it once the other process is ready.
    async fn hand_to(self: &Rc<Self>, place: Reserved, state: Vec<u8>) -> Result<(), StayBehind> {
        let (reply, replied) = oneshot::channel();
        let leaving = self.inner().pack(state, reply);
        place.send(leaving.ok_or(Stay::NotAtRest)?);
        let (number, farewell) = match timeout(PATIENCE, replied).await {
            Ok(Ok(Reply::Ready(number, farewell))) => (number, farewell),
            Ok(Ok(Reply::Refused(refusal))) => return Err(StayBehind::Refused(refusal)),
            Ok(Err(_)) | Err(_) => return Err(StayBehind::Forsaken),
        };
        let subscriber = Rc::clone(self.inner().connection.subscriber());
        self.inner().connection.release_topics(number);
        let waited = poll_fn(|context| subscriber.poll_released(context)).await;
        let (is_sent, sent) = oneshot::channel();
        let told = farewell.send(Farewell { waited, is_sent });
        told.map_err(|_| StayBehind::Forsaken)?;
        sent.await.map_err(|_| StayBehind::Forsaken)
    }

    /// Lets go of a connection that is another process's now: its end is not ours to log, and its socket stays open there.
    pub(in super::super) fn forget(self: Rc<Self>) {
        // No batch holds the session, as it was at rest.
        if let Some(Self(inner)) = Rc::into_inner(self) {
            inner.into_inner().entry.leave();
        }
    }
}

/// Why a connection stays in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StayBehind {
    Here(Stay),
    /// The other process does not want it.
    Refused(Refusal),
    /// The other process is gone, or does not answer.
    Forsaken,
}

impl<E: Into<Stay>> From<E> for StayBehind {
    fn from(stay: E) -> Self {
        Self::Here(stay.into())
    }
}

impl Inner {
    fn find_way(&mut self) -> Option<Reserved> {
        // Until its time to move is over, it may be that the other process goes away.
        if !self.socket.get_ref().is_portable() {
            return None;
        }
        let place = self.context.exit.reserve();
        if place.is_none() {
            self.connection.ask_again();
            self.moving = Moving::Settled;
        }
        place
    }

    /// `None` if the system refuses a copy of the socket, or the topics cannot go to another process.
    fn pack(&self, state: Vec<u8>, reply: oneshot::Sender<Reply>) -> Option<Leaving> {
        let now = self.context.clock.now();
        let published = self.connection.subscriber().totals().0;
        Some(Leaving {
            departure: Departure {
                state,
                suspended_at: monotonic(),
                idle_for: self.limits.idle_for(now),
                entry: self.entry.record(published),
                topics: self.connection.pack_topics()?,
            },
            socket: self.socket.get_ref().copy_descriptor().ok()?,
            reply,
        })
    }

    fn stay_behind(&mut self, stay: StayBehind) {
        let swap = &self.context.metrics.swap;
        match stay {
            StayBehind::Here(Stay::NotAtRest) => return,
            StayBehind::Here(_) => swap.failed.count(),
            StayBehind::Refused(refusal) => match refusal.of_state() {
                Some(error) => {
                    swap.refused(error);
                    self.on_refusal();
                }
                None if refusal == Refusal::Full => self.connection.ask_again(),
                None => swap.failed.count(),
            },
            StayBehind::Forsaken => {}
        }
        self.moving = Moving::Settled;
    }
}
