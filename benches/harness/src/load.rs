//! The load generator: one thread, one epoll, frames made in advance.

use std::hint::spin_loop;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;

use crate::Result;
use crate::cell::Cell;
use crate::connection::Connection;
use crate::messages::Messages;

/// The longest time in which nothing may come back.
const PATIENCE: Duration = Duration::from_secs(10);

/// The average number of messages per connection that are measured at least. Matters for large messages.
const AT_LEAST: u64 = 2;

/// The size of a read. Large, so that large messages take the generator few calls.
const READ_BUFFER: usize = 256 << 10;

/// Connections to one server, and their messages.
pub struct Load {
    messages: Messages,
    connections: Vec<Connection>,
    epoll: OwnedFd,
    ready: Vec<epoll::Event>,
    buffer: Vec<u8>,
}

/// The times of paced messages.
#[derive(Default)]
pub struct Paced {
    /// The time from when each message was due to be sent until it was back, in no order.
    pub latencies: Vec<Duration>,
    /// The time from when each message was due until it was sent.
    pub delays: Vec<Duration>,
}

impl Load {
    /// Opens the connections of a cell.
    ///
    /// # Errors
    ///
    /// When the server does not take them all.
    pub fn open(server: SocketAddr, cell: &Cell) -> Result<Self> {
        let messages = Messages::new(cell);
        let count = cell.connections;
        let connections =
            Connection::open_from(cell.addresses, server, messages.deflated(), count)?;
        Self::of(messages, connections)
    }

    /// Opens this number of connections, for these messages.
    ///
    /// # Errors
    ///
    /// When the server does not take them all.
    pub fn with(server: SocketAddr, messages: Messages, connections: usize) -> Result<Self> {
        let connections = Connection::open_many(server, messages.deflated(), connections)?;
        Self::of(messages, connections)
    }

