//! Hostile clients against the running binary: their cost is bounded, others are served meanwhile, and the
//! attackers are disconnected in the end.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod connections;
mod memory;
mod messages;
mod requests;
mod security_table;

use std::io::{ErrorKind, Write as _};

use support::Client;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A masked ping without a payload.
const PING: &[u8] = b"\x89\x80\0\0\0\0";

/// A masked, unsolicited pong, which gets no response (RFC 6455 §5.5.3).
const PONG: &[u8] = b"\x8a\x80\0\0\0\0";

/// A masked message without a payload.
const EMPTY: &[u8] = b"\x82\x80\0\0\0\0";

/// Writes the same bytes again and again, until `most` are written or the runner has often refused to take any,
/// while it serves another client. Returns the number of bytes it took, or `None` if it ended the connection.
fn flood(attacker: &mut Client, bytes: &[u8], most: usize, other: &mut Client) -> Option<usize> {
    flood_until(attacker, bytes, most, 2000, other)
}

/// The same, until the runner has refused this number of times.
fn flood_until(
    attacker: &mut Client,
    bytes: &[u8],
    most: usize,
    times: usize,
    other: &mut Client,
) -> Option<usize> {
    let many = bytes.repeat((64 * KIB / bytes.len()).max(1));
    attacker.stream.set_nonblocking(true).expect("connected");
    let (mut written, mut refusals) = (0, 0);
    let mut rest: &[u8] = &[];
    while written < most && refusals < times {
        if rest.is_empty() {
            rest = &many;
        }
        match attacker.stream.write(rest) {
            Ok(taken) => {
                let before = written / MIB;
                written += taken;
                rest = &rest[taken..];
                // Also while all is taken: on a slow machine the other client would be pinged for its silence.
                if written / MIB > before {
                    other.assert_echoes("served");
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                refusals += 1;
                other.assert_echoes("served");
            }
            Err(_) => return None,
        }
    }
    attacker.stream.set_nonblocking(false).expect("connected");
    Some(written)
}
