//! The soak test: everything that clients do, for a long time, and whether the runner's memory stays flat.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::cell::{Cell, Content};
use crate::connection::Connection;
use crate::document;
use crate::load::Load;
use crate::messages::Messages;
use crate::options::Soak;
use crate::process::{allow_files, files, machine, memory};
use crate::servers::{Places, Server, start_runner};
use crate::streams::Streams;

/// The loads at full speed, each for a second, over and over: small and large messages, one and many in flight,
/// compressed and not.
const CELLS: [Cell; 8] = [
    Cell::new(64, 16, Content::Binary).in_flight(16),
    Cell::new(256, 125, Content::Text),
    Cell::new(64, 1 << 10, Content::Deflated),
    Cell::new(4, 1 << 20, Content::Binary),
    Cell::new(16, 16 << 10, Content::Deflated).in_flight(4),
    Cell::new(16, 64 << 10, Content::Binary),
    Cell::new(4, 1 << 20, Content::Deflated),
    Cell::new(500, 1 << 10, Content::Text),
];
const TURN: Duration = Duration::from_secs(1);

/// The number of connections that stay all the time, and the pause between the messages of one and the next.
const RESIDENTS: usize = 256;
const PAUSE: Duration = Duration::from_millis(20);

/// The number of connections that are opened together, used, and closed.
const VISITORS: usize = 32;

/// The number of rounds of them on one HTTP/2 connection.
const VISITS: usize = 16;

/// The interval between samples.
const SAMPLE: Duration = Duration::from_secs(1);

/// The approximate number of rows of the table.
const ROWS: u32 = 30;

/// The memory may be higher in the last third than in the second by this percentage, plus what an allocator keeps of
/// one or two large messages.
const TOLERANCE: u64 = 3;
const SLACK: u64 = 2 << 20;

/// The number of samples until the runner is warm: all instances have had the largest messages several times.
const WARM_UP: usize = 50;

/// The longest time for the runner to close the connections that its clients have left.
const PATIENCE: Duration = Duration::from_secs(15);

/// What all threads have done so far.
#[derive(Default)]
struct Progress {
    connections: AtomicU64,
    messages: AtomicU64,
    stopping: AtomicBool,
}

impl Progress {
    fn is_running(&self) -> bool {
        !self.stopping.load(Relaxed)
    }

    fn connected(&self, number: usize) {
        self.connections.fetch_add(number as u64, Relaxed);
    }

    fn echoed(&self, number: u64) {
        self.messages.fetch_add(number, Relaxed);
    }
}

/// The state of the runner at some moment.
#[derive(Clone, Copy)]
struct Sample {
    memory: u64,
    files: u64,
}

/// Loads the runner for the given time, and prints a table meanwhile.
///
/// # Errors
///
/// When an echo is not what was sent or does not come, a connection fails, files stay open, or the memory has grown.
pub fn soak(options: &Soak, places: &Places) -> Result<()> {
    allow_files(1 << 16);
    let server = start_runner(places, &["--workers", "auto", "--http2"])?;
    // The first instance opens files that all instances share.
    visit_once(server.address)?;
    thread::sleep(SAMPLE);
    let before = files(server.pid())?;
    let duration = Duration::from_secs_f64(options.minutes * 60.0);
    let (samples, table) = run(&server, duration)?;
    let verdict = judge(&samples);
    let left = leave(&server, before);
    let text = format!(
        "`make soak` on {}: {:.0} minutes. {}\n\n{table}",
        machine(),
        options.minutes,
        match &verdict {
            Ok(text) => text.clone(),
            Err(error) => error.to_string(),
        },
    );
    if options.write {
        document::replace(&places.root.join("docs/performance.md"), "soak", &text)?;
    }
    println!("\n{}", verdict?);
    left
}

