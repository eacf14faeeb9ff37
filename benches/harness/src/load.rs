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

/// How long nothing may come back.
const PATIENCE: Duration = Duration::from_secs(10);

/// Read at once. Large, so that big messages cost the generator few calls.
const READ_BUFFER: usize = 256 << 10;

/// Connections to one server, and what is sent on them.
pub struct Load {
    messages: Messages,
    connections: Vec<Connection>,
    epoll: OwnedFd,
    ready: Vec<epoll::Event>,
    buffer: Vec<u8>,
}

/// What the paced messages took.
#[derive(Default)]
pub struct Paced {
    /// From when each message was due to be sent until it was back, in no order.
    pub latencies: Vec<Duration>,
    /// From when each message was due until it was sent.
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
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(cell.connections);
        for index in 0..cell.connections {
            let connection = Connection::open(server, messages.deflated())
                .map_err(|error| format!("connection {}: {error}", index + 1))?;
            epoll::add(
                &epoll,
                &connection,
                EventData::new_u64(index as u64),
                EventFlags::IN,
            )?;
            connections.push(connection);
        }
        Ok(Self {
            messages,
            connections,
            epoll,
            ready: Vec::with_capacity(1024),
            buffer: vec![0; READ_BUFFER],
        })
    }

    /// Puts so many messages on their way on each connection.
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

    /// Sends a message for each that comes back, for so long. Returns how many came back.
    ///
    /// # Errors
    ///
    /// When a connection has failed, what comes back is not what was sent, or nothing comes back for 10
    /// seconds.
    pub fn run(&mut self, duration: Duration) -> Result<u64> {
        let (start, mut messages) = (Instant::now(), 0);
        let mut heard = start;
        while start.elapsed() < duration {
            self.wait(Some(Duration::from_millis(100)))?;
            for position in 0..self.ready.len() {
                let (index, received) = self.serve(position)?;
                self.send(index, received)?;
                messages += received as u64;
            }
            match self.ready.is_empty() {
                true if heard.elapsed() > PATIENCE => return Err("nothing comes back".into()),
                true => {}
                false => heard = Instant::now(),
            }
        }
        Ok(messages)
    }

    /// Sends `rate` messages a second, on one connection after the other, whatever has come back, for so
    /// long, and waits for all of them.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run) has them.
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
            // Sleeping would be late by as much as is to be measured.
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

    /// Serves the connection that is ready at this position. Returns which it is, and how many messages
    /// have come back.
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

    /// Sends so many further messages and what is unsent.
    fn send(&mut self, index: usize, count: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        connection.send(count, &self.messages)?;
        if connection.has_unsent() != connection.waits_to_write {
            connection.waits_to_write = connection.has_unsent();
            let flags = match connection.waits_to_write {
                true => EventFlags::IN | EventFlags::OUT,
                false => EventFlags::IN,
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
