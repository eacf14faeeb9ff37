//! The state of a connection, which the proxy keeps between requests: sent in `Set-Meta-Wasocket`, returned
//! in `Meta-Wasocket`.

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::events::{MAX_MESSAGE_SIZE, MAX_STATE, MAX_TOPIC_NAME, MAX_TOPICS, Settings};

/// The field that sends it to the proxy.
pub(super) const SET_FIELD: &str = "Set-Meta-Wasocket";
/// The field in which the proxy returns it.
pub(super) const FIELD: &str = "Meta-Wasocket";

/// The version of the encoding. Other versions are not read.
const VERSION: u8 = 2;

/// The state of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) phase: Phase,
    /// The longest message that the app wants, in bytes.
    pub(super) max_message_size: u32,
    /// The channels that the connection is subscribed to.
    pub(super) channels: Vec<String>,
    /// The app's state.
    pub(super) state: Vec<u8>,
}

/// The phase of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Open,
    /// A Close frame has been sent. Messages may still arrive.
    Closing,
    /// The app has been told of the end. It is told nothing after that.
    Ended,
}

impl Meta {
    /// The state of a connection that the app has accepted.
    pub(super) fn new(settings: &Settings) -> Self {
        let size = settings.max_message_size.min(MAX_MESSAGE_SIZE);
        Self {
            phase: Phase::Open,
            max_message_size: u32::try_from(size).unwrap_or(u32::MAX),
            channels: Vec::new(),
            state: Vec::new(),
        }
    }

    /// `version phase size count (length name)* state`, in base64: at most 5.6 kB. The size has 4 bytes.
    pub(super) fn encode(&self) -> String {
        let mut bytes = Vec::from([VERSION, self.phase as u8]);
        bytes.extend(self.max_message_size.to_be_bytes());
        bytes.push(length(self.channels.len()));
        for channel in &self.channels {
            bytes.push(length(channel.len()));
            bytes.extend_from_slice(channel.as_bytes());
        }
        bytes.extend_from_slice(&self.state);
        STANDARD_NO_PAD.encode(bytes)
    }

    /// `None` if it is not what `encode` writes.
    pub(super) fn decode(field: &[u8]) -> Option<Self> {
        let bytes = STANDARD_NO_PAD.decode(field).ok()?;
        let (&[VERSION, phase], rest) = bytes.split_first_chunk()? else {
            return None;
        };
        let (&size, rest) = rest.split_first_chunk()?;
        let (&count, mut rest) = rest.split_first()?;
        let phase = match phase {
            0 => Phase::Open,
            1 => Phase::Closing,
            2 => Phase::Ended,
            _ => return None,
        };
        let mut channels = Vec::new();
        for _ in 0..count {
            let (&size, names) = rest.split_first()?;
            let (name, tail) = names.split_at_checked(size.into())?;
            channels.push(String::from_utf8(name.into()).ok()?);
            rest = tail;
        }
        let meta = Self {
            phase,
            max_message_size: u32::from_be_bytes(size),
            channels,
            state: rest.into(),
        };
        meta.keeps_the_rules().then_some(meta)
    }

    fn keeps_the_rules(&self) -> bool {
        let is_name = |name: &String| (1..=MAX_TOPIC_NAME).contains(&name.len());
        self.channels.len() <= MAX_TOPICS
            && self.channels.iter().all(is_name)
            && self.state.len() <= MAX_STATE
    }
}

/// No list or name here is longer than 128.
fn length(len: usize) -> u8 {
    u8::try_from(len).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn the_longest_state_fits() {
        let meta = Meta {
            phase: Phase::Closing,
            max_message_size: u32::MAX,
            channels: vec!["x".repeat(MAX_TOPIC_NAME); MAX_TOPICS],
            state: vec![0xff; MAX_STATE],
        };
        let field = meta.encode();
        assert!(field.len() < 5600, "{}", field.len());
        assert_eq!(Meta::decode(field.as_bytes()), Some(meta));
    }

    #[test]
    fn refuses_anything_else() {
        let encode = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
        for (bytes, is_meta) in [
            (&[2, 0, 0, 0, 0, 0, 0][..], true),
            (&[2, 2, 0, 1, 2, 3, 1, 1, b'x', 9], true),
            (&[], false),
            (&[2, 0], false),
            (&[2, 0, 0, 0, 0, 0], false),
            (&[1, 0, 0, 0, 0, 0, 0], false),
            (&[2, 3, 0, 0, 0, 0, 0], false),
            (&[2, 0, 0, 0, 0, 0, 1], false),
            (&[2, 0, 0, 0, 0, 0, 1, 0], false),
            (&[2, 0, 0, 0, 0, 0, 1, 2, b'x'], false),
            (&[2, 0, 0, 0, 0, 0, 1, 1, 0xff], false),
            (&[2, 0, 0, 0, 0, 0, 17], false),
        ] {
            let decoded = Meta::decode(encode(bytes).as_bytes());
            assert_eq!(decoded.is_some(), is_meta, "{bytes:?}");
        }
        let too_long = [&[2, 0, 0, 0, 0, 0, 0][..], &[0; MAX_STATE + 1]].concat();
        assert_eq!(Meta::decode(encode(&too_long).as_bytes()), None);
        for field in ["!", "AgAAAAAAAA=", "AgA"] {
            assert_eq!(Meta::decode(field.as_bytes()), None, "{field}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let field = STANDARD_NO_PAD.encode([&[VERSION, 0][..], &bytes].concat());
            if let Some(meta) = Meta::decode(field.as_bytes()) {
                prop_assert_eq!(meta.encode(), field);
            }
        }
    }
}
