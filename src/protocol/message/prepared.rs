use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use spin::{Mutex, Once};

use crate::protocol::Message;
use crate::protocol::extension::{Alone, Extensions};
use crate::protocol::frame::Header;

/// A message to be sent to many connections, as in a chat room: framed once, and compressed once for
/// all connections that compress alike.
///
/// This works for server connections without context takeover (RFC 7692 §7.1.1.1): a client masks each frame
/// with a new key (RFC 6455 §5.3), and with context takeover each connection compresses differently. Other
/// connections send it like any message.
///
/// Cloning is cheap: all clones share the frames.
#[derive(Clone, Debug)]
pub struct Prepared(Arc<Frames>);

#[derive(Debug)]
struct Frames {
    message: Message,
    is_compressible: bool,
    /// The uncompressed frame, once it is needed.
    plain: Once<Bytes>,
    /// The compressed frames requested so far; `None` where compression does not make the message shorter.
    compressed: Mutex<Vec<(Alone, Option<Bytes>)>>,
}

impl Prepared {
    /// Prepares a message.
    #[must_use]
    pub fn new(message: impl Into<Message>) -> Self {
        Self::prepare(message.into(), true)
    }

    /// Prepares a message that is sent uncompressed on all connections, as with
    /// [`Connection::send_uncompressed`](crate::Connection::send_uncompressed).
    #[must_use]
    pub fn uncompressed(message: impl Into<Message>) -> Self {
        Self::prepare(message.into(), false)
    }

    fn prepare(message: Message, is_compressible: bool) -> Self {
        Self(Arc::new(Frames {
            plain: Once::new(),
            message,
            is_compressible,
            compressed: Mutex::new(Vec::new()),
        }))
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.0.message
    }

    /// Whether it may be compressed.
    pub(crate) fn is_compressible(&self) -> bool {
        self.0.is_compressible
    }

    /// The number of [`frame`](Self::frame): 0 if it is uncompressed. Equal numbers stand for equal frames.
    pub(crate) fn frame_number(&self, extensions: &Extensions) -> Option<u16> {
        if !self.is_compressible() {
            return Some(0);
        }
        let alone = extensions.encodes_alone(self.0.message.as_bytes().len())?;
        Some(alone.map_or(0, Alone::number))
    }

    fn plain(&self) -> Bytes {
        let message = &self.0.message;
        let plain = self
            .0
            .plain
            .call_once(|| frame(message, 0, message.as_bytes()));
        plain.clone()
    }

    /// The frame for a server's connection with these extensions; `None` if the connection needs its own.
    pub(crate) fn frame(&self, extensions: &Extensions) -> Option<Bytes> {
        if !self.is_compressible() {
            return Some(self.plain());
        }
        let payload = self.0.message.as_bytes();
        let alone = match extensions.encodes_alone(payload.len()) {
            Some(Some(alone)) => alone,
            Some(None) => return Some(self.plain()),
            None => return None,
        };
        let mut compressed = self.0.compressed.lock();
        let known = compressed.iter().find(|(known, _)| *known == alone);
        let frame = match known {
            Some((_, frame)) => frame.clone(),
            None => {
                let encoded = extensions.encode_alone(payload);
                let frame = encoded
                    .map(|encoded| frame(&self.0.message, encoded.reserved_bits, &encoded.payload));
                compressed.push((alone, frame.clone()));
                frame
            }
        };
        Some(frame.unwrap_or_else(|| self.plain()))
    }
}

impl<M: Into<Message>> From<M> for Prepared {
    fn from(message: M) -> Self {
        Self::new(message)
    }
}

