use alloc::vec::Vec;

use super::Opcode;
use crate::protocol::ProtocolError;

/// The longest payload of a control frame, in bytes (RFC 6455 §5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

const FIN: u8 = 0x80;
const RSV: u8 = 0x70;
const MASK: u8 = 0x80;

/// The header of a frame (RFC 6455 §5.2): 2 to 14 bytes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether this is the last fragment of its message.
    pub fin: bool,
    /// The reserved bits, as a mask of the first byte: what an extension has marked.
    pub reserved_bits: u8,
    /// The type of the frame.
    pub opcode: Opcode,
    /// The key that masks the payload: always present from client to server, never the other way.
    pub masking_key: Option<[u8; 4]>,
    /// The length of the payload in bytes, at most 2^63 - 1.
    pub payload_len: u64,
}

/// The constraints on the next header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Whether frames must be masked: true for a server, false for a client (§5.1).
    pub masked: bool,
    /// Whether a fragmented message is in progress, so that a continuation must follow (§5.4).
    pub continuation: bool,
    /// The reserved bits that the first frame of a message may have, as a mask of the first byte:
    /// those of the extensions in use.
    pub reserved_bits: u8,
    /// The longest payload a data frame may announce, in bytes.
    pub max_payload: u64,
    /// The same for a frame with a reserved bit, whose payload an extension has transformed.
    pub max_encoded_payload: u64,
}

/// The result of parsing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A whole header, and its size in bytes.
    Done {
        /// The header.
        header: Header,
        /// The number of bytes it takes.
        consumed: usize,
    },
    /// The header is not complete; it takes at least this many bytes in all.
    NeedMore(usize),
}

impl Header {
    /// Reads the header at the beginning of `bytes`.
    ///
    /// # Errors
    ///
    /// The rule that the header breaks, as soon as the bytes at hand prove it, even when the header
    /// is not complete.
    pub fn decode(bytes: &[u8], expected: Expected) -> Result<Decoded, ProtocolError> {
        let &[first, ref rest @ ..] = bytes else {
            return Ok(Decoded::NeedMore(2));
        };
        let opcode = check_first(first, expected)?;
        let reserved_bits = first & RSV;
        let &[second, ref rest @ ..] = rest else {
            return Ok(Decoded::NeedMore(2));
        };
        check_second(second, opcode, expected.masked)?;
        let length = Length::read(second & !MASK, rest);
        length.check(match (opcode.is_control(), reserved_bits) {
            (true, _) => MAX_CONTROL_PAYLOAD as u64,
            (false, 0) => expected.max_payload,
            (false, _) => expected.max_encoded_payload,
        })?;

        let key_at = length.size;
        let size = 2 + key_at + if expected.masked { 4 } else { 0 };
        if bytes.len() < size {
            return Ok(Decoded::NeedMore(size));
        }
        let masking_key = expected
            .masked
            .then(|| rest.get(key_at..)?.first_chunk::<4>().copied())
            .flatten();
        let header = Self {
            fin: first & FIN != 0,
            reserved_bits,
            opcode,
            masking_key,
            payload_len: length.value,
        };
        Ok(Decoded::Done {
            header,
            consumed: size,
        })
    }

    /// Appends the header to `output`, its length in the shortest form.
    pub fn encode(&self, output: &mut Vec<u8>) {
        let fin = if self.fin { FIN } else { 0 };
        let mask = if self.masking_key.is_some() { MASK } else { 0 };
        output.push(fin | self.reserved_bits | self.opcode.bits());
        match self.payload_len {
            len @ 0..=125 => output.push(mask | len as u8),
            len @ 126..=0xffff => {
                output.push(mask | 126);
                output.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                output.push(mask | 127);
                output.extend_from_slice(&len.to_be_bytes());
            }
        }
        if let Some(key) = self.masking_key {
            output.extend_from_slice(&key);
        }
    }
}

