//! Fair shares of a worker's time: connections of an address that uses much of it wait for their turn.
//!
//! A worker's event loop runs all connections that are ready before it looks for new input. A hundred connections with
//! a millisecond of work each would keep everybody else waiting for a tenth of a second. So an address may use a slice
//! of each turn of the loop; its further connections queue up, and all queues together get another slice per turn, by
//! turns. Others are then answered within a few slices, however many connections wait. Nothing is refused, and a worker
//! with nothing else to do works on.
//!
//! ```text
//!   ready to read ──▶ within the slice of its address ────────────────────────────▶ read, call
//!                 └─▶ queue of its address ──▶ one slice per turn, round robin ──▶
//! ```

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::yield_now;

/// The time that one address may use in a turn of the event loop, and that all queues together get.
const SLICE: Duration = Duration::from_millis(1);

/// The assumed cost of a read whose bytes join a batch: the most that small frames take.
const BATCHED_READ: Duration = Duration::from_micros(10);
const BATCHED_BYTE: Duration = Duration::from_nanos(100);

/// The fewest bytes that a read is limited to.
const MIN_READ: usize = 2 * 1024;

/// The turns of a worker's event loop.
#[derive(Default)]
pub(crate) struct Turns {
    /// The number of this turn.
    number: Cell<u64>,
    /// The addresses that have connections; clients on Unix sockets have none, and count as one.
    addresses: RefCell<HashMap<Option<IpAddr>, Rc<Address>>>,
    /// Those of them with a queue.
    queues: RefCell<VecDeque<Rc<Address>>>,
    /// Wakes the task that grants turns.
    waker: Cell<Option<Waker>>,
}

/// What the connections of one address use.
#[derive(Default)]
struct Address {
    connections: Cell<usize>,
    /// The turn in which `used` was used.
    turn: Cell<u64>,
    used: Cell<Duration>,
    /// The average cost of its reads, and of a byte of them in nanoseconds.
    read_cost: Cell<Duration>,
    byte_cost: Cell<u64>,
    queue: RefCell<VecDeque<Rc<Ticket>>>,
}

/// A connection's place in the queue of its address.
#[derive(Default)]
struct Ticket {
    state: Cell<TicketState>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum TicketState {
    /// Not in the queue, or no longer interested.
    #[default]
    Idle,
    Waiting,
    Granted,
}

impl Turns {
    /// Grants turns; never returns. Run this in a task of its own.
    pub(crate) async fn run(&self) {
        loop {
            poll_fn(|context| self.poll_queued(context)).await;
            // Everything that is ready runs first, and the runtime looks for new input.
            yield_now().await;
            self.begin();
        }
    }

