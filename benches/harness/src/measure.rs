//! The measurements: the load of each, and its figures.

use std::fmt;
use std::str::FromStr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Result;
use crate::cell::{Cell, Content};
use crate::connection::{AT_ONCE, Connection};
use crate::load::Load;
use crate::process::{cpu_time, memory, own_cpu_time};
use crate::report::Metric;
use crate::servers::{Kind, Server};

/// The number of idle connections for a figure of memory.
const IDLE_CONNECTIONS: usize = 10_000;
/// The same with `--quick`.
const QUICK_IDLE_CONNECTIONS: usize = 100;
/// The time for servers to settle after the idle connections are open.
const SETTLE: Duration = Duration::from_millis(500);

/// The load for latency: this number of messages per second in total, on the connections of this cell.
const PACED_RATE: f64 = 10_000.0;
const PACED: Cell = Cell::new(64, 125, Content::Binary);

/// One measurement of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measurement {
    /// As many messages as the server can handle.
    Throughput(Cell),
    /// The latency of messages at a fixed rate.
    Latency,
    /// Opening handshakes, one after the other.
    Handshakes,
    /// The memory of idle connections.
    Memory,
}

/// The extent of a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// The time of one measurement.
    pub duration: Duration,
    /// Whether it only checks that everything works.
    pub quick: bool,
}

impl Effort {
    /// The time under load before the measurement starts.
    fn warm_up(&self) -> Duration {
        self.duration.mul_f64(0.3)
    }

    fn idle_connections(&self) -> usize {
        if self.quick {
            QUICK_IDLE_CONNECTIONS
        } else {
            IDLE_CONNECTIONS
        }
    }
}

/// All measurements of `bench run`, in the order of the tables.
pub fn standard() -> Vec<Measurement> {
    use Content::{Binary, Deflated, Text};
    [
        Cell::new(1, 16, Binary),
        Cell::new(64, 16, Binary),
        Cell::new(64, 125, Binary),
        Cell::new(64, 1 << 10, Binary),
        Cell::new(64, 16 << 10, Binary),
        Cell::new(64, 16, Binary).in_flight(16),
        Cell::new(64, 1 << 10, Binary).in_flight(16),
        Cell::new(16, 64 << 10, Binary),
        Cell::new(4, 1 << 20, Binary),
        Cell::new(1000, 125, Binary),
        Cell::new(64, 1 << 10, Text),
        Cell::new(64, 1 << 10, Deflated),
        Cell::new(64, 16 << 10, Text),
        Cell::new(64, 16 << 10, Deflated),
    ]
    .map(Measurement::Throughput)
    .into_iter()
    .chain([
        Measurement::Latency,
        Measurement::Handshakes,
        Measurement::Memory,
    ])
    .collect()
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Throughput(cell) => cell.fmt(f),
            Self::Latency => f.write_str("latency"),
            Self::Handshakes => f.write_str("handshakes"),
            Self::Memory => f.write_str("memory"),
        }
    }
}

impl FromStr for Measurement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "latency" => Ok(Self::Latency),
            "handshakes" => Ok(Self::Handshakes),
            "memory" => Ok(Self::Memory),
            _ => text
                .parse()
                .map(Self::Throughput)
                .map_err(|error| format!("{error}; or latency, handshakes, memory")),
        }
    }
}

impl Measurement {
    /// The heading of its table.
    pub fn title(&self) -> String {
        match self {
            Self::Throughput(cell) => cell.title(),
            Self::Latency => format!(
                "Latency: {}, {PACED_RATE} messages per second in total",
                PACED.title()
            ),
            Self::Handshakes => format!("Opening handshakes, {AT_ONCE} at a time"),
            Self::Memory => "Memory of idle connections, excluding the kernel's".to_owned(),
        }
    }

    /// The figures that it yields.
    pub fn metrics(&self) -> Vec<Metric> {
        let metrics: &[(&str, usize)] = match self {
            Self::Throughput(_) => &[
                ("CPU µs/message", 2),
                ("messages/s", 0),
                ("server busy %", 0),
                ("generator busy %", 0),
            ],
            Self::Latency => &[
                ("p50 µs", 0),
                ("p99 µs", 0),
                ("p99.9 µs", 0),
                ("CPU µs/message", 2),
                ("sent late, p99 µs", 0),
            ],
            Self::Handshakes => &[
                ("CPU µs/handshake", 1),
                ("handshakes/s", 0),
                ("generator busy %", 0),
            ],
            Self::Memory => &[("KiB/connection", 1), ("MiB without connections", 1)],
        };
        metrics
            .iter()
            .map(|&(name, digits)| Metric::new(name, digits))
            .collect()
    }

    /// Whether this kind of server can be measured this way.
    pub fn suits(&self, kind: &Kind) -> bool {
        match self {
            Self::Throughput(cell) => {
                cell.size <= kind.max_message
                    && (kind.deflates || cell.content != Content::Deflated)
            }
            Self::Latency | Self::Handshakes | Self::Memory => true,
        }
    }

