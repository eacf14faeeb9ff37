//! The costs of the parts of the protocol, natively: masking, headers, UTF-8, whole messages, the opening handshake,
//! compression.
//!
//! ```sh
//! cargo bench --manifest-path benches/Cargo.toml -p wasocket-bench-micro
//! ```
#![allow(missing_docs, reason = "Criterion's macros define functions")]
#![allow(clippy::expect_used, reason = "a failure stops the measurement")]

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wasocket::extension::{Deflater, Inflater, WindowBits};
use wasocket::frame::{Expected, Header, Opcode, apply_mask};
use wasocket::{Connection, Event, Fields, Instant, Limits, Message, Request, Upgrade, accept_key};

const SIZES: [usize; 4] = [16, 125, 1 << 10, 64 << 10];
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

criterion_group!(
    benches,
    masking,
    headers,
    utf8,
    messages,
    handshake,
    compression
);
criterion_main!(benches);

fn masking(c: &mut Criterion) {
    let mut group = c.benchmark_group("mask");
    for size in SIZES {
        let mut payload = vec![7; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| apply_mask(black_box(KEY), 0, black_box(&mut payload)));
        });
    }
}

/// One header for each encoding of the payload length.
fn headers(c: &mut Criterion) {
    let expected = Expected {
        masked: true,
        continuation: false,
        reserved_bits: 0,
        max_payload: 1 << 20,
        max_encoded_payload: 0,
    };
    let mut group = c.benchmark_group("header");
    for size in [125, 126, 65_536] {
        let bytes = header(Opcode::Binary, size);
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| Header::decode(black_box(&bytes), expected));
        });
    }
}

/// Receives text and binary messages of the same size, which differ only in the check of UTF-8.
fn utf8(c: &mut Criterion) {
    let mut group = c.benchmark_group("receive");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        for (name, unit) in [("ascii", "a"), ("chinese", "世")] {
            let mut text = unit.repeat(size / unit.len());
            text += &"a".repeat(size - text.len());
            let bytes = frame(Opcode::Text, text.as_bytes());
            group.bench_function(BenchmarkId::new(name, size), |b| receive(b, &bytes));
        }
        let bytes = frame(Opcode::Binary, &vec![7; size]);
        group.bench_function(BenchmarkId::new("binary", size), |b| receive(b, &bytes));
    }
}

fn receive(b: &mut criterion::Bencher<'_>, bytes: &[u8]) {
    let mut connection = connection();
    b.iter_batched(
        || bytes.to_vec(),
        |bytes| {
            connection.receive_bytes(Instant::default(), &bytes[..]);
            match connection.next_event() {
                Some(Event::Message(message)) => message,
                other => unreachable!("a message is received, not {other:?}"),
            }
        },
        BatchSize::SmallInput,
    );
}

/// Receives a message and sends it back.
fn messages(c: &mut Criterion) {
    let mut group = c.benchmark_group("echo");
    for size in SIZES {
        let bytes = frame(Opcode::Binary, &vec![7; size]);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            let mut connection = connection();
            b.iter(|| {
                connection.receive_bytes(Instant::default(), black_box(&bytes[..]));
                while let Some(Event::Message(message)) = connection.next_event() {
                    connection.send(message).expect("the connection is open");
                }
                connection.take_output()
            });
        });
    }
}

fn handshake(c: &mut Criterion) {
    c.bench_function("handshake/accept key", |b| {
        b.iter(|| accept_key(black_box(b"dGhlIHNhbXBsZSBub25jZQ==")));
    });
    let request = browser_request();
    c.bench_function("handshake/upgrade", |b| {
        b.iter(|| {
            let echo = |connection: &mut Connection, message: Message| connection.send(message);
            Upgrade::new().accept(black_box(&request), echo)
        });
    });
}

/// A browser's request.
fn browser_request() -> Request {
    let mut fields = Fields::new();
    for (name, value) in [
        ("Host", "localhost:1234"),
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        ("Accept", "*/*"),
        ("Accept-Language", "en-US,en;q=0.5"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Sec-WebSocket-Version", "13"),
        ("Origin", "http://localhost:1234"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Connection", "keep-alive, Upgrade"),
        ("Pragma", "no-cache"),
        ("Cache-Control", "no-cache"),
        ("Upgrade", "websocket"),
    ] {
        fields.append(name, value);
    }
    Request {
        method: "GET".to_owned(),
        target: "/echo".to_owned(),
        fields,
        ..Request::default()
    }
}

/// Without context takeover, which is the default.
fn compression(c: &mut Criterion) {
    let mut group = c.benchmark_group("deflate");
    for size in [256, 1 << 10, 16 << 10] {
        let text = json(size);
        group.throughput(Throughput::Bytes(size as u64));
        let mut deflater = Deflater::new(1, WindowBits::MAX, false);
        group.bench_function(BenchmarkId::new("compress", size), |b| {
            b.iter(|| deflater.message(black_box(&text)));
        });
        let compressed = deflater.message(&text).expect("it compresses");
        group.bench_function(BenchmarkId::new("decompress", size), |b| {
            let mut inflater = Inflater::new(WindowBits::MAX, false);
            b.iter(|| {
                let mut message = Vec::new();
                inflater
                    .push(black_box(&compressed), &mut message, size)
                    .expect("it is compressed");
                inflater.finish(&mut message, size).expect("it is whole");
                message
            });
        });
    }
}

/// Lines of JSON, as programs send them.
fn json(size: usize) -> Vec<u8> {
    let lines = (0..).map(|id: u32| {
        let price = id.wrapping_mul(2_654_435_761) >> 16;
        format!("{{\"id\":{id},\"room\":\"lobby\",\"price\":{price}}}\n")
    });
    lines.flat_map(String::into_bytes).take(size).collect()
}

fn connection() -> Connection {
    Connection::server(Limits::default())
}

/// A whole message in one masked frame.
fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(opcode, payload.len());
    let at = frame.len();
    frame.extend_from_slice(payload);
    apply_mask(KEY, 0, &mut frame[at..]);
    frame
}

fn header(opcode: Opcode, length: usize) -> Vec<u8> {
    let header = Header {
        fin: true,
        reserved_bits: 0,
        opcode,
        masking_key: Some(KEY),
        payload_len: length as u64,
    };
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    bytes
}