/// The first byte: FIN, three reserved bits, the opcode.
fn check_first(first: u8, expected: Expected) -> Result<Opcode, ProtocolError> {
    let bits = first & 0x0f;
    let opcode = Opcode::from_bits(bits);
    // RFC 6455 §5.2: RSV1-3 "MUST be 0 unless an extension is negotiated that defines meanings for
    // non-zero values." Extensions mark a message in its first frame.
    let allowed = match opcode {
        Some(Opcode::Text | Opcode::Binary) => expected.reserved_bits,
        _ => 0,
    };
    if first & RSV & !allowed != 0 {
        return Err(ProtocolError::ReservedBits);
    }
    // §5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket
    // Connection_."
    let opcode = opcode.ok_or(ProtocolError::ReservedOpcode(bits))?;
    // §5.5: control frames "MUST NOT be fragmented."
    if opcode.is_control() && first & FIN == 0 {
        return Err(ProtocolError::FragmentedControlFrame);
    }
    // §5.4: "The fragments of one message MUST NOT be interleaved between the fragments of another
    // message", and a continuation continues something.
    match (opcode, expected.continuation) {
        (Opcode::Continuation, false) => Err(ProtocolError::UnexpectedContinuation),
        (Opcode::Text | Opcode::Binary, true) => Err(ProtocolError::ExpectedContinuation),
        _ => Ok(opcode),
    }
}

/// The second byte: MASK and the short length.
fn check_second(second: u8, opcode: Opcode, masked: bool) -> Result<(), ProtocolError> {
    // RFC 6455 §5.1: a server "MUST close the connection upon receiving a frame that is not
    // masked", a client upon "a masked frame."
    match (second & MASK != 0, masked) {
        (false, true) => return Err(ProtocolError::UnmaskedFrame),
        (true, false) => return Err(ProtocolError::MaskedFrame),
        _ => {}
    }
    // §5.5: "All control frames MUST have a payload length of 125 bytes or less."
    if opcode.is_control() && usize::from(second & !MASK) > MAX_CONTROL_PAYLOAD {
        return Err(ProtocolError::ControlFrameTooLong);
    }
    Ok(())
}

/// The payload length, of which some bytes may not have arrived.
struct Length {
    /// The length; bytes that are still missing count as zero, so it is a lower bound until complete.
    value: u64,
    /// The smallest length that needs this form; not known while bytes are missing.
    least: Option<u64>,
    /// The size of the extended length in bytes: 0, 2 or 8.
    size: usize,
}

impl Length {
    fn read(short: u8, rest: &[u8]) -> Self {
        let (size, least) = match short {
            127 => (8, 0x1_0000),
            126 => (2, 126),
            _ => (0, 0),
        };
        let mut value = if size == 0 { u64::from(short) } else { 0 };
        for i in 0..size {
            value = value << 8 | u64::from(rest.get(i).copied().unwrap_or(0));
        }
        Self {
            value,
            least: (rest.len() >= size).then_some(least),
            size,
        }
    }