fn frame(message: &Message, reserved_bits: u8, payload: &[u8]) -> Bytes {
    let header = Header {
        fin: true,
        reserved_bits,
        opcode: message.message_type().into(),
        masking_key: None,
        payload_len: payload.len() as u64,
    };
    let mut frame = Vec::with_capacity(10 + payload.len());
    header.encode(&mut frame);
    frame.extend_from_slice(payload);
    frame.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::extension::{
        Agreed, DeflateOptions, PermessageDeflate, WindowBits, compressions,
    };
    use crate::protocol::frame::MaskingKeys;
    use crate::protocol::{Connection, Limits};
    use alloc::string::String;

    fn extensions(level: u8, bits: u8, takeover: bool) -> Extensions {
        let agreed = Agreed {
            server_no_context_takeover: !takeover,
            client_no_context_takeover: !takeover,
            server_max_window_bits: WindowBits::new(bits).unwrap(),
            ..Agreed::default()
        };
        let options = DeflateOptions {
            level,
            ..DeflateOptions::default()
        };
        PermessageDeflate::server(agreed, &options).into()
    }

    fn server(extensions: Extensions) -> Connection {
        Connection::server(Limits::default()).with_extensions(extensions)
    }

    /// Returns the bytes that a connection sends for the prepared message, and for the same message
    /// unprepared; and how often the first was compressed.
    fn sent(prepared: &Prepared, new: impl Fn() -> Connection) -> (Vec<u8>, Vec<u8>, usize) {
        let before = compressions();
        let mut connection = new();
        connection.send_prepared(prepared).unwrap();
        let count = compressions() - before;
        let mut ordinary = new();
        ordinary.send(prepared.message().clone()).unwrap();
        (connection.take_output(), ordinary.take_output(), count)
    }

    #[test]
    fn frames_have_the_same_number_if_they_are_compressed_alike() {
        let long = Prepared::new("to all of you ".repeat(1000));
        let short = Prepared::new("to all of you");
        let settings = [(1, 9), (1, 12), (1, 15), (6, 12), (6, 15)];
        let numbers = |message: &Prepared| -> Vec<_> {
            let number = |(level, bits)| message.frame_number(&extensions(level, bits, false));
            settings.into_iter().map(number).collect()
        };
        let mut all = numbers(&long);
        all.push(long.frame_number(&Extensions::default()));
        assert!(all.iter().all(Option::is_some));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), settings.len() + 1);
        // What is not compressed is the same for all; with a window that is kept there is none.
        assert_eq!(numbers(&short), [Some(0); 5]);
        assert_eq!(short.frame_number(&extensions(1, 15, true)), None);
    }

    #[test]
    fn compresses_a_message_once() {
        let prepared = Prepared::new("to all of you ".repeat(300));
        for i in 0..100 {
            let clone = prepared.clone();
            let (output, ordinary, count) = sent(&clone, || server(extensions(1, 15, false)));
            assert_eq!((output[0], count), (0xc1, usize::from(i == 0)));
            assert!(output == ordinary);
        }
        // Another level; then a window that matters for a message of this length, and one that does not.
        for (level, bits, expected) in [(9, 15, 1), (9, 10, 1), (9, 14, 0), (9, 10, 0)] {
            let (output, ordinary, count) =
                sent(&prepared, || server(extensions(level, bits, false)));
            assert_eq!(count, expected, "{level} {bits}");
            assert!(output == ordinary);
        }
    }

    #[test]
    fn tries_incompressible_messages_once() {
        let noise: Vec<u8> = (0..=255).collect();
        let prepared = Prepared::new(&noise[..]);
        for expected in [1, 0] {
            let (output, ordinary, count) = sent(&prepared, || server(extensions(1, 15, false)));
            assert_eq!((output[0], count), (0x82, expected));
            assert!(output == ordinary);
        }
    }

    #[test]
    fn shares_one_frame_without_compression() {
        let prepared = Prepared::from("x".repeat(70_000));
        let short = Prepared::from("short");
        for (prepared, len) in [(&prepared, 70_010), (&short, 7)] {
            let (output, ordinary, count) = sent(prepared, || server(Extensions::default()));
            assert_eq!((output.len(), count), (len, 0));
            assert!(output == ordinary);
        }
        let (output, _, count) = sent(&short, || server(extensions(1, 15, false)));
        assert_eq!((&output[..], count), (&b"\x81\x05short"[..], 0));
    }

    #[test]
    fn leaves_uncompressed_messages_uncompressed() {
        let prepared = Prepared::uncompressed("to all of you ".repeat(300));
        for takeover in [false, true] {
            let (output, _, count) = sent(&prepared, || server(extensions(1, 15, takeover)));
            assert_eq!((output[0], count), (0x81, 0));
        }
        let keys = MaskingKeys::from_seed([7; 32]);
        let client = Connection::client(Limits::default(), keys);
        let mut client = client.with_extensions(extensions(1, 15, true));
        client.send_prepared(&prepared).unwrap();
        assert_eq!(client.take_output()[0], 0x81);
    }

    #[test]
    fn frames_for_a_connection_that_needs_its_own() {
        let text: String = "over and over ".repeat(100);
        let prepared = Prepared::from(text.as_str());
        let mut taking_over = server(extensions(1, 15, true));
        let mut ordinary = server(extensions(1, 15, true));
        for _ in 0..3 {
            taking_over.send_prepared(&prepared).unwrap();
            ordinary.send(text.as_str()).unwrap();
            assert_eq!(taking_over.take_output(), ordinary.take_output());
        }
        let client = || Connection::client(Limits::default(), MaskingKeys::from_seed([7; 32]));
        let (output, ordinary, _) = sent(&prepared, client);
        assert_eq!(output[1] & 0x80, 0x80);
        assert!(output == ordinary);
    }
}
