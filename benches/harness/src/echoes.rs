//! Reads a server's echoes, and checks them.

use std::collections::HashMap;

use crate::Result;
use crate::messages::{Messages, inflate};

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const MASK: u8 = 0x80;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const CLOSE: u8 = 0x8;

/// The messages of one connection, as they come back. All lengths are checked; the content of the first and then of
/// one in 64, or of each.
#[derive(Default)]
pub struct Echoes {
    header: Vec<u8>,
    /// The rest of the frame's payload, in bytes.
    frame_left: u64,
    in_frame: bool,
    fin: bool,
    control: bool,
    /// The message so far.
    compressed: bool,
    in_message: bool,
    length: usize,
    sampled: bool,
    collected: Vec<u8>,
    /// The index of the message that it has to be.
    index: usize,
    received: u64,
    /// The compressed length of each message's echo: without context takeover it is the same every time.
    compressed_lengths: HashMap<usize, usize>,
}

impl Echoes {
    /// Takes bytes, split anywhere, and returns the number of messages that they complete.
    ///
    /// # Errors
    ///
    /// When they are not the messages that were sent, in order.
    pub fn receive(&mut self, mut bytes: &[u8], messages: &Messages) -> Result<usize> {
        let mut completed = 0;
        while !bytes.is_empty() {
            if !self.in_frame {
                bytes = self.receive_header(bytes)?;
                if !self.in_frame {
                    break;
                }
                self.begin(messages)?;
            }
            let here = bytes.len().min(usize::try_from(self.frame_left)?);
            let (payload, rest) = bytes.split_at(here);
            bytes = rest;
            self.frame_left -= here as u64;
            if !self.control {
                self.receive_payload(payload, messages)?;
            }
            if self.frame_left == 0 {
                self.in_frame = false;
                if self.fin && !self.control {
                    self.end(messages)?;
                    completed += 1;
                }
            }
        }
        Ok(completed)
    }

    /// Continues the header of a frame. Returns the bytes after it, if it is complete.
    fn receive_header<'a>(&mut self, mut bytes: &'a [u8]) -> Result<&'a [u8]> {
        while let [first, rest @ ..] = bytes {
            self.header.push(*first);
            bytes = rest;
            if let Some(length) = payload_length(&self.header)? {
                self.frame_left = length;
                self.in_frame = true;
                break;
            }
        }
        Ok(bytes)
    }

    fn begin(&mut self, messages: &Messages) -> Result<()> {
        let first = self.header[0];
        self.header.clear();
        self.fin = first & FIN != 0;
        let opcode = first & 0xf;
        self.control = opcode >= CLOSE;
        match opcode {
            0 if self.in_message => {}
            1 | 2 if !self.in_message => {
                self.in_message = true;
                self.compressed = first & RSV1 != 0;
                if self.compressed && !messages.deflated() {
                    return Err("a message came back compressed, which was not agreed on".into());
                }
                self.sampled = self.received.is_multiple_of(messages.compared());
            }
            PING | PONG => {}
            CLOSE => return Err("the server has closed the connection".into()),
            _ => return Err(format!("a frame with opcode {opcode} came back").into()),
        }
        Ok(())
    }

    fn receive_payload(&mut self, bytes: &[u8], messages: &Messages) -> Result<()> {
        let from = self.length;
        self.length += bytes.len();
        if self.compressed && self.sampled {
            self.collected.extend_from_slice(bytes);
        } else if !self.compressed {
            let expected = messages.payload(self.index).get(from..self.length);
            let expected = expected.ok_or("a message came back longer than it was sent")?;
            if self.sampled && bytes != expected {
                return Err("a message came back with another content".into());
            }
        }
        Ok(())
    }

    fn end(&mut self, messages: &Messages) -> Result<()> {
        let expected = messages.payload(self.index);
        if self.compressed {
            let before = *self
                .compressed_lengths
                .entry(self.index)
                .or_insert(self.length);
            if self.length != before {
                return Err("a message came back compressed to another length than before".into());
            }
            if self.sampled && inflate(&self.collected, expected.len())? != expected {
                return Err("a message came back with another content".into());
            }
        } else if self.length != expected.len() {
            return Err("a message came back shorter than it was sent".into());
        }
        self.collected.clear();
        self.in_message = false;
        self.length = 0;
        self.received += 1;
        self.index = (self.index + 1) % messages.count();
        Ok(())
    }
}