    fn poll_queued(&self, context: &Context<'_>) -> Poll<()> {
        if self.queues.borrow().is_empty() {
            self.waker.set(Some(context.waker().clone()));
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Begins a turn: wakes as many of the waiting connections as probably fit into a slice, at least one.
    fn begin(&self) {
        self.number.set(self.number.get().wrapping_add(1));
        let mut queues = self.queues.borrow_mut();
        let mut granted = Duration::ZERO;
        while granted < SLICE
            && let Some(address) = queues.pop_front()
        {
            if address.grant() {
                let cost = address.read_cost.get().max(BATCHED_READ);
                granted = granted.saturating_add(cost);
            }
            if !address.queue.borrow().is_empty() {
                queues.push_back(address);
            }
        }
    }

    fn is_contended(&self) -> bool {
        self.addresses.borrow().len() > 1
    }
}

impl Address {
    /// Wakes the first connection that still waits. Returns whether there was one.
    fn grant(&self) -> bool {
        loop {
            let Some(ticket) = self.queue.borrow_mut().pop_front() else {
                return false;
            };
            if ticket.state.get() == TicketState::Waiting {
                ticket.state.set(TicketState::Granted);
                ticket.waker.take().into_iter().for_each(Waker::wake);
                return true;
            }
        }
    }

    fn uses(&self, time: Duration, turn: u64) {
        let before = if self.turn.replace(turn) == turn {
            self.used.get()
        } else {
            Duration::ZERO
        };
        self.used.set(before.saturating_add(time));
    }
}

/// The part of a connection in its address's share.
pub(crate) struct FairShare {
    turns: Rc<Turns>,
    client: Option<IpAddr>,
    address: Rc<Address>,
    /// Made when it first has to wait.
    ticket: Option<Rc<Ticket>>,
}

impl FairShare {
    /// For a connection of the client with this address.
    pub(crate) fn new(turns: &Rc<Turns>, client: Option<IpAddr>) -> Self {
        let address = Rc::clone(turns.addresses.borrow_mut().entry(client).or_default());
        address.connections.set(address.connections.get() + 1);
        Self {
            turns: Rc::clone(turns),
            client,
            address,
            ticket: None,
        }
    }

    /// Whether the connection need not wait: no other address has connections, or its own has not used up its slice.
    pub(crate) fn is_free(&self) -> bool {
        if !self.turns.is_contended() {
            return true;
        }
        let Address {
            turn, used, queue, ..
        } = &*self.address;
        let is_within = turn.get() != self.turns.number.get() || used.get() < SLICE;
        is_within && queue.borrow().is_empty()
    }

    /// Waits for its turn, once [`is_free`](Self::is_free) has said that it must.
    pub(crate) fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let ticket = self.ticket.get_or_insert_default();
        match ticket.state.get() {
            TicketState::Granted => {
                ticket.state.set(TicketState::Idle);
                return Poll::Ready(());
            }
            TicketState::Waiting => {}
            TicketState::Idle => {
                ticket.state.set(TicketState::Waiting);
                let mut queue = self.address.queue.borrow_mut();
                queue.push_back(Rc::clone(ticket));
                if queue.len() == 1 {
                    let address = Rc::clone(&self.address);
                    self.turns.queues.borrow_mut().push_back(address);
                    self.turns.waker.take().into_iter().for_each(Waker::wake);
                }
            }
        }
        let mut waker = ticket.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// The most bytes to read at once, so that the read takes no longer than a slice.
    pub(crate) fn most(&self) -> usize {
        if !self.turns.is_contended() {
            return usize::MAX;
        }
        let slice = SLICE.as_nanos() as u64;
        let fits = slice.checked_div(self.address.byte_cost.get());
        fits.map_or(usize::MAX, |bytes| {
            usize::try_from(bytes).unwrap_or(usize::MAX).max(MIN_READ)
        })
    }

    /// Counts the time of a call with this many bytes.
    pub(crate) fn called(&self, bytes: usize, took: Duration) {
        let address = &self.address;
        address.uses(took, self.turns.number.get());
        address.read_cost.set((address.read_cost.get() + took) / 2);
        // Small reads are not limited, and most of their cost is that of a call.
        if bytes < MIN_READ {
            return;
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let of_byte = nanos.checked_div(bytes as u64).unwrap_or_default();
        let average = address.byte_cost.get().saturating_add(of_byte) / 2;
        address.byte_cost.set(average);
    }

    /// Counts a read whose bytes have joined a batch.
    pub(crate) fn joined(&self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let cost = BATCHED_READ.saturating_add(BATCHED_BYTE.saturating_mul(bytes));
        self.address.uses(cost, self.turns.number.get());
    }
}

impl Drop for FairShare {
    fn drop(&mut self) {
        if let Some(ticket) = &self.ticket {
            ticket.state.set(TicketState::Idle);
        }
        let connections = &self.address.connections;
        connections.set(connections.get().saturating_sub(1));
        if connections.get() == 0 {
            self.turns.addresses.borrow_mut().remove(&self.client);
        }
    }
}

impl fmt::Debug for FairShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FairShare({:?})", self.client)
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Turns({})", self.number.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(turns: &Rc<Turns>, last: u8) -> FairShare {
        FairShare::new(turns, Some(IpAddr::from([192, 0, 2, last])))
    }

    fn poll(share: &mut FairShare) -> Poll<()> {
        share.poll_turn(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn an_address_that_has_used_its_slice_waits_for_the_next_turn() {
        let turns = Rc::default();
        let [mut first, mut second, other] = [1, 1, 2].map(|last| of(&turns, last));
        first.called(1000, 2 * SLICE);
        assert!(!first.is_free() && !second.is_free() && other.is_free());
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        turns.begin();
        assert!(poll(&mut first).is_ready());
        assert!(poll(&mut second).is_pending(), "one slice for both");
        turns.begin();
        assert!(poll(&mut second).is_ready());
        assert!(first.is_free() && second.is_free());
    }

    #[test]
    fn the_queues_take_turns() {
        let turns = Rc::default();
        let mut shares = [1, 1, 1, 2, 2, 3].map(|last| of(&turns, last));
        for share in &mut shares {
            share.address.read_cost.set(SLICE);
            assert!(poll(share).is_pending());
        }
        let order: Vec<usize> = (0..6)
            .filter_map(|_| {
                turns.begin();
                shares.iter_mut().position(|share| {
                    let granted = share
                        .ticket
                        .as_ref()
                        .is_some_and(|ticket| ticket.state.get() == TicketState::Granted);
                    granted && poll(share).is_ready()
                })
            })
            .collect();
        assert_eq!(order, [0, 3, 5, 1, 4, 2]);
    }

    #[test]
    fn an_address_alone_never_waits() {
        let turns = Rc::default();
        let share = of(&turns, 1);
        share.called(MIN_READ, 100 * SLICE);
        assert!(share.is_free());
        assert_eq!(share.most(), usize::MAX);
        let other = of(&turns, 2);
        assert!(!share.is_free());
        assert_eq!(share.most(), MIN_READ);
        drop(other);
        assert!(share.is_free());
    }

    #[test]
    fn connections_that_end_leave_the_queue() {
        let turns = Rc::default();
        let [mut gone, mut waits, _other] = [1, 1, 2].map(|last| of(&turns, last));
        assert!(poll(&mut gone).is_pending() && poll(&mut waits).is_pending());
        drop(gone);
        turns.begin();
        assert!(poll(&mut waits).is_ready());
    }
}
