//! The measurements: the load of each, and its figures.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::Result;
use crate::cell::{Cell, Content};
use crate::connection::AT_ONCE;
use crate::echo::{self, PACED, PACED_RATE};
use crate::figures::{Effort, SETTLE};
use crate::kinds::{Kind, REFERENCE};
use crate::report::Metric;
use crate::rooms::bus::{self, Engine};
use crate::rooms::fan_out;
use crate::servers::Server;

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
    /// One member of a room publishes, and all get it.
    FanOut(Cell),
    /// The memory of members of a room.
    RoomMemory,
    /// A room of two runners that an engine joins.
    Bus(Engine),
}

/// What is measured.
pub enum Subject {
    /// An echo that may have been measured before.
    Echo,
    /// An echo that has not, as earlier load would distort the figures.
    NewEcho,
    /// A room.
    Room,
    /// Two runners and an engine.
    Bus(Engine),
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
    .chain(rooms())
    .collect()
}

/// The measurements of rooms on one runner.
pub fn rooms() -> Vec<Measurement> {
    use Content::{Binary, Deflated};
    [
        Cell::new(1000, 16, Binary),
        Cell::new(1000, 125, Binary),
        Cell::new(1000, 1 << 10, Binary),
        Cell::new(1000, 1 << 10, Deflated),
        Cell::new(10_000, 16, Binary),
        Cell::new(10_000, 125, Binary),
        Cell::new(10_000, 1 << 10, Binary),
        Cell::new(10_000, 1 << 10, Deflated),
    ]
    .map(Measurement::FanOut)
    .into_iter()
    .chain([Measurement::RoomMemory])
    .collect()
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Throughput(cell) => cell.fmt(f),
            Self::Latency => f.write_str("latency"),
            Self::Handshakes => f.write_str("handshakes"),
            Self::Memory => f.write_str("memory"),
            Self::FanOut(cell) => write!(f, "{ROOM}{cell}"),
            Self::RoomMemory => f.write_str("room-memory"),
            Self::Bus(engine) => write!(f, "bus-{}", engine.name()),
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
            "room-memory" => Ok(Self::RoomMemory),
            "bus-nats" => Ok(Self::Bus(Engine::Nats)),
            "bus-redis" => Ok(Self::Bus(Engine::Redis)),
            _ => cell(text).map_err(|error| format!("{error}; or {OTHERS}")),
        }
    }
}

/// The measurements of rooms across runners.
pub fn across() -> [Measurement; 2] {
    [Engine::Nats, Engine::Redis].map(Measurement::Bus)
}

/// What precedes the cell of a room.
const ROOM: &str = "room-";

const OTHERS: &str =
    "room-MEMBERSxSIZE, latency, handshakes, memory, room-memory, bus-nats, bus-redis";

fn cell(text: &str) -> Result<Measurement, String> {
    if let Some(cell) = text.strip_prefix(ROOM) {
        cell.parse().map(Measurement::FanOut)
    } else {
        text.parse().map(Measurement::Throughput)
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
            Self::FanOut(cell) => cell.title().replace("connections", "members"),
            Self::RoomMemory => "Memory of idle members, excluding the kernel's".to_owned(),
            Self::Bus(engine) => format!("Two runners and {}", engine.title()),
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
            Self::FanOut(_) => &[
                ("CPU µs/delivery", 2),
                ("p50 ms to the last", 2),
                ("p99 ms to the last", 2),
                ("deliveries/s", 0),
                ("server busy %", 0),
                ("generator busy %", 0),
            ],
            Self::RoomMemory => &[("KiB/member", 1), ("bytes more than another connection", 0)],
            Self::Bus(_) => bus::METRICS,
        };
        metrics
            .iter()
            .map(|&(name, digits)| Metric::new(name, digits))
            .collect()
    }

    /// Whether this kind of server can be measured this way.
    pub fn suits(&self, kind: &Kind) -> bool {
        let room = kind.room.as_ref();
        match self {
            Self::Throughput(cell) => kind.echo.as_ref().is_some_and(|echo| {
                cell.size <= echo.max_message
                    && (echo.deflates || cell.content != Content::Deflated)
            }),
            Self::Latency | Self::Handshakes | Self::Memory => kind.echo.is_some(),
            Self::FanOut(cell) => {
                room.is_some_and(|room| room.deflates || cell.content != Content::Deflated)
            }
            Self::RoomMemory => room.is_some(),
            Self::Bus(_) => kind.name == REFERENCE,
        }
    }

    /// What is measured.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Throughput(_) | Self::Latency | Self::Handshakes => Subject::Echo,
            Self::Memory => Subject::NewEcho,
            Self::FanOut(_) | Self::RoomMemory => Subject::Room,
            Self::Bus(engine) => Subject::Bus(*engine),
        }
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
            Self::FanOut(cell) => {
                opening(cell.connections) + SETTLE + effort.warm_up() + effort.duration
            }
            Self::RoomMemory => opening(effort.idle_connections() * 3 / 2) + 3 * SETTLE,
            Self::Bus(_) => bus::estimate(effort),
        }
    }

    /// Measures an echo. The figures are in the order of [`metrics`](Self::metrics).
    ///
    /// # Errors
    ///
    /// When the server does not do what it should.
    pub fn of_echo(&self, server: &Server, effort: Effort) -> Result<Vec<f64>> {
        match self {
            Self::Throughput(cell) => echo::throughput(server, cell, effort),
            Self::Latency => echo::latency(server, effort),
            Self::Handshakes => echo::handshakes(server, effort),
            Self::Memory => echo::idle_memory(server, effort),
            Self::FanOut(_) | Self::RoomMemory | Self::Bus(_) => Err("not of an echo".into()),
        }
    }

    /// The same of a room.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn of_room(&self, kind: &Kind, server: &Server, effort: Effort) -> Result<Vec<f64>> {
        let room = kind.room.as_ref().ok_or("it is no room")?;
        match self {
            Self::FanOut(cell) => fan_out::measure(server, room.protocol, cell, effort),
            Self::RoomMemory => fan_out::memory_of_members(server, room.protocol, effort),
            _ => Err("not of a room".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_are_read_as_they_are_written() {
        for measurement in standard().into_iter().chain(across()) {
            assert_eq!(measurement.to_string().parse(), Ok(measurement));
        }
    }
}
