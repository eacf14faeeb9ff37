//! Connections that move from one instance to another. One that cannot be resumed there goes on where it is.

use std::mem;
use std::rc::Rc;
use std::sync::Arc;

use super::super::Pool;
use crate::contract::bindings::ShutdownReason;
use crate::pool::member::Connection;
use crate::pool::place::Place;
use crate::pool::places::Seeker;
use crate::pool::wakeups::Signal;

/// Where a connection is to be.
#[derive(Debug)]
pub(crate) enum Destination {
    /// Where it is.
    Here,
    /// In this place.
    There(Place),
    /// There is no place for it yet. It will be asked again to move.
    Full,
    /// There is no place for it where the others of its key are.
    Nowhere,
}

impl Connection {
    /// Whether its version of the component has been replaced.
    pub(crate) fn is_outdated(&self) -> bool {
        self.0.place.instance.is_left.get()
    }

    /// Closes the connection cleanly, so that the client connects to the version that has replaced its own.
    pub(crate) fn close_for_restart(&self) {
        let restart = Signal::Stop(ShutdownReason::ServiceRestart);
        self.0.signals.raise(restart);
    }

    /// Asks the connection again to move, once there is room.
    pub(crate) fn ask_again(&self) {
        let moves = &self.0.place.instance.shared.moves;
        moves.add([Arc::clone(&self.0.signals)]);
    }

    /// The connection has been resumed elsewhere. What is pending here is passed on, and the connection is dropped in its
    /// old instance; its topics remain.
    pub(crate) fn succeed(&mut self, successor: Self) {
        self.0.signals.pass_on(&successor.0.signals);
        let mut old = mem::replace(self, successor);
        // It is the successor's.
        old.0.subscriber = Rc::default();
    }
}

impl Pool {
    /// Where a connection that is asked to move is to be.
    pub(crate) fn destination(&self, connection: &Connection) -> Destination {
        let place = &connection.0.place;
        let version = self.places.next();
        if place.version() == version.number {
            return Destination::Here;
        }
        let key = place.owner.as_ref().map(|owner| &owner.key);
        match self
            .places
            .vacancy(&version, &Seeker::Newcomer(place.client, key))
        {
            Ok(Some(place)) => Destination::There(place),
            Ok(None) => {
                connection.ask_again();
                Destination::Full
            }
            Err(_) => Destination::Nowhere,
        }
    }
}