    fn of(messages: Messages, connections: Vec<Connection>) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for (index, connection) in connections.iter().enumerate() {
            let data = EventData::new_u64(index as u64);
            epoll::add(&epoll, connection, data, EventFlags::IN)?;
        }
        Ok(Self {
            messages,
            connections,
            epoll,
            ready: Vec::with_capacity(1024),
            buffer: vec![0; READ_BUFFER],
        })
    }

    /// Sends this number of messages on each connection.
    ///
    /// # Errors
    ///
    /// When a connection has failed.
    pub fn begin(&mut self, in_flight: usize) -> Result<()> {
        for index in 0..self.connections.len() {
            self.send(index, in_flight)?;
        }
        Ok(())
    }

    /// Sends a message for each that comes back, for this duration and until each connection has had some. Returns the
    /// number that came back.
    ///
    /// # Errors
    ///
    /// When a connection has failed, what comes back is not what was sent, or nothing comes back for 10
    /// seconds.
    pub fn run(&mut self, duration: Duration) -> Result<u64> {
        let (start, mut messages) = (Instant::now(), 0);
        let mut heard = start;
        let at_least = AT_LEAST * self.connections.len() as u64;
        while start.elapsed() < duration || messages < at_least {
            self.wait(Some(Duration::from_millis(100)))?;
            for position in 0..self.ready.len() {
                let (index, received) = self.serve(position)?;
                self.send(index, received)?;
                messages += received as u64;
            }
            if !self.ready.is_empty() {
                heard = Instant::now();
            } else if heard.elapsed() > PATIENCE {
                return Err("nothing comes back".into());
            }
        }
        Ok(messages)
    }

    /// Sends `rate` messages a second, on one connection after the other, whatever has come back, for this duration,
    /// and waits for all of them.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run).
    pub fn pace(&mut self, rate: f64, duration: Duration) -> Result<Paced> {
        let count = (rate * duration.as_secs_f64()) as usize;
        let start = Instant::now();
        let due = |message: usize| start + Duration::from_secs_f64(message as f64 / rate);
        let (mut paced, mut sent) = (Paced::default(), 0);
        while paced.latencies.len() < count {
            let now = Instant::now();
            if sent < count && due(sent) <= now {
                self.send_paced(sent % self.connections.len(), due(sent))?;
                paced.delays.push(due(sent).elapsed());
                sent += 1;
            } else if now > due(count) + PATIENCE {
                return Err(format!(
                    "{} messages did not come back",
                    count - paced.latencies.len()
                )
                .into());
            }
            // Sleeping would be late by as much as what is measured.
            self.wait(Some(Duration::ZERO))?;
            for position in 0..self.ready.len() {
                let (index, received) = self.serve(position)?;
                let due = self.connections[index].due.drain(..received);
                paced.latencies.extend(due.map(|due| due.elapsed()));
            }
            spin_loop();
        }
        Ok(paced)
    }

    fn send_paced(&mut self, index: usize, due: Instant) -> Result<()> {
        self.connections[index].due.push_back(due);
        self.send(index, 1)
    }

    /// Waits until something is ready.
    fn wait(&mut self, timeout: Option<Duration>) -> Result<()> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: 0,
            tv_nsec: timeout.subsec_nanos().into(),
        });
        self.ready.clear();
        epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.ready),
            timeout.as_ref(),
        )?;
        Ok(())
    }

    /// Serves the connection that is ready at this position. Returns its index, and the number of messages that have
    /// come back.
    fn serve(&mut self, position: usize) -> Result<(usize, usize)> {
        let event = self.ready[position];
        let (flags, index) = (event.flags, usize::try_from(event.data.u64())?);
        let connection = &mut self.connections[index];
        let mut received = 0;
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            received = connection.receive(&mut self.buffer, &self.messages)?;
        }
        if flags.contains(EventFlags::OUT) {
            self.send(index, 0)?;
        }
        Ok((index, received))
    }

    /// Sends the unsent bytes and this number of further messages.
    fn send(&mut self, index: usize, count: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        connection.send(count, &self.messages)?;
        if connection.has_unsent() != connection.waits_to_write {
            connection.waits_to_write = connection.has_unsent();
            let flags = if connection.waits_to_write {
                EventFlags::IN | EventFlags::OUT
            } else {
                EventFlags::IN
            };
            epoll::modify(
                &self.epoll,
                &*connection,
                EventData::new_u64(index as u64),
                flags,
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Content;
    use crate::test_server::{Behaviour, start};

    const SHORT: Duration = Duration::from_millis(20);

    fn run(cell: Cell, behaviour: Behaviour) -> Result<u64> {
        let mut load = Load::open(start(behaviour), &cell)?;
        load.begin(cell.in_flight)?;
        load.run(SHORT)
    }

    #[test]
    fn messages_of_all_kinds_come_back() {
        for cell in [
            "1x1",
            "3x16x16",
            "2x125",
            "2x64Kx4",
            "1x1M",
            "2x1K-text",
            "2x1Kx4-deflate",
        ] {
            let cell: Cell = cell.parse().expect("a cell");
            let messages = run(cell, Behaviour::Echo).expect("all come back");
            assert!(
                messages >= 2 * cell.connections as u64,
                "{cell}: {messages}"
            );
        }
    }

    #[test]
    fn a_server_that_does_not_echo_is_noticed() {
        for (behaviour, why) in [
            (Behaviour::Truncate, "shorter"),
            (Behaviour::Alter, "another content"),
            (Behaviour::Close, "closed"),
            (Behaviour::Refuse, "no handshake"),
        ] {
            let error = run(Cell::new(2, 300, Content::Binary), behaviour).expect_err(why);
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn pacing_sends_the_expected_number_of_messages() {
        let cell = Cell::new(4, 125, Content::Binary);
        let mut load = Load::open(start(Behaviour::Echo), &cell).expect("it opens");
        let paced = load
            .pace(1000.0, Duration::from_millis(50))
            .expect("all come back");
        assert_eq!((paced.latencies.len(), paced.delays.len()), (50, 50));
    }

    #[test]
    fn latency_counts_from_when_a_message_was_due() {
        const DELAY: Duration = Duration::from_millis(30);
        let cell = Cell::new(1, 16, Content::Binary);
        let mut load = Load::open(start(Behaviour::Delay(DELAY)), &cell).expect("it opens");
        // Two are due at nearly the same time, and the server takes them one after the other.
        let paced = load
            .pace(1000.0, Duration::from_millis(2))
            .expect("both come back");
        let latest = paced.latencies.iter().max().copied();
        assert!(paced.latencies.iter().all(|latency| *latency >= DELAY));
        assert!(latest >= Some(2 * DELAY - SHORT), "{latest:?}");
    }
}
