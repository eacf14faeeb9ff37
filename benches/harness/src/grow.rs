//! How the cost grows: with the number of connections, with the size of messages; what workers bring; and the
//! time of a start with the size of the component.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::Result;
use crate::campaign::Campaign;
use crate::cell::{Cell, Content};
use crate::measure::Measurement;
use crate::options::Run;
use crate::report::{Metric, Report, Table};
use crate::servers::{BIG, Cores, Places, compile, start_component, start_workers};

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
/// How many connections have messages of those.
const FEW: usize = 4;

/// What is started, below `target`: apps of each language, and one that brings its own protocol.
const COMPONENTS: [&str; 5] = [
    "languages/rust-echo.wasm",
    "wasm32-wasip2/release/hello.wasm",
    "languages/c-echo.wasm",
    "languages/javascript-echo.wasm",
    "languages/python-echo.wasm",
];

/// What the table of starts is called, and that of workers.
pub const START: &str = "start";
pub const WORKERS: &str = "workers";

/// How many there are: as many as cores in the smallest machine for this.
const MOST_WORKERS: usize = 2;

/// Measures all of it, or the cells that are named.
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

/// The cells of more and more connections, as many as there can be.
fn connections(most: usize) -> Vec<Measurement> {
    let cell = |connections: usize| Cell::new(connections.min(most), SMALL, Content::Binary);
    CONNECTIONS.map(cell).map(Measurement::Throughput).into()
}

/// Whether a cell is one of those.
pub fn is_of_connections(cell: &Cell) -> bool {
    (cell.size, cell.in_flight) == (SMALL, 1)
}

/// Whether it is one of [`sizes`].
pub fn is_of_sizes(cell: &Cell) -> bool {
    (cell.connections, cell.in_flight) == (FEW, 1)
}

/// The cells of bigger and bigger messages.
fn sizes() -> Vec<Measurement> {
    let cell = |size| Cell::new(FEW, size, Content::Binary);
    SIZES.map(cell).map(Measurement::Throughput).into()
}

/// What goes through one worker, and through more. All cores are the server's, and one of them is the load
/// generator's, too. In the first cell that works as hard as a worker, in the second next to nothing.
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
                match Measurement::Throughput(cell).measure(&server, campaign.effort()) {
                    Ok(figures) => table.add(&name, figures),
                    Err(error) => eprintln!("{name} fails: {error}"),
                }
            }
        }
    }
    Ok(table)
}

/// How long `wasocket serve` takes until it listens, by component.
fn starts(campaign: &Campaign<'_>) -> Result<Table> {
    let (places, cores, rounds) = campaign.surroundings();
    let metrics = [
        ("compiled anew, ms", 0),
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

/// How long a start takes with an empty cache, with what that has left there, and with what `wasocket compile` has
/// made; and the component's size.
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

/// Those of the components that have been built; the others are named.
fn components(places: &Places) -> Vec<PathBuf> {
    let mut components = Vec::new();
    for component in COMPONENTS {
        let file = places.root.join("target").join(component);
        match file.is_file() {
            true => components.push(file),
            false => eprintln!("{component} is left out: `make component languages` builds it"),
        }
    }
    components
}
