//! New versions of the component under load: how long connections are not served while they move.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::scope;
use std::time::Duration;

use crate::Result;
use crate::campaign::Campaign;
use crate::cell::{Cell, Content};
use crate::figures::{Effort, percentile};
use crate::kinds::REFERENCE;
use crate::load::Load;
use crate::options::Run;
use crate::report::{Metric, Report, Table};
use crate::servers::{Cores, Places, start_component};

/// The id of the table.
pub const SWAPS: &str = "swaps";

/// The language of the first row.
pub const FIRST: &str = "Rust";

/// An app in each of some languages, in `target/languages`.
pub const APPS: [(&str, &str); 3] = [
    (FIRST, "rust-echo.wasm"),
    ("JavaScript", "javascript-echo.wasm"),
    ("Python", "python-echo.wasm"),
];

/// The new versions in a round.
const PER_ROUND: usize = 4;

/// The connections, and the messages of 125 bytes that they send per second in total.
const CONNECTIONS: usize = 1000;
const RATE: f64 = 2000.0;

/// The duration of each stretch of load.
const STRETCH: Duration = Duration::from_millis(500);

/// Measures apps in several languages.
///
/// # Errors
///
/// When one is not served, or a new version of it is not.
pub fn swaps(run: &Run, places: &Places) -> Result<Report> {
    let campaign = Campaign::new(&run.of(REFERENCE), places)?;
    let (places, cores, rounds) = campaign.surroundings();
    let metrics = [
        ("longest pause, ms", 2),
        ("sum of pauses for each version, ms", 1),
        ("connections moved for each version", 0),
        ("slowest echo, ms", 1),
        ("p99 of an echo, ms", 2),
    ];
    let metrics = metrics.map(|(name, digits)| Metric::new(name, digits));
    let title = "New versions while connections echo".to_owned();
    let mut table = Table::new(SWAPS.to_owned(), title, metrics.into());
    for _ in 0..rounds {
        for (language, file) in APPS {
            eprintln!("{language}");
            let versions = Versions::of(&places.root.join("target/languages").join(file), places)?;
            table.add(
                language,
                measure(&versions, places, cores, campaign.effort())?,
            );
        }
    }
    Ok(campaign.report("make bench-swaps", vec![table]))
}

/// Two files of a component that take turns, so that both are already compiled while it is measured.
struct Versions([PathBuf; 2]);

impl Versions {
    fn of(component: &Path, places: &Places) -> Result<Self> {
        let component = fs::read(component)
            .map_err(|error| format!("{}: {error}; make languages", component.display()))?;
        let file = |number: u8| -> Result<PathBuf> {
            let file = places.built.join(format!("version-{number}.wasm"));
            // A custom section that has no meaning.
            fs::write(
                &file,
                [&component[..], &[0, 5, 3, b'n', b'o', b'.', number]].concat(),
            )?;
            Ok(file)
        };
        Ok(Self([file(1)?, file(2)?]))
    }
}

fn measure(versions: &Versions, places: &Places, cores: Cores, effort: Effort) -> Result<Vec<f64>> {
    let [first, second] = &versions.0;
    let cache = places.built.join("cache");
    drop(start_component(places, cores, second, &cache, &[])?);
    let admin = free_address()?;
    let options = ["--admin", &admin.to_string()];
    let server = start_component(places, cores, first, &cache, &options)?;
    let (connections, count) = if effort.quick {
        (100, 1)
    } else {
        (CONNECTIONS, PER_ROUND)
    };
    let mut load = Load::open(
        server.address,
        &Cell::new(connections, 125, Content::Binary),
    )?;
    let mut latencies = scope(|scope| -> Result<_> {
        let replacing = scope.spawn(|| {
            let files = (1..=count).map(|number| &versions.0[number % 2]);
            let replaced = files.map(|file| replace(admin, file));
            replaced
                .collect::<Result<()>>()
                .map_err(|error| error.to_string())
        });
        let mut latencies = Vec::new();
        while !replacing.is_finished() {
            latencies.extend(load.pace(RATE, STRETCH)?.latencies);
        }
        replacing.join().map_err(|_| "a thread has panicked")??;
        Ok(latencies)
    })?;
    latencies.sort();
    let metrics = request(admin, "GET /metrics HTTP/1.1", "")?;
    let metric = |name| value(&metrics, name).ok_or(format!("no metric {name}"));
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(vec![
        metric("wasocket_swap_longest_pause_seconds")? * 1e3,
        metric("wasocket_swap_pause_seconds_total")? * 1e3 / count as f64,
        metric("wasocket_swap_moved_total")? / count as f64,
        millis(percentile(&latencies, 1.0)),
        millis(percentile(&latencies, 0.99)),
    ])
}

/// An address on which no one listens.
///
/// # Errors
///
/// When the system has none.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Serves this file instead.
fn replace(admin: SocketAddr, file: &Path) -> Result<()> {
    let file = file.display().to_string();
    let answer = request(admin, "POST /component HTTP/1.1", &file)?;
    if answer.contains("\"outcome\":\"done\"") {
        Ok(())
    } else {
        Err(format!("the new version is not served: {answer}").into())
    }
}

/// Sends a request, and returns the answer with its head.
///
/// # Errors
///
/// When there is none.
pub fn request(server: SocketAddr, line: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(server)?;
    let length = body.len();
    write!(
        stream,
        "{line}\r\nHost: {server}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The value of a metric without labels.
pub fn value(metrics: &str, name: &str) -> Option<f64> {
    let mut lines = metrics.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_whole_name() {
        let metrics = "# TYPE a gauge\na_b 7\na{c=\"d\"} 3\na 0.25\n";
        assert_eq!(value(metrics, "a"), Some(0.25));
        assert_eq!(value(metrics, "b"), None);
    }
}
