//! How costs grow: with the number of connections and the size of messages; the gain from workers; and the time to
//! start, by component.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::Result;
use crate::campaign::Campaign;
use crate::cell::{Cell, Content};
use crate::kinds::BIG;
use crate::measure::Measurement;
use crate::options::Run;
use crate::report::{Metric, Report, Table};
use crate::servers::{Cores, Places, compile, start_component, start_workers};

const CONNECTIONS: [usize; 7] = [10, 100, 1000, 2000, 5000, 10_000, 20_000];
/// The size of messages on those.
const SMALL: usize = 125;

const SIZES: [usize; 11] = [
    16,
    64,
    256,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
    16 << 20,
];
/// The number of connections for those sizes.
const FEW: usize = 4;

/// The components to start, in `target`: apps in each language, and one that includes the protocol.
const COMPONENTS: [&str; 5] = [
    "languages/rust-echo.wasm",
    "wasm32-wasip2/release/hello.wasm",
    "languages/c-echo.wasm",
    "languages/javascript-echo.wasm",
    "languages/python-echo.wasm",
];

/// The ids of the tables of starts and workers.
pub const START: &str = "start";
pub const WORKERS: &str = "workers";

/// The number of workers: that of the cores of the smallest machine for this.
const MOST_WORKERS: usize = 2;

/// Measures everything, or the named cells.
///
/// # Errors
///
/// When servers cannot be started.
pub fn grow(run: &Run, places: &Places) -> Result<Report> {
    let campaign = Campaign::new(run, places)?;
    let big = campaign.with(&BIG);
    let mut tables = Vec::new();
    if run.cells.is_empty() {
        tables.extend(campaign.measure(&connections(campaign.max_connections()))?);
        tables.extend(big.measure(&sizes())?);
        tables.push(workers(&campaign)?);
        tables.push(starts(&campaign)?);
    } else {
        tables.extend(big.measure(&run.cells)?);
    }
    Ok(campaign.report("make bench-grow", tables))
}

/// Cells with growing numbers of connections, up to the limit of the machine.
fn connections(most: usize) -> Vec<Measurement> {
    let cell = |connections: usize| Cell::new(connections.min(most), SMALL, Content::Binary);
    CONNECTIONS.map(cell).map(Measurement::Throughput).into()
}

/// Whether a cell is one of [`connections`].
pub fn is_of_connections(cell: &Cell) -> bool {
    (cell.size, cell.in_flight) == (SMALL, 1)
}

/// Whether a cell is one of [`sizes`].
pub fn is_of_sizes(cell: &Cell) -> bool {
    (cell.connections, cell.in_flight) == (FEW, 1)
}

/// Cells with growing sizes of messages.
fn sizes() -> Vec<Measurement> {
    let cell = |size| Cell::new(FEW, size, Content::Binary);
    SIZES.map(cell).map(Measurement::Throughput).into()
}

/// The throughput of one worker, and of several. The server has all cores, and shares one of them with the load
/// generator, which is as busy as a worker in the first cell, and nearly idle in the second.
fn workers(campaign: &Campaign<'_>) -> Result<Table> {
    let (places, cores, rounds) = campaign.surroundings();
    let cells = [
        Cell::new(64, 16, Content::Binary),
        Cell::new(64, 16 << 10, Content::Deflated),
    ];
    let mut table = Table::new(
        WORKERS.to_owned(),
        "Workers of `wasocket serve`".to_owned(),
        cells.map(Measurement::Throughput)[0].metrics(),
    );
    for _ in 0..rounds {
        for cell in cells {
            for workers in 1..=MOST_WORKERS {
                let name = format!("{cell}, workers: {workers}");
                eprintln!("workers  {name}");
                let server = start_workers(places, cores, workers)?;
                match Measurement::Throughput(cell).of_echo(&server, campaign.effort()) {
                    Ok(figures) => table.add(&name, figures),
                    Err(error) => eprintln!("{name} fails: {error}"),
                }
            }
        }
    }
    Ok(table)
}

/// The time until `wasocket serve` listens, by component.
fn starts(campaign: &Campaign<'_>) -> Result<Table> {
    let (places, cores, rounds) = campaign.surroundings();
    let metrics = [
        ("compiled, ms", 0),
        ("from the cache, ms", 0),
        ("precompiled, ms", 0),
        ("component, KiB", 0),
    ];
    let metrics = metrics
        .map(|(name, digits)| Metric::new(name, digits))
        .into();
    let mut table = Table::new(
        START.to_owned(),
        "Start of `wasocket serve`".to_owned(),
        metrics,
    );
    for component in components(places) {
        let name = component.file_name().unwrap_or_default().to_string_lossy();
        eprintln!("start  {name}");
        for _ in 0..rounds {
            match start_thrice(places, cores, &component) {
                Ok(figures) => table.add(&name, figures),
                Err(error) => eprintln!("{name} fails: {error}"),
            }
        }
    }
    Ok(table)
}

/// The time of a start with an empty cache, with the cached component, and with a precompiled one; and the size of the
/// component.
fn start_thrice(places: &Places, cores: Cores, component: &Path) -> Result<Vec<f64>> {
    let cache = places.built.join("cache-of-starts");
    let _ = fs::remove_dir_all(&cache);
    let compiled = places.built.join("precompiled.wasocket");
    compile(places, component, &compiled)?;
    let mut figures = Vec::new();
    for (file, options) in [
        (component, &[][..]),
        (component, &[]),
        (&compiled, &["--allow-precompiled"]),
    ] {
        let start = Instant::now();
        let server = start_component(places, cores, file, &cache, options)?;
        figures.push(start.elapsed().as_secs_f64() * 1e3);
        drop(server);
    }
    figures.push(fs::metadata(component)?.len() as f64 / 1024.0);
    Ok(figures)
}

/// The components that have been built; prints which others are left out.
fn components(places: &Places) -> Vec<PathBuf> {
    let mut components = Vec::new();
    for component in COMPONENTS {
        let file = places.root.join("target").join(component);
        if file.is_file() {
            components.push(file)
        } else {
            eprintln!("{component} is left out: `make component languages` builds it")
        }
    }
    components
}
