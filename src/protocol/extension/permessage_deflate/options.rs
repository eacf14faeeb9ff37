/// This side's preferences for permessage-deflate. The default keeps nothing in memory between messages.
///
/// Compression lets an attacker who sees the length of messages, and can place text next to a secret in one
/// message, guess that secret (as in CRIME and BREACH). With context takeover the two need not even be in the
/// same message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateOptions {
    /// From 1, the fastest, to 9, the smallest. Default 1: most of the gain for a fraction of the time, which
    /// is scarce in a component.
    pub level: u8,
    /// Messages of fewer bytes are sent uncompressed. Default 256: below that, Huffman coding saves a few
    /// dozen bytes of a packet whose headers take as many, at the price of setting up the compressor.
    pub threshold: usize,
    /// Whether the server's window is cleared between messages (RFC 7692 §7.1.1.1). Default true: a server
    /// keeps no compressor, 160 to 290 KiB, for each idle connection.
    pub server_no_context_takeover: bool,
    /// Whether the client's window is cleared between messages (§7.1.1.2). Default true: a server keeps no
    /// window of up to 32 KiB for each idle connection, which peers fill at no cost to themselves.
    pub client_no_context_takeover: bool,
    /// The largest window the server compresses with (§7.1.2.1). Default 15 bits: 32 KiB.
    pub server_max_window_bits: WindowBits,
    /// The largest window the client may compress with (§7.1.2.2). Default 15 bits. A server that sets
    /// less declines the offers of clients that cannot be held to it.
    pub client_max_window_bits: WindowBits,
}

impl Default for DeflateOptions {
    fn default() -> Self {
        Self {
            level: 1,
            threshold: 256,
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: WindowBits::MAX,
            client_max_window_bits: WindowBits::MAX,
        }
    }
}

/// The base-2 logarithm of the size of a window: 8 to 15 (RFC 7692 §7.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WindowBits(u8);

impl WindowBits {
    /// 8 bits: 256 bytes.
    pub const MIN: Self = Self(8);
    /// 15 bits: 32 KiB.
    pub const MAX: Self = Self(15);

    /// `None` unless `bits` is between 8 and 15.
    #[must_use]
    pub const fn new(bits: u8) -> Option<Self> {
        match bits {
            8..=15 => Some(Self(bits)),
            _ => None,
        }
    }

    /// The logarithm: 8 to 15.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// RFC 7692 §7.1.2: "a decimal integer value without leading zeroes between 8 to 15, inclusive".
    pub(super) fn parse(value: &str) -> Option<Self> {
        match value.as_bytes() {
            [digit @ b'8'..=b'9'] => Self::new(digit - b'0'),
            [b'1', digit @ b'0'..=b'5'] => Self::new(10 + (digit - b'0')),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn window_bits_are_8_to_15_without_leading_zeros() {
        for bits in 0..=u8::MAX {
            let parsed = WindowBits::parse(&format!("{bits}"));
            assert_eq!(parsed, WindowBits::new(bits));
            assert_eq!(parsed.is_some(), (8..=15).contains(&bits));
        }
        for value in [
            "",
            "08",
            "010",
            "+8",
            "-8",
            "8.0",
            "0x8",
            "1",
            "1a",
            "8 ",
            "٨",
            "99999999999999999999",
        ] {
            assert_eq!(WindowBits::parse(value), None, "{value}");
        }
    }
}