/// Returns the samples, one for each second, and the table.
fn run(server: &Server, duration: Duration) -> Result<(Vec<Sample>, String)> {
    let (progress, address) = (Progress::default(), server.address);
    thread::scope(|scope| {
        let lanes: [fn(SocketAddr, &Progress) -> Result<()>; 5] =
            [talk, visit, visit_compressed, visit_streams, reside];
        let lanes = lanes.map(|lane| {
            let progress = &progress;
            scope.spawn(move || {
                let outcome = lane(address, progress).map_err(|error| error.to_string());
                // A failure ends all of them.
                progress.stopping.store(true, Relaxed);
                outcome
            })
        });
        let watched = watch(server, &progress, duration);
        progress.stopping.store(true, Relaxed);
        for lane in lanes {
            lane.join().map_err(|_| "a thread has panicked")??;
        }
        watched
    })
}

/// Messages at full speed. The connections are cut off at the end of a turn, in the middle of messages.
fn talk(address: SocketAddr, progress: &Progress) -> Result<()> {
    for cell in CELLS.iter().cycle() {
        if !progress.is_running() {
            break;
        }
        let in_cell = |error| format!("{cell}: {error}");
        let messages = Messages::new(cell).all_compared();
        let mut load = Load::with(address, messages, cell.connections).map_err(in_cell)?;
        progress.connected(cell.connections);
        load.begin(cell.in_flight).map_err(in_cell)?;
        progress.echoed(load.run(TURN).map_err(in_cell)?);
    }
    Ok(())
}

fn visit(address: SocketAddr, progress: &Progress) -> Result<()> {
    visits(address, progress, Content::Text)
}

fn visit_compressed(address: SocketAddr, progress: &Progress) -> Result<()> {
    visits(address, progress, Content::Deflated)
}

/// Connections that come and go: each has an echo, and a closing handshake.
fn visits(address: SocketAddr, progress: &Progress, content: Content) -> Result<()> {
    let messages = Messages::new(&Cell::new(VISITORS, 125, content)).all_compared();
    while progress.is_running() {
        let visitors = Connection::open_many(address, messages.deflated(), VISITORS)?;
        progress.connected(VISITORS);
        for mut visitor in visitors {
            visitor.echo(&messages)?;
            visitor.close()?;
        }
        progress.echoed(VISITORS as u64);
    }
    Ok(())
}

/// The same on streams of HTTP/2, over several connections, one after the other.
fn visit_streams(address: SocketAddr, progress: &Progress) -> Result<()> {
    let messages = Messages::new(&Cell::new(VISITORS, 8 << 10, Content::Text)).all_compared();
    let echoes = (VISITORS * messages.count()) as u64;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        while progress.is_running() {
            let mut streams = Streams::connect(address).await?;
            for _ in 0..VISITS {
                streams.visit(VISITORS, &messages).await?;
                progress.connected(VISITORS);
                progress.echoed(echoes);
            }
        }
        Ok(())
    })
}

fn visit_once(address: SocketAddr) -> Result<()> {
    let messages = Messages::new(&Cell::new(1, 16, Content::Text));
    for mut visitor in Connection::open_many(address, false, 1)? {
        visitor.echo(&messages)?;
        visitor.close()?;
    }
    Ok(())
}

/// Connections that stay, and send a message now and then, before the runner would ping them.
fn reside(address: SocketAddr, progress: &Progress) -> Result<()> {
    let messages = Messages::new(&Cell::new(RESIDENTS, 4096, Content::Deflated)).all_compared();
    let mut residents = Connection::open_many(address, true, RESIDENTS)?;
    progress.connected(RESIDENTS);
    while progress.is_running() {
        for resident in &mut residents {
            resident.echo(&messages)?;
            progress.echoed(1);
            thread::sleep(PAUSE);
            if !progress.is_running() {
                break;
            }
        }
    }
    residents.into_iter().try_for_each(Connection::close)
}

/// Samples the runner every second, and prints a row now and then.
fn watch(
    server: &Server,
    progress: &Progress,
    duration: Duration,
) -> Result<(Vec<Sample>, String)> {
    let (mut samples, mut table) = (Vec::new(), String::new());
    put(
        &mut table,
        "| Time | Connections so far | Messages so far | Files open | Memory, median | Highest |\n\
         |---:|---:|---:|---:|---:|---:|",
    );
    let (start, every) = (Instant::now(), (duration / ROWS).max(2 * SAMPLE));
    let (mut next, mut row) = (every, 0);
    while start.elapsed() < duration && progress.is_running() {
        thread::sleep(SAMPLE);
        samples.push(Sample {
            memory: memory(server.pid())?,
            files: files(server.pid())?,
        });
        if start.elapsed() >= next.min(duration) {
            put(
                &mut table,
                &line(start.elapsed(), progress, &samples[row..]),
            );
            (next, row) = (next + every, samples.len());
        }
    }
    Ok((samples, table))
}

