//! A room of two runners that an engine joins: what the way through the engine adds, and how much it carries.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;

use crate::Result;
use crate::figures::{Effort, SETTLE, micros, percentile};
use crate::kinds::room;
use crate::process::which;
use crate::rooms::member::Member;
use crate::rooms::protocol::Protocol;
use crate::rooms::publication::{Publications, number};
use crate::servers::{Cores, Places, Server, spawn_everywhere};

/// What joins the runners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Nats,
    Redis,
}

/// The figures of [`measure`].
pub const METRICS: &[(&str, usize)] = &[
    ("p50 µs there", 0),
    ("p99 µs there", 0),
    ("p50 µs here", 0),
    ("p99 µs here", 0),
    ("publications/s before lag grows", 0),
];

/// The number of members on the other runner. On that of the publisher there is one.
const THERE: usize = 10;

/// The payload of a publication.
const SIZE: usize = 125;

/// The rate for latency: little load.
const PACED_RATE: f64 = 200.0;

/// The first rate that is tried; each next one is twice as much, and the last ones are between two of these.
const FIRST_RATE: f64 = 1000.0;
const MOST_RATE: f64 = 256_000.0;
const STEPS_BETWEEN: usize = 2;

/// The lag at which a rate is too high: the median of the last tenth of the publications.
const TOO_LATE: Duration = Duration::from_millis(50);

/// The longest time in which nothing may arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// The approximate number of rates that are tried.
const RATES: u32 = 8;

impl Engine {
    /// Its name in `--cells`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Redis => "redis",
        }
    }

    /// Its own name.
    pub fn title(self) -> &'static str {
        match self {
            Self::Nats => "NATS",
            Self::Redis => "Redis",
        }
    }

    fn command(self, port: u16, folder: &str) -> Result<Command> {
        let port = port.to_string();
        let (program, arguments) = match self {
            Self::Nats => (
                "nats-server",
                vec!["-a", "127.0.0.1", "-p", &port, "-js", "-sd", folder],
            ),
            Self::Redis => (
                "redis-server",
                vec![
                    "--bind",
                    "127.0.0.1",
                    "--port",
                    &port,
                    "--dir",
                    folder,
                    "--save",
                    "",
                ],
            ),
        };
        which(program)
            .ok_or_else(|| format!("{program} is not installed: apt-get install {program}"))?;
        let mut command = Command::new(program);
        command.args(arguments);
        Ok(command)
    }
}

/// A running engine, ended when dropped.
struct Running {
    child: Child,
    url: String,
}

