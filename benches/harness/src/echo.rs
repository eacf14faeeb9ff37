//! Measurements of echoes.

use std::thread::sleep;

use crate::Result;
use crate::cell::{Cell, Content};
use crate::connection::{AT_ONCE, Connection};
use crate::figures::{Busy, Effort, SETTLE, micros, percent, percentile};
use crate::load::Load;
use crate::process::memory;
use crate::servers::Server;

/// The load for latency: this number of messages per second in total, on the connections of this cell.
pub const PACED_RATE: f64 = 10_000.0;
/// See [`PACED_RATE`].
pub const PACED: Cell = Cell::new(64, 125, Content::Binary);

/// Measures as many messages as the server can handle.
///
/// # Errors
///
/// When the server does not do what it should.
pub fn throughput(server: &Server, cell: &Cell, effort: Effort) -> Result<Vec<f64>> {
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

/// Measures the latency of messages at a fixed rate.
///
/// # Errors
///
/// When the server does not do what it should.
pub fn latency(server: &Server, effort: Effort) -> Result<Vec<f64>> {
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

/// Measures opening handshakes.
///
/// # Errors
///
/// When the server does not do what it should.
pub fn handshakes(server: &Server, effort: Effort) -> Result<Vec<f64>> {
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

/// Measures the memory of idle connections.
///
/// # Errors
///
/// When the server does not do what it should.
pub fn idle_memory(server: &Server, effort: Effort) -> Result<Vec<f64>> {
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