/// Prints a line of the table, and keeps it.
fn put(table: &mut String, line: &str) {
    println!("{line}");
    let _ = writeln!(table, "{line}");
}

fn line(elapsed: Duration, progress: &Progress, samples: &[Sample]) -> String {
    let seconds = elapsed.as_secs();
    let highest = samples.iter().map(|sample| sample.memory).max();
    let files = samples.iter().map(|sample| sample.files).max();
    format!(
        "| {}:{:02} | {} | {} | {} | {} | {} |",
        seconds / 60,
        seconds % 60,
        progress.connections.load(Relaxed),
        progress.messages.load(Relaxed),
        files.unwrap_or_default(),
        mebibytes(median(samples)),
        mebibytes(highest.unwrap_or_default()),
    )
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn median(samples: &[Sample]) -> u64 {
    let mut memory: Vec<u64> = samples.iter().map(|sample| sample.memory).collect();
    memory.sort_unstable();
    memory.get(memory.len() / 2).copied().unwrap_or_default()
}

/// The first third is a warm-up: caches fill, and the allocator reaches its peak. After that the memory goes up and
/// down with the messages, and its median must not rise.
fn judge(samples: &[Sample]) -> Result<String> {
    let third = samples.len() / 3;
    if third < WARM_UP {
        return Ok(
            "The run was too short to tell whether memory stays flat: that takes 3 minutes.".into(),
        );
    }
    let (second, last) = (
        median(&samples[third..2 * third]),
        median(&samples[2 * third..]),
    );
    let text = format!(
        "Median memory was {} in the second third of the run and {} in the last",
        mebibytes(second),
        mebibytes(last)
    );
    if last > second + second * TOLERANCE / 100 + SLACK {
        Err(format!("{text}: it grew.").into())
    } else {
        Ok(format!("{text}: it stayed flat."))
    }
}

/// Waits until the runner has no more files open than before there were clients.
fn leave(server: &Server, before: u64) -> Result<()> {
    let start = Instant::now();
    loop {
        let now = files(server.pid())?;
        if now <= before {
            println!("All files are closed: {now} are open, as at the start.");
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("{now} files stay open, where {before} were at the start").into());
        }
        thread::sleep(SAMPLE / 10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_server::{Behaviour, start};

    fn samples(memory: impl Fn(u64) -> u64) -> Vec<Sample> {
        let sample = |second| Sample {
            memory: memory(second) << 20,
            files: 0,
        };
        (0..240).map(sample).collect()
    }

    #[test]
    fn memory_that_goes_up_and_down_is_flat() {
        for flat in [
            samples(|_| 100),
            samples(|second| 100 + 50 * (second % 8)),
            samples(|second| if second < 80 { 20 } else { 120 }),
            samples(|second| 400 - second),
        ] {
            assert!(judge(&flat).is_ok_and(|text| text.contains("flat")));
        }
    }

    #[test]
    fn memory_that_grows_is_noticed() {
        for grown in [
            samples(|second| 100 + second / 2),
            samples(|second| 100 + second + 20 * (second % 8)),
            samples(|second| if second < 160 { 100 } else { 106 }),
        ] {
            assert!(judge(&grown).is_err_and(|error| error.to_string().contains("grew")));
        }
        let short = judge(&samples(|second| 100 + second)[..60]);
        assert!(short.is_ok_and(|text| text.contains("too short")));
    }

    #[test]
    fn a_server_that_does_not_echo_fails() {
        for lane in [talk, visit, visit_compressed, reside] {
            for behaviour in [Behaviour::Alter, Behaviour::Close] {
                let outcome = lane(start(behaviour), &Progress::default());
                assert!(outcome.is_err());
            }
        }
    }
}