/// The length of the payload; `None` while the header is incomplete.
fn payload_length(header: &[u8]) -> Result<Option<u64>> {
    let &[_, second, ref extended @ ..] = header else {
        return Ok(None);
    };
    if second & MASK != 0 {
        return Err("a masked frame came back (RFC 6455 section 5.1)".into());
    }
    let size = match second {
        126 => 2,
        127 => 8,
        length => return Ok(Some(length.into())),
    };
    if extended.len() < size {
        return Ok(None);
    }
    let number = |number, byte: &u8| number << 8 | u64::from(*byte);
    Ok(Some(extended.iter().fold(0, number)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::{Cell, Content};

    fn messages() -> Messages {
        Messages::new(&Cell::new(1, 300, Content::Binary))
    }

    /// A frame from a server.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..=125 => frame.push(length as u8),
            length => {
                frame.push(126);
                frame.extend((length as u16).to_be_bytes());
            }
        }
        frame.extend(payload);
        frame
    }

    #[test]
    fn reads_echoes_split_anywhere_and_in_fragments() {
        let messages = messages();
        let (first, second) = (messages.payload(0), messages.payload(1));
        let mut stream = frame(0x82, first);
        stream.extend(frame(0x02, &second[..100]));
        stream.extend(frame(0x89, b"a ping between"));
        stream.extend(frame(0x00, &[]));
        stream.extend(frame(0x00, &second[100..]));
        stream.extend(frame(0x80, &[]));
        for size in 1..stream.len() {
            let mut echoes = Echoes::default();
            let mut pieces = stream.chunks(size);
            let completed: Result<usize> =
                pieces.try_fold(0, |sum, piece| Ok(sum + echoes.receive(piece, &messages)?));
            assert_eq!(
                completed.expect("they are the messages"),
                2,
                "in pieces of {size}"
            );
        }
    }

    #[test]
    fn anything_but_the_message_is_an_error() {
        let messages = messages();
        let payload = messages.payload(0);
        let mut other = payload.to_vec();
        other[299] ^= 1;
        for (stream, why) in [
            (frame(0x82, &other), "another content"),
            (frame(0x82, messages.payload(1)), "another content"),
            (frame(0x82, &payload[..299]), "shorter"),
            (frame(0x82, &[payload, &[0]].concat()), "longer"),
            (frame(0xc2, payload), "not agreed"),
            (frame(0x80, payload), "opcode 0"),
            (frame(0x88, &[]), "closed"),
            (vec![0x82, 0x80], "masked"),
        ] {
            let error = Echoes::default()
                .receive(&stream, &messages)
                .expect_err(why);
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn a_later_fault_is_found_by_its_length() {
        let messages = messages();
        let mut echoes = Echoes::default();
        let stream = frame(0x82, messages.payload(0));
        assert_eq!(echoes.receive(&stream, &messages).expect("the message"), 1);
        assert!(echoes.receive(&frame(0x82, b"short"), &messages).is_err());
    }

    #[test]
    fn compressed_messages_are_inflated() {
        let messages = Messages::new(&Cell::new(1, 1000, Content::Deflated));
        // The ring has masked frames: without the key they are what a server would send.
        let sent = messages.frames(0, messages.frame_length(0));
        let header = if sent[1] & 0x7f == 126 { 4 } else { 2 };
        let (key, masked) = sent[header..].split_at(4);
        let payload: Vec<_> = masked
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key)
            .collect();
        let mut echoes = Echoes::default();
        let stream = frame(0xc1, &payload);
        assert_eq!(echoes.receive(&stream, &messages).expect("the message"), 1);
        let mut echoes = Echoes::default();
        assert!(
            echoes
                .receive(&frame(0xc1, &payload[..payload.len() / 2]), &messages)
                .is_err()
        );
        // Short messages may come back uncompressed.
        let mut echoes = Echoes::default();
        let stream = frame(0x81, messages.payload(0));
        assert_eq!(echoes.receive(&stream, &messages).expect("the message"), 1);
    }
}
