//! How a session moves its connection to another instance. The socket, and all that the session itself keeps, stay where
//! they are, unless the connection goes to another process.

mod arrival;
mod away;
pub(crate) mod departure;
pub(super) mod opportunity;

use std::io;
use std::mem;
use std::rc::Rc;
use std::time;

use wasocket_host_core::turn::{self, Ending};

use self::opportunity::Moving;
use crate::contract::bindings::ResumeError;
use crate::guest::fault::Dead;
use crate::pool::{Destination, Place, Resumed};
use crate::session::Session;
use crate::session::event::Pushed;
use crate::session::inner::Inner;
use crate::session::settings::Refused;

impl Session {
    /// Moves the connection to where it is to be, if it is at rest; otherwise it goes on where it is.
    pub(super) async fn move_elsewhere(self: &Rc<Self>) -> io::Result<Option<Ending>> {
        if self.inner().context.exit.is_open() {
            return self.hand_over().await;
        }
        let Some(place) = self.inner().find_place() else {
            return Ok(None);
        };
        let (version, since) = (place.version(), time::Instant::now());
        let resumed = self.resume_in(place).await;
        let mut inner = self.inner();
        inner.is_in_call = false;
        match resumed {
            Ok(resumed) => {
                let went_on = inner.go_on(resumed);
                inner.context.metrics.swap.moved(since.elapsed());
                went_on
            }
            Err(stay) => {
                inner.stay(stay, version);
                Ok(None)
            }
        }
    }

    /// Makes a connection in this place of the state of the present one, which goes on if that fails.
    async fn resume_in(self: &Rc<Self>, place: Place) -> Result<Resumed, Stay> {
        let suspend = {
            let mut inner = self.inner();
            // No other call is made, and nothing delivered, until the connection has moved or stays.
            inner.is_in_call = true;
            inner.connection.suspend(inner.context.clock.now())
        };
        let suspended = suspend.await?.ok_or(Stay::NotAtRest)?;
        let resume = {
            let mut inner = self.inner();
            if !inner.is_at_rest() {
                return Err(Stay::NotAtRest);
            }
            inner.called_at = inner.context.clock.now();
            place.resume(inner.called_at, suspended)
        };
        Ok(resume.await??)
    }
}

/// Why a connection does not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stay {
    /// It is not at rest now, but may be later.
    NotAtRest,
    /// One of the two instances is dead. If it is the old one, the connection is told of that.
    Dead,
    /// The state is refused.
    Refused(ResumeError),
}

impl From<Dead> for Stay {
    fn from(_: Dead) -> Self {
        Self::Dead
    }
}

impl From<ResumeError> for Stay {
    fn from(error: ResumeError) -> Self {
        Self::Refused(error)
    }
}

impl Inner {
    /// Whether the connection is to move, and may be suspended now.
    pub(super) fn may_move(&mut self) -> bool {
        self.moving.is_due()
            && self.is_idle()
            && self.is_at_rest()
            && self.connection.is_quiet()
            && self.moving.takes()
    }

    /// Whether the connection may be suspended, apart from calls in progress.
    pub(super) fn is_at_rest(&self) -> bool {
        self.turn.may_suspend()
            && self.arrived.is_none()
            && self.socket.is_flushed()
            && matches!(self.pushed, Pushed::Nothing)
    }

    fn find_place(&mut self) -> Option<Place> {
        match self.context.pool.destination(&self.connection) {
            Destination::There(place) if self.unfit != Some(place.version()) => return Some(place),
            // That has been tried.
            Destination::There(_) => self.on_refusal(),
            // It is asked again when there is a place.
            Destination::Here | Destination::Full => {}
            Destination::Nowhere => self.context.metrics.swap.full.count(),
        }
        self.moving = Moving::Settled;
        None
    }

    /// The connection is in another instance, and its life goes on there.
    fn go_on(&mut self, resumed: Resumed) -> io::Result<Option<Ending>> {
        self.moving = Moving::Settled;
        self.connection.succeed(resumed.connection);
        self.final_bytes = resumed.final_bytes;
        let effects = resumed.effects;
        self.carry_out(effects.wake_at, effects.next, &effects.output)
    }

    /// The connection stays, instead of moving to this version.
    fn stay(&mut self, stay: Stay, version: u64) {
        let swap = &self.context.metrics.swap;
        match stay {
            Stay::NotAtRest => return,
            Stay::Dead => swap.failed.count(),
            Stay::Refused(error) => {
                swap.refused(error);
                self.unfit = Some(version);
                self.on_refusal();
            }
        }
        self.moving = Moving::Settled;
    }

    /// The new version has refused the connection: closes it, if the operator wants that, once others are served by it.
    fn on_refusal(&self) {
        let is_to_close = self.context.settings.swap.refused == Refused::Close;
        if is_to_close && self.is_outdated() {
            self.context.metrics.swap.closed.count();
            self.connection.close_for_restart();
        }
    }

    /// Whether others serve what this connection's instance has served.
    fn is_outdated(&self) -> bool {
        self.context.exit.is_open() || self.connection.is_outdated()
    }

    /// The time to move is over.
    pub(super) fn on_overdue(&mut self) -> Option<turn::Call> {
        let was_asked = mem::replace(&mut self.moving, Moving::Settled).is_due();
        if !was_asked || !self.is_outdated() {
            return None;
        }
        self.context.metrics.swap.closed.count();
        self.turn.on_stop()
    }
}
