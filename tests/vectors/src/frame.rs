//! A reader of a server's frames.

use std::fmt;

use crate::notation::decode;

/// A frame as a client sees it; of a Close frame without the reason, which is free text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// `text`, `binary`, `close`, `ping` or `pong`.
    pub opcode: &'static str,
    /// The payload; the code alone, of a Close frame.
    pub payload: Vec<u8>,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 40;
        let Self { opcode, payload } = self;
        if let ("close", &[high, low]) = (*opcode, &payload[..]) {
            return write!(f, "close {}", u16::from_be_bytes([high, low]));
        }
        let start = payload.get(..MOST).unwrap_or(payload).escape_ascii();
        match payload.len() {
            0 => write!(f, "{opcode}"),
            1..=MOST => write!(f, "{opcode} '{start}'"),
            length => write!(f, "{opcode} '{start}'... of {length} bytes"),
        }
    }
}

impl Frame {
    /// A frame in the notation of the vectors.
    pub fn parse(text: &str) -> Option<Self> {
        let (opcode, payload) = text.split_once(' ').unwrap_or((text, ""));
        let (_, opcode) = OPCODES.into_iter().find(|(_, name)| *name == opcode)?;
        let payload = match (opcode, payload) {
            (_, "") => vec![],
            ("close", code) => code.parse::<u16>().ok()?.to_be_bytes().into(),
            (_, payload) => decode(payload)?,
        };
        Some(Self { opcode, payload })
    }

    /// All frames of a server's output, which must end with a whole one.
    ///
    /// # Errors
    ///
    /// The part of the output that is no frame a server of the vectors sends.
    pub fn read_all(mut bytes: &[u8]) -> Result<Vec<Self>, String> {
        let mut frames = vec![];
        while !bytes.is_empty() {
            let (frame, size) = Self::read(bytes)?.ok_or_else(|| {
                let start = bytes.get(..16).unwrap_or(bytes);
                format!("an incomplete frame that begins with {start:02x?}")
            })?;
            frames.push(frame);
            bytes = bytes.get(size..).unwrap_or_default();
        }
        Ok(frames)
    }

    /// The frame at the beginning and its size on the wire. `None` if it is incomplete.
    ///
    /// # Errors
    ///
    /// The part that no server of the vectors sends: masks, fragments, reserved bits and opcodes.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, String> {
        let Some((&[first, second], rest)) = bytes.split_first_chunk() else {
            return Ok(None);
        };
        if second & 0x80 != 0 {
            return Err("a masked frame (RFC 6455 5.1)".to_owned());
        }
        let opcode = OPCODES.into_iter().find(|(bits, _)| first == 0x80 | bits);
        let (_, opcode) =
            opcode.ok_or_else(|| format!("a frame whose first byte is {first:#04x}"))?;
        Ok(payload(second, rest).map(|(payload, size)| {
            let mut payload = payload.to_vec();
            if opcode == "close" {
                payload.truncate(2);
            }
            (Self { opcode, payload }, 2 + size)
        }))
    }
}

const OPCODES: [(u8, &str); 5] = [
    (0x1, "text"),
    (0x2, "binary"),
    (0x8, "close"),
    (0x9, "ping"),
    (0xa, "pong"),
];

/// The payload after the first two bytes of a frame, and where it ends. `None` if it is incomplete.
fn payload(second: u8, rest: &[u8]) -> Option<(&[u8], usize)> {
    let (length, at) = match second {
        126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
        127 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
        length => (u64::from(length), 0),
    };
    let end = usize::try_from(length).ok()?.checked_add(at)?;
    Some((rest.get(at..end)?, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_frames_and_rejects_invalid_ones() {
        let frames = Frame::read_all(b"\x81\x02hi\x88\x05\x03\xe8bye\x8a\0");
        let frames = frames.expect("three frames");
        let shown: Vec<_> = frames.iter().map(Frame::to_string).collect();
        assert_eq!(shown, ["text 'hi'", "close 1000", "pong"]);
        assert_eq!(Frame::read(b"\x82\x7e\0"), Ok(None));
        assert!(Frame::read(b"\x82\x80\0\0\0\0").is_err());
        assert!(Frame::read(b"\xc1\x00").is_err());
        assert!(Frame::read_all(b"\x81\x02h").is_err());
    }
}
