//! A component that does on command what no component should: the path of a request, or the text of a message,
//! names the fault. It echoes everything else.
#![cfg_attr(all(target_family = "wasm", feature = "bare"), no_std)]

extern crate alloc;

use alloc::vec::Vec;
use core::hint::black_box;
use core::time::Duration;

use wasocket::{
    Answer, CloseCode, Connection, Fields, Handler, Limits, Message, RawHandler, RawSocket,
    Request, Response, ResponseHead, Takeover, Upgrade, UsageError, Verdict,
};

wasocket::export!(handle);

/// Called when the component is instantiated.
#[cfg(any(feature = "start-trap", feature = "start-spin"))]
#[allow(unsafe_code, reason = "nothing else has this name")]
#[unsafe(export_name = "_initialize")]
extern "C" fn start() {
    fault(if cfg!(feature = "start-spin") {
        "spin"
    } else {
        "trap"
    });
}

fn handle(request: &Request) -> Verdict {
    match request.path() {
        "/failed" => Verdict::Failed("what the app says\nof itself".into()),
        _ => answer(request).into(),
    }
}

fn answer(request: &Request) -> Answer {
    match request.path() {
        "/big" => Response::text(200, alloc::vec![b'x'; 8 << 20])
            .with_field("Connection", "close")
            .into(),
        "/bad-field" => Response::text(200, "x")
            .with_field("X", "a\r\nInjected: b")
            .into(),
        "/bad-name" => Response::text(200, "x").with_field("X: y\r\nZ", "a").into(),
        "/own-length" => Response::text(200, "x")
            .with_field("Content-Length", "9")
            .into(),
        "/trailer" => Response::text(200, "x").with_field("Trailer", "x").into(),
        "/204" => Response::text(204, "x").into(),
        "/205" => Response::text(205, "x").into(),
        "/304" => Response::text(304, "x").into(),
        "/bad-status" => Response::text(99, "x").into(),
        "/bad-takeover" => bad_takeover(request),
        "/open" => Upgrade::new().accept(request, FaultInOpen),
        "/raw" => Answer::takeover(Flood),
        "/flood" => Upgrade::new().accept(request, flood),
        "/limited" => limited(request),
        "/keepalive" => keepalive(request),
        "/last" => last_messages(request),
        path => {
            fault(path.trim_start_matches('/'));
            Upgrade::new().accept(request, on_message)
        }
    }
}

/// An echo that allows only 100 messages per second.
fn limited(request: &Request) -> Answer {
    let limits = Limits {
        max_messages_per_second: Some(100),
        ..Limits::default()
    };
    Upgrade::new().limits(limits).accept(request, on_message)
}

fn on_message(connection: &mut Connection, message: Message) -> Result<(), UsageError> {
    if let Message::Text(text) = &message {
        fault(text);
    }
    connection.send(message)
}

fn fault(name: &str) {
    match name {
        "trap" => panic_for_the_test(),
        "spin" => loop {
            black_box(());
        },
        // Takes some tenths of a second, then ends.
        "toil" => {
            for step in 0..300_000_000_u32 {
                black_box(step);
            }
        }
        "recurse" => {
            black_box(recurse(1));
        }
        "eat" => {
            let mut eaten: Vec<Vec<u8>> = Vec::new();
            loop {
                eaten.push(alloc::vec![1; 1 << 20]);
                black_box(&eaten);
            }
        }
        #[cfg(not(feature = "bare"))]
        "sleep" => std::thread::sleep(std::time::Duration::from_secs(3600)),
        #[cfg(not(feature = "bare"))]
        "print" => std::println!("printed by the guest"),
        _ => {}
    }
}

#[inline(never)]
fn panic_for_the_test() {
    panic!("a panic for the test");
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    if black_box(depth) == 0 {
        return 0;
    }
    black_box([depth; 64])[0] + recurse(black_box(depth + 1))
}

struct FaultInOpen;

impl Handler for FaultInOpen {
    fn open(&mut self, _: &mut Connection) -> Result<(), UsageError> {
        panic_for_the_test();
        Ok(())
    }

    fn message(&mut self, _: &mut Connection, _: Message) -> Result<(), UsageError> {
        Ok(())
    }
}

/// Answers a message with 8 MiB.
fn flood(connection: &mut Connection, _: Message) -> Result<(), UsageError> {
    connection.send_binary(&alloc::vec![b'x'; 8 << 20])
}

/// An echo that soon pings a silent peer.
fn keepalive(request: &Request) -> Answer {
    let limits = Limits {
        ping_interval: Some(Duration::from_millis(200)),
        ping_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    Upgrade::new().limits(limits).accept(request, on_message)
}

/// Answers a message with three of 200 kB and a Close frame, which the peer has to answer soon.
fn last_messages(request: &Request) -> Answer {
    let limits = Limits {
        close_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    Upgrade::new()
        .limits(limits)
        .accept(request, |connection: &mut Connection, _: Message| {
            for byte in *b"abc" {
                connection.send_binary(&alloc::vec![byte; 200_000])?;
            }
            connection.close(CloseCode::NORMAL, "")
        })
}

/// Answers one byte with 8 MiB.
struct Flood;

impl RawHandler for Flood {
    fn open(&mut self, _: &mut RawSocket) {}

    fn receive(&mut self, socket: &mut RawSocket, _: &[u8]) {
        socket.write(&alloc::vec![b'x'; 8 << 20]);
        socket.close();
    }
}

/// A takeover whose response is not a 101.
fn bad_takeover(request: &Request) -> Answer {
    match Upgrade::new().accept(request, on_message) {
        Answer::Takeover(takeover) => Answer::Takeover(Takeover {
            response: Some(ResponseHead {
                status: 200,
                fields: Fields::new(),
            }),
            ..takeover
        }),
        refusal => refusal,
    }
}
