//! The cost of a call into a component, without sockets: `cargo bench --workspace --bench call [COMPONENT]`.
//!
//! `wake` has nothing to do, so it measures wasmtime's share; `receive` echoes a message. The component is the
//! default app, or another that echoes at `/echo`. Prints the best of several loops, in nanoseconds per call.
//!
//! With `COMPONENT PATH TOPIC`, `deliver` gives a publication to many connections that subscribe to the topic at that
//! path; in nanoseconds per connection. `known`: another instance has returned the frame already.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "it is a measurement, not a program"
)]

use std::env;
use std::fs;
use std::hint::black_box;
use std::time::Instant;

use wasmtime::component::ResourceAny;
use wasocket_host::bindings::{Answer, Delivery, HttpVersion, Request, TopicMessage, Verdict};
use wasocket_host::component::Component;
use wasocket_host::default_app::DEFAULT_APP;
use wasocket_host::engine;
use wasocket_host::guest::{Guest, Limits, finish};

const SIZES: [u16; 5] = [0, 16, 125, 1024, 16_384];
const LOOPS: usize = 7;

fn main() {
    // Cargo's own argument is `--bench`.
    let arguments = env::args().skip(1);
    let mut arguments = arguments.filter(|argument| !argument.starts_with("--"));
    let (file, path, topic) = (arguments.next(), arguments.next(), arguments.next());
    let bytes = file.map(|file| fs::read(file).expect("a component"));
    let engine = engine::engine().expect("an engine");
    let component = Component::from_bytes(&engine, bytes.as_deref().unwrap_or(DEFAULT_APP));
    let component = component.expect("a component of the world `handler`");
    let mut guest = finish(Guest::new(&component, Limits::default())).expect("an instance");
    if let (Some(path), Some(topic)) = (path, topic) {
        return deliver(&mut guest, &path, &topic);
    }
    let connection = open(&mut guest, "/echo", 1);

    println!("  bytes   receive      wake   (ns a call)");
    for size in SIZES {
        let frame = frame(size);
        let calls = if size > 2000 { 20_000 } else { 200_000 };
        let receive = best(calls, |now| {
            black_box(finish(guest.receive(connection, now, &frame)).expect("no fault"));
        });
        let wake = best(calls, |now| {
            black_box(finish(guest.wake(connection, now, 0)).expect("no fault"));
        });
        println!("{size:>7} {receive:>9.0} {wake:>9.0}");
    }
}

fn deliver(guest: &mut Guest, path: &str, topic: &str) {
    println!("  bytes   members     first     known   (ns a connection)");
    let mut members = vec![];
    for count in [1, 10, 100, 1000] {
        let more = members.len()..count;
        members.extend(more.map(|id| open(guest, path, id as u64)));
        for size in [16, 125, 1024, 16_384] {
            let delivery = Delivery {
                topic: topic.to_owned(),
                message: TopicMessage::Text("x".repeat(size)),
                position: None,
            };
            let mut call = |known: &[u32]| {
                let deliveries = finish(guest.deliver(0, &delivery, known, &members));
                let deliveries = deliveries.expect("no fault");
                assert!(deliveries.exceptions.is_empty());
                deliveries.shared.expect("the members subscribe")
            };
            let calls = 200_000 / (count as u64 + 20);
            let first = best(calls, |_| {
                black_box(call(&[]));
            });
            let form = call(&[]);
            let known = best(calls, |_| {
                black_box(call(&[form]));
            });
            let each = |time| time / count as f64;
            println!(
                "{size:>7} {count:>9} {:>9.0} {:>9.0}",
                each(first),
                each(known)
            );
        }
    }
}

fn open(guest: &mut Guest, path: &str, id: u64) -> ResourceAny {
    let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let request = Request {
        method: "GET".to_owned(),
        target: path.to_owned(),
        version: HttpVersion::Http11,
        authority: None,
        protocol: None,
        fields: vec![
            field("Host", "a.test"),
            field("Upgrade", "websocket"),
            field("Connection", "Upgrade"),
            field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            field("Sec-WebSocket-Version", "13"),
        ],
        secure: false,
        remote: None,
    };
    let decision = finish(guest.handle(&request)).expect("no fault");
    let Verdict::Answer(Answer::Takeover(takeover)) = decision.verdict else {
        panic!("no WebSocket at {path}");
    };
    finish(guest.open(takeover.connection, 0, id, &[])).expect("no fault");
    takeover.connection
}

/// A binary message in one frame, masked.
fn frame(size: u16) -> Vec<u8> {
    let mut frame = vec![0x82];
    match u8::try_from(size).ok().filter(|size| *size < 126) {
        Some(size) => frame.push(0x80 | size),
        None => {
            frame.push(0x80 | 126);
            frame.extend(size.to_be_bytes());
        }
    }
    frame.extend([1, 2, 3, 4]);
    frame.resize(frame.len() + usize::from(size), 0);
    frame
}

/// The time per call in the fastest of several loops.
fn best(calls: u64, mut call: impl FnMut(u64)) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..LOOPS {
        let start = Instant::now();
        (0..calls).for_each(&mut call);
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / calls as f64);
    }
    best
}