impl Running {
    fn start(engine: Engine, places: &Places) -> Result<Self> {
        let folder = places.built.join(format!("engine-{}", engine.name()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let address = TcpListener::bind(any)?.local_addr()?;
        let mut command = engine.command(address.port(), &folder.to_string_lossy())?;
        let null = command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = null.stderr(Stdio::null()).spawn()?;
        let running = Self {
            child,
            url: format!("{}://{address}", engine.name()),
        };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if start.elapsed() > PATIENCE {
                return Err(format!("{} does not listen", engine.title()).into());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The members of a room of two runners. The first one publishes; it is here, all others are there.
struct Pair {
    members: Vec<Member>,
    publications: Publications,
    epoll: OwnedFd,
    ready: Vec<epoll::Event>,
    buffer: Vec<u8>,
}

/// The times from when each publication was due until a member had it, in the order in which they came.
#[derive(Default)]
struct Times {
    here: Vec<Duration>,
    there: Vec<Duration>,
}

impl Pair {
    fn open(here: &Server, there: &Server) -> Result<Self> {
        let open = |server: &Server, count| {
            Member::open_many(server.address, Protocol::Plain, true, false, count)
        };
        let mut members = open(here, 1)?;
        members.append(&mut open(there, THERE)?);
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for (index, member) in members.iter().enumerate() {
            let data = EventData::new_u64(index as u64);
            epoll::add(&epoll, member, data, EventFlags::IN)?;
        }
        // A subscription takes a while to reach the engine.
        sleep(SETTLE);
        Ok(Self {
            members,
            publications: Publications::new(Protocol::Plain, SIZE),
            epoll,
            ready: Vec::with_capacity(64),
            buffer: vec![0; 256 << 10],
        })
    }

    /// Publishes at this rate, whatever has arrived, and waits for the rest.
    fn pace(&mut self, rate: f64, duration: Duration) -> Result<Times> {
        let count = (rate * duration.as_secs_f64()) as usize;
        let start = Instant::now();
        let due = |index: usize| start + Duration::from_secs_f64(index as f64 / rate);
        let (mut times, mut sent, mut heard) = (Times::default(), 0, start);
        while times.there.len() < count * THERE || times.here.len() < count {
            if sent < count && due(sent) <= Instant::now() {
                let text = self.publications.next();
                let publisher = self.members.first_mut().ok_or("no publisher")?;
                publisher.send(text)?;
                sent += 1;
            }
            self.wait()?;
            for position in 0..self.ready.len() {
                self.receive(position, due, &mut times)?;
                heard = Instant::now();
            }
            if heard.elapsed() > PATIENCE {
                let missing = count * THERE - times.there.len();
                return Err(format!("{missing} publications did not arrive").into());
            }
        }
        Ok(times)
    }

    fn wait(&mut self) -> Result<()> {
        // Sleeping would be late by as much as what is measured.
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        self.ready.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.ready), Some(&timeout))?;
        Ok(())
    }

    fn receive(
        &mut self,
        position: usize,
        due: impl Fn(usize) -> Instant,
        times: &mut Times,
    ) -> Result<()> {
        let index = usize::try_from(self.ready[position].data.u64())?;
        let member = &mut self.members[index];
        let mut latest = member.latest;
        let to = if index == 0 {
            &mut times.here
        } else {
            &mut times.there
        };
        member.receive(&mut self.buffer, |text, _| {
            latest += 1;
            let number = number(text)?;
            if number != latest {
                return Err(format!("publication {number} instead of {latest}").into());
            }
            to.push(due(number as usize - 1).elapsed());
            Ok(())
        })?;
        member.latest = latest;
        Ok(())
    }
}

/// Measures a room of two runners. The figures are in the order of [`METRICS`].
///
/// # Errors
///
/// When something cannot be started, or a publication is lost.
pub fn measure(engine: Engine, places: &Places, cores: Cores, effort: Effort) -> Result<Vec<f64>> {
    let running = Running::start(engine, places)?;
    let start = || spawn_everywhere(room(places, &["--bus", &running.url])?, cores);
    let (here, there) = (start()?, start()?);
    let mut pair = Pair::open(&here, &there)?;
    let mut times = pair.pace(PACED_RATE, effort.duration)?;
    drop(pair);
    times.here.sort();
    times.there.sort();
    let at = |times: &[Duration], share| micros(percentile(times, share));
    Ok(vec![
        at(&times.there, 0.5),
        at(&times.there, 0.99),
        at(&times.here, 0.5),
        at(&times.here, 0.99),
        highest_rate(&here, &there, effort)?,
    ])
}

/// The highest rate at which the last publications of a measurement are not later than the first.
fn highest_rate(here: &Server, there: &Server, effort: Effort) -> Result<f64> {
    let (mut good, mut rate) = (0.0, FIRST_RATE);
    while rate <= MOST_RATE && is_sustained(here, there, rate, effort)? {
        good = rate;
        rate *= 2.0;
    }
    let mut bad = rate;
    for _ in 0..STEPS_BETWEEN {
        let between = (good + bad) / 2.0;
        if is_sustained(here, there, between, effort)? {
            good = between;
        } else {
            bad = between;
        }
    }
    Ok(good)
}

fn is_sustained(here: &Server, there: &Server, rate: f64, effort: Effort) -> Result<bool> {
    // With connections of its own: those of a rate that was too high are in the middle of something.
    let mut pair = Pair::open(here, there)?;
    let Ok(times) = pair.pace(rate, effort.duration) else {
        return Ok(false);
    };
    let last = times.there.len() / 10;
    let mut late = times.there[times.there.len() - last..].to_vec();
    late.sort();
    Ok(percentile(&late, 0.5) < TOO_LATE)
}

/// The approximate time of [`measure`].
pub fn estimate(effort: Effort) -> Duration {
    (effort.duration + SETTLE) * (RATES + 1)
}
