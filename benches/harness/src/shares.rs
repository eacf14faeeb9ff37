//! Fair shares: what a client has to wait next to clients of another address that use as much as they can.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use rustix::process::{getpriority_process, setpriority_process};

use crate::Result;
use crate::campaign::Campaign;
use crate::cell::{Cell, Content};
use crate::connection::Opening;
use crate::figures::{Effort, micros, percentile};
use crate::kinds::REFERENCE;
use crate::messages::{Messages, append_frame};
use crate::options::Run;
use crate::process::pin;
use crate::report::{Metric, Report, Table};
use crate::servers::{Cores, Places, Server, serve, spawn};

/// The address of the attackers. The innocent client has 127.0.0.1.
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The innocent client sends a message this long after the last one has come back.
const PAUSE: Duration = Duration::from_millis(2);

/// The id of the table.
pub const SHARES: &str = "shares";

const TEXT: u8 = 0x81;
const KEY: [u8; 4] = [1, 2, 3, 4];

/// An attack: its name, the number of connections, whether they compress, and how they send.
struct Attack {
    name: &'static str,
    connections: usize,
    deflate: bool,
    bytes: fn() -> Vec<u8>,
    rhythm: Rhythm,
}

/// When the bytes are sent.
enum Rhythm {
    /// On all connections at once, again after this time.
    Every(Duration),
    /// Whenever a connection takes them.
    Always,
}

const ATTACKS: &[Attack] = &[
    Attack {
        name: "100 connections: a message each in 0.2 s",
        connections: 100,
        deflate: false,
        bytes: small,
        rhythm: Rhythm::Every(Duration::from_millis(200)),
    },
    Attack {
        name: "2,000 connections: a message each in 0.2 s",
        connections: 2000,
        deflate: false,
        bytes: small,
        rhythm: Rhythm::Every(Duration::from_millis(200)),
    },
    Attack {
        name: "100 connections: empty messages without a pause",
        connections: 100,
        deflate: false,
        bytes: || empty(1000),
        rhythm: Rhythm::Always,
    },
    Attack {
        name: "500 connections: empty messages without a pause",
        connections: 500,
        deflate: false,
        bytes: || empty(1000),
        rhythm: Rhythm::Always,
    },
    Attack {
        name: "16 connections: messages that inflate to 1 MiB",
        connections: 16,
        deflate: true,
        bytes: || {
            let cell = Cell::new(1, 1 << 20, Content::Deflated);
            let messages = Messages::new(&cell);
            messages.frames(0, messages.frame_length(0)).to_vec()
        },
        rhythm: Rhythm::Always,
    },
];

fn small() -> Vec<u8> {
    let mut bytes = Vec::new();
    append_frame(&mut bytes, TEXT, KEY, b"hello");
    bytes
}

fn empty(count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_frame(&mut bytes, TEXT, KEY, b"");
    bytes.repeat(count)
}

/// Measures an innocent client, calm and next to each attack.
///
/// # Errors
///
/// When the server does not serve.
pub fn shares(run: &Run, places: &Places) -> Result<Report> {
    let campaign = Campaign::new(&run.of(REFERENCE), places)?;
    let (places, cores, rounds) = campaign.surroundings();
    let effort = campaign.effort();
    let metrics = [
        ("p99 µs", 0),
        ("p50 µs", 0),
        ("p99.9 µs", 0),
        ("attackers' messages/s", 0),
    ];
    let mut table = Table::new(
        SHARES.to_owned(),
        "An innocent client next to others of another address".to_owned(),
        metrics
            .map(|(name, digits)| Metric::new(name, digits))
            .into(),
    );
    for _ in 0..rounds {
        let server = spawn(serve(places, &[]), cores)?;
        let calm = innocent(&server, effort.duration)?;
        table.add("calm", figures(&calm, 0.0));
        for attack in ATTACKS {
            eprintln!("{}", attack.name);
            table.add(attack.name, under(attack, &server, cores, effort)?);
        }
    }
    Ok(campaign.report("wasocket-bench shares", vec![table]))
}

fn figures(latencies: &[Duration], rate: f64) -> Vec<f64> {
    let at = |share| micros(percentile(latencies, share));
    vec![at(0.99), at(0.5), at(0.999), rate]
}

fn under(attack: &Attack, server: &Server, cores: Cores, effort: Effort) -> Result<Vec<f64>> {
    let mut attackers = Vec::new();
    for _ in 0..attack.connections {
        let opening = Opening::begin_from(OTHER, server.address, "/echo", attack.deflate)?;
        attackers.push(opening.finish_raw()?.0);
    }
    let (is_over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    scope(|scope| {
        scope.spawn(|| {
            // On the core of the innocent client, which must not wait for this.
            let _ = pin(cores.load);
            let nice = getpriority_process(None).unwrap_or(0);
            let _ = setpriority_process(None, nice.saturating_add(10));
            assail(attack, &mut attackers, &is_over, &sent);
        });
        sleep(effort.warm_up());
        let (before, begun) = (sent.load(Relaxed), Instant::now());
        let latencies = innocent(server, effort.duration);
        let count = sent.load(Relaxed) - before;
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        is_over.store(true, Relaxed);
        Ok(figures(&latencies?, rate))
    })
}

/// The sorted times in which messages of one client come back.
fn innocent(server: &Server, duration: Duration) -> Result<Vec<Duration>> {
    let (mut stream, _) = Opening::begin(server.address, "/echo", false)?.finish_raw()?;
    stream.set_nonblocking(false)?;
    let message = small();
    // An echo is not masked.
    let mut echo = vec![0; message.len() - KEY.len()];
    let (start, mut latencies) = (Instant::now(), Vec::new());
    while start.elapsed() < duration {
        sleep(PAUSE);
        let sent = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut echo)?;
        latencies.push(sent.elapsed());
    }
    latencies.sort();
    Ok(latencies)
}

/// Sends until it is over. Errors only end one attacker.
fn assail(attack: &Attack, attackers: &mut [TcpStream], is_over: &AtomicBool, sent: &AtomicU64) {
    let bytes = (attack.bytes)();
    let mut buffer = vec![0; 64 << 10];
    let mut unsent = vec![0; attackers.len()];
    let mut due = Instant::now();
    while !is_over.load(Relaxed) {
        if let Rhythm::Every(time) = attack.rhythm {
            due += time;
            sleep(due.saturating_duration_since(Instant::now()));
        }
        for (attacker, unsent) in attackers.iter_mut().zip(&mut unsent) {
            while attacker.read(&mut buffer).is_ok_and(|length| length > 0) {}
            // The rest of what it took only a part of last time, or else all.
            let from = bytes.len() - *unsent;
            let rest = if *unsent == 0 { &bytes } else { &bytes[from..] };
            if let Ok(length) = attacker.write(rest) {
                *unsent = rest.len() - length;
                if *unsent == 0 {
                    sent.fetch_add(1, Relaxed);
                }
            }
        }
    }
}