    /// Whether earlier load on a server would distort the figures.
    pub fn needs_new_server(&self) -> bool {
        matches!(self, Self::Memory)
    }

    /// The approximate time of one.
    pub fn estimate(&self, effort: Effort) -> Duration {
        let opening =
            |connections: usize| Duration::from_micros(200).saturating_mul(connections as u32);
        match self {
            Self::Throughput(cell) => {
                opening(cell.connections) + effort.warm_up() + effort.duration
            }
            Self::Latency => effort.warm_up() + effort.duration,
            Self::Handshakes => effort.duration,
            Self::Memory => opening(effort.idle_connections()) + SETTLE,
        }
    }

    /// Measures a server. The figures are in the order of [`metrics`](Self::metrics).
    ///
    /// # Errors
    ///
    /// When the server does not do what it should.
    pub fn measure(&self, server: &Server, effort: Effort) -> Result<Vec<f64>> {
        match self {
            Self::Throughput(cell) => throughput(server, cell, effort),
            Self::Latency => latency(server, effort),
            Self::Handshakes => handshakes(server, effort),
            Self::Memory => idle_memory(server, effort),
        }
    }
}

/// The state of the clocks at some moment: time, and CPU time of the server and the generator.
struct Busy {
    start: Instant,
    server: Duration,
    own: Duration,
}

impl Busy {
    fn now(server: &Server) -> Result<Self> {
        Ok(Self {
            start: Instant::now(),
            server: cpu_time(server.pid())?,
            own: own_cpu_time(),
        })
    }

    /// Since then: the time, the server's CPU time, and the generator's.
    fn since(&self, server: &Server) -> Result<(Duration, Duration, Duration)> {
        let time = self.start.elapsed();
        let own = own_cpu_time().saturating_sub(self.own);
        Ok((
            time,
            cpu_time(server.pid())?.saturating_sub(self.server),
            own,
        ))
    }
}

fn throughput(server: &Server, cell: &Cell, effort: Effort) -> Result<Vec<f64>> {
    let mut load = Load::open(server.address, cell)?;
    load.begin(cell.in_flight)?;
    load.run(effort.warm_up())?;
    let before = Busy::now(server)?;
    let messages = load.run(effort.duration)?;
    let (time, busy, own) = before.since(server)?;
    Ok(vec![
        micros(busy) / messages as f64,
        messages as f64 / time.as_secs_f64(),
        percent(busy, time),
        percent(own, time),
    ])
}

fn latency(server: &Server, effort: Effort) -> Result<Vec<f64>> {
    let mut load = Load::open(server.address, &PACED)?;
    load.pace(PACED_RATE, effort.warm_up())?;
    let before = Busy::now(server)?;
    let mut paced = load.pace(PACED_RATE, effort.duration)?;
    let (_, busy, _) = before.since(server)?;
    paced.latencies.sort();
    paced.delays.sort();
    let at = |share| micros(percentile(&paced.latencies, share));
    Ok(vec![
        at(0.5),
        at(0.99),
        at(0.999),
        micros(busy) / paced.latencies.len() as f64,
        micros(percentile(&paced.delays, 0.99)),
    ])
}

fn handshakes(server: &Server, effort: Effort) -> Result<Vec<f64>> {
    let before = Busy::now(server)?;
    let mut count = 0u32;
    while before.start.elapsed() < effort.duration {
        drop(Connection::open_many(server.address, false, AT_ONCE)?);
        count += AT_ONCE as u32;
    }
    let (time, busy, own) = before.since(server)?;
    let count = f64::from(count);
    Ok(vec![
        micros(busy) / count,
        count / time.as_secs_f64(),
        percent(own, time),
    ])
}

fn idle_memory(server: &Server, effort: Effort) -> Result<Vec<f64>> {
    // Memory taken for the first connection alone does not count.
    drop(Connection::open_many(server.address, false, 1)?);
    sleep(SETTLE);
    let before = memory(server.pid())?;
    let count = effort.idle_connections();
    let connections = Connection::open_many(server.address, false, count)?;
    sleep(SETTLE);
    let taken = memory(server.pid())?.saturating_sub(before);
    drop(connections);
    Ok(vec![
        taken as f64 / count as f64 / 1024.0,
        before as f64 / (1 << 20) as f64,
    ])
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn percent(part: Duration, whole: Duration) -> f64 {
    100.0 * part.as_secs_f64() / whole.as_secs_f64()
}

/// The value below which this share of the sorted sample lies; zero if the sample is empty.
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_of_the_sample() {
        let sample: Vec<_> = (1..=1000).map(Duration::from_micros).collect();
        for (share, micros) in [(0.5, 500), (0.99, 990), (0.999, 999), (1.0, 1000), (0.0, 1)] {
            assert_eq!(percentile(&sample, share), Duration::from_micros(micros));
        }
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn measurements_are_read_as_they_are_written() {
        for measurement in standard() {
            assert_eq!(measurement.to_string().parse(), Ok(measurement));
        }
    }
}
