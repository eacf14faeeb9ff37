//! Where connections of another process arrive: workers, which keep places for them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use tokio::select;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use crate::http::worker::Worker;
use crate::net::peer::Peer;
use crate::pool::Place;
use crate::session::moving::departure::Incoming;

/// The number of places that each worker keeps: the connections that it is given at once, none of which waits for an
/// instance to start.
const PLACES: usize = 4;

/// The time until a worker tries again that has no place.
const RETRY: Duration = Duration::from_millis(100);

/// The workers, as the link to the other process sees them.
#[derive(Debug)]
pub(crate) struct Lanes {
    workers: Vec<mpsc::UnboundedSender<Box<Incoming>>>,
    rooms: mpsc::UnboundedReceiver<usize>,
    /// The number of places that each worker has.
    free: Vec<usize>,
}

/// Where a worker is given connections.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) incoming: mpsc::UnboundedReceiver<Box<Incoming>>,
    pub(crate) reception: Rc<Reception>,
}

/// The way of one worker.
#[derive(Debug)]
pub(crate) struct Entry {
    incoming: mpsc::UnboundedReceiver<Box<Incoming>>,
    index: usize,
    rooms: mpsc::UnboundedSender<usize>,
}

/// The places that a worker keeps.
#[derive(Debug)]
pub(crate) struct Reception {
    index: usize,
    rooms: mpsc::UnboundedSender<usize>,
    places: RefCell<VecDeque<Place>>,
    taken: Notify,
}

impl Lanes {
    /// For this number of workers.
    pub(crate) fn to_workers(number: usize) -> (Self, Vec<Entry>) {
        let (rooms, all_rooms) = mpsc::unbounded_channel();
        let (workers, incoming): (_, Vec<_>) =
            (0..number).map(|_| mpsc::unbounded_channel()).unzip();
        let entry = |(index, incoming)| Entry {
            incoming,
            index,
            rooms: rooms.clone(),
        };
        let entries = incoming.into_iter().enumerate().map(entry).collect();
        let lanes = Self {
            workers,
            rooms: all_rooms,
            free: vec![0; number],
        };
        (lanes, entries)
    }

    /// Waits until a worker has one more place.
    pub(super) async fn room(&mut self) {
        match self.rooms.recv().await {
            Some(index) => {
                if let Some(free) = self.free.get_mut(index) {
                    *free = free.saturating_add(1);
                }
            }
            None => pending().await,
        }
    }

    /// Sends a connection to the worker with the most places. If that has ended, the connection is refused.
    pub(super) fn send(&mut self, incoming: Incoming) {
        let most = (0..self.free.len()).max_by_key(|index| self.free.get(*index));
        let Some(index) = most else {
            return;
        };
        if let Some(free) = self.free.get_mut(index) {
            *free = free.saturating_sub(1);
        }
        if let Some(worker) = self.workers.get(index) {
            let _ = worker.send(Box::new(incoming));
        }
    }
}

impl Entry {
    /// Moves the way to the worker's thread.
    pub(crate) fn open(self) -> Lane {
        Lane {
            incoming: self.incoming,
            reception: Rc::new(Reception {
                index: self.index,
                rooms: self.rooms,
                places: RefCell::default(),
                taken: Notify::new(),
            }),
        }
    }
}

impl Reception {
    /// Keeps places as long as there is a link to the other process; never returns. Run this in a task of its own.
    pub(crate) async fn keep_places(&self, worker: &Worker) {
        while !self.rooms.is_closed() {
            if self.places.borrow().len() >= PLACES {
                select! {
                    () = self.taken.notified() => {}
                    () = self.rooms.closed() => {}
                }
                continue;
            }
            match worker.pool.place(Peer::LOCAL, None).await {
                Ok(place) => {
                    self.places.borrow_mut().push_back(place);
                    let _ = self.rooms.send(self.index);
                }
                Err(_) => sleep(RETRY).await,
            }
        }
        self.places.take();
        pending().await
    }

    /// Takes a place, if there is one.
    pub(super) fn take(&self) -> Option<Place> {
        let place = self.places.borrow_mut().pop_front();
        self.taken.notify_one();
        place
    }
}
