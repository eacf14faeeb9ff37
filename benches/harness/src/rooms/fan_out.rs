//! One member publishes, and all get it: what a delivery costs, and when the last member has it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;

use crate::Result;
use crate::cell::{Cell, Content};
use crate::figures::{Busy, Effort, SETTLE, micros, percent, percentile};
use crate::process::memory;
use crate::rooms::member::Member;
use crate::rooms::protocol::Protocol;
use crate::rooms::publication::Publications;
use crate::servers::Server;

/// The longest time in which no member gets anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// The fewest publications of a measurement, so that there are percentiles.
const AT_LEAST: usize = 20;

const READ_BUFFER: usize = 64 << 10;

/// The members of a room. The first one publishes.
struct Room {
    members: Vec<Member>,
    publications: Publications,
    epoll: OwnedFd,
    ready: Vec<epoll::Event>,
    buffer: Vec<u8>,
}

impl Room {
    fn open(server: &Server, protocol: Protocol, cell: &Cell) -> Result<Self> {
        let deflate = cell.content == Content::Deflated;
        let members = Member::open_many(server.address, protocol, true, deflate, cell.connections)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for (index, member) in members.iter().enumerate() {
            let data = EventData::new_u64(index as u64);
            epoll::add(&epoll, member, data, EventFlags::IN)?;
        }
        // Some servers make a member of a connection after they have answered it.
        sleep(SETTLE);
        Ok(Self {
            members,
            publications: Publications::new(protocol, cell.size),
            epoll,
            ready: Vec::with_capacity(1024),
            buffer: vec![0; READ_BUFFER],
        })
    }

    /// Publishes for this duration, one after the other: the next when the last member has got one. Returns how long
    /// each took.
    fn run(&mut self, duration: Duration, at_least: usize) -> Result<Vec<Duration>> {
        let (start, mut times) = (Instant::now(), Vec::new());
        while start.elapsed() < duration || times.len() < at_least {
            times.push(self.publish()?);
        }
        Ok(times)
    }

    fn publish(&mut self) -> Result<Duration> {
        let start = Instant::now();
        let message = self.publications.next();
        let publisher = self.members.first_mut().ok_or("a room without members")?;
        publisher.send(message)?;
        let (mut missing, mut heard) = (self.members.len(), start);
        while missing > 0 {
            self.wait()?;
            for position in 0..self.ready.len() {
                missing = missing.saturating_sub(self.receive(position)?);
            }
            if !self.ready.is_empty() {
                heard = Instant::now();
            } else if heard.elapsed() > PATIENCE {
                return Err(format!("{missing} members did not get a publication").into());
            }
        }
        Ok(start.elapsed())
    }

    fn wait(&mut self) -> Result<()> {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        self.ready.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.ready), Some(&timeout))?;
        Ok(())
    }

    /// Returns the number of publications that the member at this position of the ready ones has got.
    fn receive(&mut self, position: usize) -> Result<usize> {
        let index = usize::try_from(self.ready[position].data.u64())?;
        let publications = &mut self.publications;
        let mut count = 0;
        let member = &mut self.members[index];
        member.receive(&mut self.buffer, |payload, is_compressed| {
            count += 1;
            publications.compare(payload, is_compressed)
        })?;
        if count == 0 {
            return Ok(0);
        }
        let before = std::mem::replace(&mut member.latest, publications.number());
        if count > 1 || before == member.latest {
            return Err("a member got a publication twice".into());
        }
        Ok(count)
    }
}

/// Measures a room: the figures are those of [`Measurement::FanOut`](crate::measure::Measurement::FanOut).
///
/// # Errors
///
/// When a member does not get exactly what it should.
pub fn measure(
    server: &Server,
    protocol: Protocol,
    cell: &Cell,
    effort: Effort,
) -> Result<Vec<f64>> {
    let mut room = Room::open(server, protocol, cell)?;
    room.run(effort.warm_up(), 1)?;
    let at_least = if effort.quick { 1 } else { AT_LEAST };
    let before = Busy::now(server)?;
    let mut times = room.run(effort.duration, at_least)?;
    let (time, busy, own) = before.since(server)?;
    times.sort();
    let deliveries = (times.len() * room.members.len()) as f64;
    Ok(vec![
        micros(busy) / deliveries,
        micros(percentile(&times, 0.5)) / 1e3,
        micros(percentile(&times, 0.99)) / 1e3,
        deliveries / time.as_secs_f64(),
        percent(busy, time),
        percent(own, time),
    ])
}

/// Measures the memory of members: KiB for each, and how many bytes more than a connection that is none.
///
/// # Errors
///
/// When they cannot all connect.
pub fn memory_of_members(server: &Server, protocol: Protocol, effort: Effort) -> Result<Vec<f64>> {
    let count = effort.idle_connections();
    let open =
        |is_member, count| Member::open_many(server.address, protocol, is_member, false, count);
    // Memory taken for the first one alone does not count.
    drop(open(true, 1)?);
    sleep(SETTLE);
    let at_first = memory(server.pid())?;
    // Fewer, as many systems do not allow a process 20,000 files.
    let others = open(false, count / 2)?;
    sleep(SETTLE);
    let between = memory(server.pid())?;
    let members = open(true, count)?;
    sleep(SETTLE);
    let at_last = memory(server.pid())?;
    drop((others, members));
    let each = |from: u64, to: u64, count| (to as f64 - from as f64) / count as f64;
    let other = each(at_first, between, count / 2);
    let member = each(between, at_last, count);
    Ok(vec![member / 1024.0, member - other])
}
