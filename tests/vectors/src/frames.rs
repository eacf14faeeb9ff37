//! Frame sequences, as data: `frames.json`.

use std::fmt;

use serde::Deserialize;

use crate::frame::Frame;
use crate::mismatch::{Mismatch, fail};
use crate::notation::decode;

/// The frame sequences, as data.
pub const FRAMES: &str = include_str!("../frames.json");

/// Bytes sent after the handshake, and what must come back.
#[derive(Clone, Debug, Deserialize)]
pub struct FrameVector {
    /// The subject.
    pub name: String,
    /// The RFC and the section with the rule: `6455 5.2`.
    pub rfc: String,
    /// Whether permessage-deflate is in use.
    #[serde(default)]
    pub deflate: bool,
    /// The bytes, in the notation of the vectors.
    pub send: String,
    /// The frames that come back, in the notation of the vectors.
    pub receive: Vec<String>,
    /// Whether the connection stays open.
    pub then: Then,
}

/// Whether a connection stays open.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    /// It stays open.
    Open,
    /// The server closes it.
    Closed,
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Closed => "closed",
        })
    }
}

/// All frame sequences.
#[must_use]
pub fn frames() -> Vec<FrameVector> {
    serde_json::from_str(FRAMES).unwrap_or_default()
}

impl FrameVector {
    /// The bytes to send.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        decode(&self.send).unwrap_or_default()
    }

    /// The frames that come back.
    #[must_use]
    pub fn frames(&self) -> Vec<Frame> {
        let frames = self.receive.iter();
        frames.filter_map(|frame| Frame::parse(frame)).collect()
    }

    /// Compares what came back with what the vector expects.
    ///
    /// # Errors
    ///
    /// A [`Mismatch`]: other frames, none at all, or another end.
    pub fn compare(&self, output: &[u8], then: Then) -> Result<(), Mismatch> {
        let received = Frame::read_all(output);
        if received.as_ref() == Ok(&self.frames()) && then == self.then {
            return Ok(());
        }
        Err(Mismatch {
            expected: describe(&self.frames(), self.then),
            received: match received {
                Ok(frames) => describe(&frames, then),
                Err(error) => format!("{error}, {then}"),
            },
        })
    }

    /// Asserts that this is what the vector expects. `how` says how the bytes were cut.
    ///
    /// # Panics
    ///
    /// If it is not: for tests.
    #[track_caller]
    pub fn check(&self, output: &[u8], then: Then, how: &str) {
        let Self { name, rfc, .. } = self;
        if let Err(mismatch) = self.compare(output, then) {
            fail(&format!("{name} (RFC {rfc}), {how}: {mismatch}"));
        }
    }
}

fn describe(frames: &[Frame], then: Then) -> String {
    let frames: Vec<_> = frames.iter().map(Frame::to_string).collect();
    if frames.is_empty() {
        format!("no frame, {then}")
    } else {
        format!("{}, {then}", frames.join(", "))
    }
}
