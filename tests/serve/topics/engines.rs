//! Several runners on one NATS or Redis server.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::Server;
use support::engine::{Engine, Kind};
use support::operator::{admin, get};

use crate::peer::Peer;
use crate::serve;

/// The longest that a loss may take to be told: a lease, and the back-off after an outage.
const LONG: Duration = Duration::from_secs(60);

/// How long publications go on before and after what happens.
const A_WHILE: Duration = Duration::from_millis(500);

/// Runners of two workers each.
pub(super) fn runners(engine: &Engine, number: usize) -> Vec<Server> {
    let url = engine.url();
    let options = ["--bus", &url, "--workers", "2", "--admin", "127.0.0.1:0"];
    let options = [&options[..], &["--connections-per-instance", "2"]].concat();
    (0..number).map(|_| serve(&options)).collect()
}

/// Waits until a runner is connected to its engine.
pub(super) fn wait_for_engine(runners: &[Server]) {
    for runner in runners {
        let admin = admin(runner);
        let start = Instant::now();
        while get(&admin, "/readyz").1 != "ready\n" {
            assert!(start.elapsed() < LONG, "{:?}", get(&admin, "/readyz"));
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn all_hear_all_once_and_in_order(kind: Kind) {
    let engine = Engine::start(kind, "all");
    let runners = runners(&engine, 3);
    wait_for_engine(&runners);
    let mut peers: Vec<_> = (0..12)
        .map(|number| {
            let compress = if number % 2 == 0 { "&compress" } else { "" };
            let target = format!("/room?keep=100&position{compress}");
            Peer::join(&runners[number % 3], &target)
        })
        .collect();
    for round in 0..20 {
        for (number, peer) in peers.iter_mut().enumerate() {
            peer.send(&format!("{number} {round}"));
        }
    }
    for peer in &mut peers {
        peer.socket.set_read_timeout(Some(LONG)).expect("a time");
        let mut next: HashMap<String, u32> = HashMap::new();
        let mut last = 0;
        for _ in 0..240 {
            let text = peer.read();
            let (position, text) = text.split_once('\n').expect("a position");
            let (_, offset) = position.split_once('-').expect("an offset");
            let offset: u64 = offset.parse().expect("a number");
            assert!(offset > last, "{offset} after {last}");
            last = offset;
            let (publisher, round) = text.split_once(' ').expect("two words");
            let expected = next.entry(publisher.to_owned()).or_default();
            assert_eq!(round, expected.to_string(), "of {publisher}");
            *expected += 1;
        }
        assert_eq!(next.len(), 12);
        peer.send("!echo end");
        assert_eq!(peer.read(), "end");
    }
    // A topic without history, by a request that is no WebSocket, on a runner without subscribers of it.
    let mut plain = Peer::join(&runners[0], "/plain");
    assert_eq!(get(&runners[2], "/plain?hello").0, 200);
    assert_eq!(plain.read(), "hello");
}

fn a_killed_runner_leaves_no_members_and_no_loss(kind: Kind) {
    let engine = Engine::start(kind, "killed");
    let mut runners = runners(&engine, 2);
    wait_for_engine(&runners);
    let mut watcher = Peer::join(&runners[0], "/room?keep=100&watch&member=a");
    watcher.socket.set_read_timeout(Some(LONG)).expect("a time");
    assert_eq!(watcher.read(), "!joined a");
    let mut lost = Peer::join(&runners[1], "/room?keep=100&position&member=b");
    assert_eq!(watcher.read(), "!joined b");
    lost.send("before");
    assert_eq!(watcher.read(), "before");
    let text = lost.read();
    let (position, _) = text.split_once('\n').expect("a position");
    // Dropping a server kills it.
    drop(runners.pop());
    watcher.send("meanwhile");
    assert_eq!(watcher.read(), "meanwhile");
    let mut back = Peer::open(&runners[0], &format!("/room?after={position}&position"));
    assert!(back.wait_until_subscribed().1, "nothing is missing");
    let text = back.read();
    assert_eq!(
        text.split_once('\n').map(|(_, text)| text),
        Some("meanwhile")
    );
    assert_eq!(watcher.read(), "!left b");
    watcher.send("!members");
    assert_eq!(watcher.read(), "!members 1 a");
}

/// Ends the publications, also when the test fails.
struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Publishes 1,000 numbers a second, from 1, until told to stop. Announces the last one before it publishes that.
fn publish_numbers(publisher: &mut Peer, stop: &AtomicBool, last: &AtomicU32) {
    let start = Instant::now();
    for number in 1.. {
        let is_last = stop.load(Ordering::Relaxed);
        if is_last {
            last.store(number, Ordering::Relaxed);
        }
        publisher.send(&format!("!publish room {number}"));
        if is_last {
            return;
        }
        let due = start + Duration::from_millis(number.into());
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// Reads all numbers up to the last one: each is the next, or comes after a gap, and no position comes twice. Returns
/// how many are missing.
fn read_numbers(peer: &mut Peer, last: &AtomicU32) -> u32 {
    let (mut heard, mut missing, mut told) = (0, 0, false);
    let mut positions = HashSet::new();
    while heard < last.load(Ordering::Relaxed) {
        let text = peer.read();
        if text.starts_with("!gap") {
            told = true;
            continue;
        }
        let (position, text) = text.split_once('\n').expect("a position, or none");
        let number: u32 = text.parse().expect("a number");
        assert!(number > heard, "{number} after {heard}");
        let skipped = number - heard - 1;
        assert!(skipped == 0 || told, "{number} after {heard}, and no gap");
        let is_new = position.is_empty() || positions.insert(position.to_owned());
        assert!(is_new, "{position} twice");
        missing += skipped;
        (heard, told) = (number, false);
    }
    missing
}

/// Publishes all the time while something happens to the engine. Each subscriber then has every number in order, or was
/// told of a gap where one is missing; and no position twice.
fn nothing_is_lost_in_silence(kind: Kind, test: &str, happens: impl Fn(&mut Engine)) {
    let mut engine = Engine::start(kind, test);
    let runners = runners(&engine, 2);
    wait_for_engine(&runners);
    // It stays until all is read: to close a socket with something unread loses what was sent last.
    let mut publisher = Peer::join(&runners[0], "/other");
    let join = |runner: &Server| Peer::join(runner, "/room?keep=1000&position");
    let mut peers: Vec<_> = runners.iter().map(join).collect();
    for peer in &mut peers {
        peer.socket.set_read_timeout(Some(LONG)).expect("a time");
    }
    let (stop, last) = (AtomicBool::new(false), AtomicU32::new(u32::MAX));
    let missing: Vec<u32> = thread::scope(|threads| {
        let reading: Vec<_> = peers
            .iter_mut()
            .map(|peer| threads.spawn(|| read_numbers(peer, &last)))
            .collect();
        let publishing = threads.spawn(|| publish_numbers(&mut publisher, &stop, &last));
        let stopped = StopWhenDropped(&stop);
        thread::sleep(A_WHILE);
        happens(&mut engine);
        thread::sleep(A_WHILE);
        wait_for_engine(&runners);
        thread::sleep(A_WHILE);
        drop(stopped);
        publishing.join().expect("publications");
        let read = reading.into_iter().map(|reader| reader.join());
        read.map(|missing| missing.expect("all numbers")).collect()
    });
    let last = last.into_inner();
    for (number, missing) in missing.into_iter().enumerate() {
        println!("{test} {kind:?}, runner {number}: {missing} of {last} missing, and told");
    }
}

fn the_engine_is_killed(kind: Kind) {
    nothing_is_lost_in_silence(kind, "restarted", Engine::kill_and_restart);
}

fn the_engine_hangs(kind: Kind) {
    nothing_is_lost_in_silence(kind, "hangs", |engine| {
        engine.signal("STOP");
        thread::sleep(Duration::from_secs(10));
        engine.signal("CONT");
    });
}

macro_rules! with_both {
    ($($test:ident)*) => {
        mod nats {
            $(#[test] fn $test() { super::$test(super::Kind::Nats); })*
        }

        mod redis {
            $(#[test] fn $test() { super::$test(super::Kind::Redis); })*
        }
    };
}

with_both! {
    all_hear_all_once_and_in_order
    a_killed_runner_leaves_no_members_and_no_loss
    the_engine_is_killed
    the_engine_hangs
}