    fn check(&self, max_payload: u64) -> Result<(), ProtocolError> {
        // RFC 6455 §5.2: in the 64-bit form "the most significant bit MUST be 0".
        if self.value >> 63 != 0 {
            return Err(ProtocolError::LengthTopBit);
        }
        // §10.4 leaves limits to the implementation. Checked on the announced length, before any payload
        // arrives; and before the next rule, which only the complete length can break.
        if self.value > max_payload {
            return Err(ProtocolError::MessageTooBig);
        }
        // §5.2: "the minimal number of bytes MUST be used to encode the length".
        if self.least.is_some_and(|least| self.value < least) {
            return Err(ProtocolError::LengthNotMinimal);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const SERVER: Expected = Expected {
        masked: true,
        continuation: false,
        reserved_bits: 0,
        max_payload: 1 << 20,
        max_encoded_payload: 1 << 20,
    };
    const CLIENT: Expected = Expected {
        masked: false,
        ..SERVER
    };

    fn text(payload_len: u64, masking_key: Option<[u8; 4]>) -> Header {
        Header {
            fin: true,
            reserved_bits: 0,
            opcode: Opcode::Text,
            masking_key,
            payload_len,
        }
    }

    #[test]
    fn lengths_at_the_boundaries_round_trip_and_every_prefix_needs_more() {
        for (len, size) in [
            (0, 2),
            (125, 2),
            (126, 4),
            (65_535, 4),
            (65_536, 10),
            (1 << 20, 10),
        ] {
            for (key, expected) in [(Some([1, 2, 3, 4]), SERVER), (None, CLIENT)] {
                let header = text(len, key);
                let mut bytes = vec![];
                header.encode(&mut bytes);
                let consumed = size + if key.is_some() { 4 } else { 0 };
                assert_eq!(bytes.len(), consumed);
                let done = Decoded::Done { header, consumed };
                assert_eq!(Header::decode(&bytes, expected), Ok(done));
                for end in 0..bytes.len() {
                    let Ok(Decoded::NeedMore(more)) = Header::decode(&bytes[..end], expected)
                    else {
                        panic!("a prefix of {end} bytes was taken for a header of length {len}");
                    };
                    assert!(end < more && more <= consumed);
                }
            }
        }
    }

    /// Each fault, and the number of bytes that prove it.
    #[test]
    fn faults_show_at_the_first_byte_that_proves_them() {
        use ProtocolError as E;
        for (bytes, proof, error) in [
            (&[0xc1, 0x80][..], 1, E::ReservedBits),
            (&[0xa1, 0x80], 1, E::ReservedBits),
            (&[0x91, 0x80], 1, E::ReservedBits),
            (&[0x83, 0x80], 1, E::ReservedOpcode(3)),
            (&[0x8f, 0x80], 1, E::ReservedOpcode(15)),
            (&[0x09, 0x80], 1, E::FragmentedControlFrame),
            (&[0x80, 0x80], 1, E::UnexpectedContinuation),
            (&[0x81, 0x05], 2, E::UnmaskedFrame),
            (&[0x89, 0xfe, 0, 126], 2, E::ControlFrameTooLong),
            (&[0x88, 0xff], 2, E::ControlFrameTooLong),
            (&[0x82, 0xff, 0x80, 0], 3, E::LengthTopBit),
            (&[0x82, 0xff, 0, 0, 0, 0, 0, 0x11], 8, E::MessageTooBig),
            (
                &[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
                10,
                E::LengthNotMinimal,
            ),
            (&[0x82, 0xfe, 0, 125], 4, E::LengthNotMinimal),
        ] {
            for end in 0..=bytes.len() {
                let result = Header::decode(&bytes[..end], SERVER);
                if end < proof {
                    assert!(
                        matches!(result, Ok(Decoded::NeedMore(_))),
                        "{error:?} at {end}"
                    );
                } else {
                    assert_eq!(result, Err(error), "at {end}");
                }
            }
        }
        assert_eq!(Header::decode(&[0x81, 0x85], CLIENT), Err(E::MaskedFrame));
        // Too big and not minimal: the same fault, however much of it has arrived.
        let small = Expected {
            max_payload: 2048,
            ..SERVER
        };
        for end in 9..=10 {
            let length = Header::decode(&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff][..end], small);
            assert_eq!(length, Err(E::MessageTooBig));
        }
        let extended = Expected {
            reserved_bits: 0x40,
            ..SERVER
        };
        for (first, error) in [
            (0xa1, Some(E::ReservedBits)),
            (0xe1, Some(E::ReservedBits)),
            (0xc9, Some(E::ReservedBits)),
            (0xc0, Some(E::ReservedBits)),
            (0xc1, None),
            (0x42, None),
        ] {
            assert_eq!(
                Header::decode(&[first], extended).err(),
                error,
                "{first:#x}"
            );
        }
        let fragmented = Expected {
            continuation: true,
            ..SERVER
        };
        let interleaved = Header::decode(&[0x82], fragmented);
        assert_eq!(interleaved, Err(E::ExpectedContinuation));
    }
}
