//! Connections that sleep: the memory of one, and what waking it costs a client.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Result;
use crate::campaign::Campaign;
use crate::cell::{Cell, Content};
use crate::connection::Connection;
use crate::figures::{Effort, SETTLE, percentile};
use crate::kinds::REFERENCE;
use crate::messages::Messages;
use crate::options::Run;
use crate::process::memory;
use crate::report::{Metric, Report, Table};
use crate::servers::{Places, start_component};
use crate::swaps::{APPS, free_address, request, value};

/// The id of the table.
pub const SLEEP: &str = "sleep";

/// How long it may take until all sleep.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time until the runner has released what it needed while they were awake.
const TRIM: Duration = Duration::from_secs(11);

/// The connections that are woken, one after the other, and the pause between them.
const WAKES: usize = 500;
const PAUSE: Duration = Duration::from_millis(4);

/// Measures apps in several languages.
///
/// # Errors
///
/// When one is not served, or its connections do not sleep.
pub fn hibernation(run: &Run, places: &Places) -> Result<Report> {
    let campaign = Campaign::new(&run.of(REFERENCE), places)?;
    let (places, cores, rounds) = campaign.surroundings();
    let metrics = [
        ("KiB/connection asleep", 2),
        ("instances left", 0),
        ("p50 of a wake, ms", 2),
        ("p99 of a wake, ms", 2),
        ("slowest, ms", 2),
    ];
    let metrics = metrics.map(|(name, digits)| Metric::new(name, digits));
    let title = "Connections that sleep, excluding the kernel's memory".to_owned();
    let mut table = Table::new(SLEEP.to_owned(), title, metrics.into());
    for _ in 0..rounds {
        for (language, file) in APPS {
            eprintln!("{language}");
            let component = places.root.join("target/languages").join(file);
            let admin = free_address()?;
            let options = ["--admin", &admin.to_string(), "--hibernate-after", "1"];
            let cache = places.built.join("cache");
            let server = start_component(places, cores, &component, &cache, &options)?;
            let figures = measure(server.address, server.pid(), admin, campaign.effort())?;
            table.add(language, figures);
        }
    }
    Ok(campaign.report("make bench-sleep", vec![table]))
}

fn measure(server: SocketAddr, pid: u32, admin: SocketAddr, effort: Effort) -> Result<Vec<f64>> {
    // Memory taken for the first connection alone does not count.
    drop(Connection::open_many(server, false, 1)?);
    sleep(SETTLE);
    let before = memory(pid)?;
    let count = effort.idle_connections();
    let mut connections = Connection::open_many(server, false, count)?;
    wait_until_asleep(admin, count)?;
    sleep(TRIM);
    let taken = memory(pid)?.saturating_sub(before);
    let instances = metric(admin, "wasocket_instances")?;
    let messages = Messages::new(&Cell::new(1, 16, Content::Binary));
    let mut times = Vec::new();
    // The last ones have not been pinged yet.
    for connection in connections.iter_mut().rev().take(WAKES) {
        let start = Instant::now();
        connection.echo(&messages)?;
        times.push(start.elapsed());
        sleep(PAUSE);
    }
    times.sort();
    let millis = |share| percentile(&times, share).as_secs_f64() * 1e3;
    Ok(vec![
        taken as f64 / count as f64 / 1024.0,
        instances,
        millis(0.5),
        millis(0.99),
        millis(1.0),
    ])
}

fn wait_until_asleep(admin: SocketAddr, count: usize) -> Result<()> {
    let start = Instant::now();
    while metric(admin, "wasocket_connections_asleep")? < count as f64 {
        if start.elapsed() > PATIENCE {
            return Err(format!("not all connections sleep after {PATIENCE:?}").into());
        }
        sleep(SETTLE);
    }
    Ok(())
}

fn metric(admin: SocketAddr, name: &str) -> Result<f64> {
    let metrics = request(admin, "GET /metrics HTTP/1.1", "")?;
    value(&metrics, name).ok_or_else(|| format!("no metric {name}").into())
}
