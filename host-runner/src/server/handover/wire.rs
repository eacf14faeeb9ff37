//! What the two processes say to each other.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use wasocket_bus::twin::{Change, Wish};

use super::error::HandoverError;
use crate::session::moving::departure::{Departure, Refusal};
use crate::topics::records::DueRecord;

/// The versions of the protocol that this program speaks, first and last.
pub(super) const VERSIONS: (u16, u16) = (1, 1);

/// What every first record begins with, whatever the version.
const MAGIC: &[u8; 20] = b"wasocket handover\r\n\0";

/// The first record of each side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// The versions that it speaks, first and last.
    pub(super) versions: (u16, u16),
    /// The version of the program, to be shown.
    pub(super) program: String,
}

impl Hello {
    pub(super) fn own() -> Self {
        Self {
            versions: VERSIONS,
            program: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let (first, last) = self.versions;
        let parts: [&[u8]; 4] = [
            MAGIC,
            &first.to_be_bytes(),
            &last.to_be_bytes(),
            self.program.as_bytes(),
        ];
        parts.concat()
    }

    /// `None` if it is not from this program.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (first, rest) = rest.split_first_chunk()?;
        let (last, program) = rest.split_first_chunk()?;
        Some(Self {
            versions: (u16::from_be_bytes(*first), u16::from_be_bytes(*last)),
            program: String::from_utf8_lossy(program).chars().take(64).collect(),
        })
    }

    /// The version to speak with this peer: the last that both know.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(super) fn agree(&self) -> Result<u16, HandoverError> {
        let ((first, last), (own_first, own_last)) = (self.versions, VERSIONS);
        let common = last.min(own_last);
        if common < first.max(own_first) {
            return Err(HandoverError::Versions(self.program.clone()));
        }
        Ok(common)
    }
}

/// What a listening socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// Clients.
    Clients,
    /// The operator.
    Admin,
    /// The process that takes over next.
    Successor,
}

/// What the old process says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromOld {
    /// A listening socket, whose descriptor comes with it.
    Listener { purpose: Purpose, place: String },
    /// There are no more listening sockets.
    Begin,
    /// A connection, whose descriptor comes with it. It is still the old process's.
    Connection {
        number: u64,
        departure: Box<Departure>,
    },
    /// The connection is the new process's, and this has waited for it.
    Go { number: u64, waited: Vec<DueRecord> },
    /// The connection stays.
    Stay { number: u64 },
    /// The old process has no connections any more, and ends.
    Over,
    /// Something has happened on a topic.
    Topics(Change),
}

/// What the new process says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum FromNew {
    /// It accepts connections.
    Accepting,
    /// It has room for one more connection now.
    Room,
    /// It can go on with a connection.
    Ready { number: u64 },
    /// It cannot.
    Refused { number: u64, refusal: Refusal },
    /// Its own successor waits: what the old process has left is to end.
    Finish,
    /// Something is to happen on a topic.
    Topics(Wish),
}

/// # Errors
///
/// If it is too large for the memory there is.
pub(super) fn encode(message: &impl Serialize) -> Result<Vec<u8>, HandoverError> {
    postcard::to_stdvec(message).map_err(|_| HandoverError::Garbled)
}

/// # Errors
///
/// If it is no such message, or has something after it.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, HandoverError> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        _ => Err(HandoverError::Garbled),
    }
}

#[cfg(test)]
mod tests {
    use wasocket_bus::message::{Kind, Message};
    use wasocket_bus::position::Position;
    use wasocket_bus::topic::Topic;
    use wasocket_bus::twin::Publisher;

    use super::*;
    use crate::topics::records::EventRecord;

    #[test]
    fn the_last_common_version_is_spoken() {
        let hello = |versions| Hello {
            versions,
            program: "9.9.9".to_owned(),
        };
        assert_eq!(hello((0, 7)).agree().ok(), Some(1));
        assert_eq!(hello((1, 1)).agree().ok(), Some(1));
        for strange in [(2, 3), (0, 0), (3, 1)] {
            let error = hello(strange).agree().expect_err("none in common");
            assert!(error.to_string().contains("9.9.9"), "{error}");
        }
    }

    #[test]
    fn a_hello_comes_back_and_nothing_else_is_one() {
        let hello = Hello::own();
        assert_eq!(Hello::of(&hello.to_bytes()), Some(hello));
        assert_eq!(Hello::of(b"GET / HTTP/1.1"), None);
        assert_eq!(Hello::of(MAGIC), None);
        assert_eq!(Hello::of(b""), None);
    }

    #[test]
    fn what_follows_a_message_makes_it_invalid() {
        let mut bytes = encode(&FromNew::Ready { number: 300 }).expect("a message");
        let decoded = decode::<FromNew>(&bytes).expect("a message");
        assert_eq!(decoded, FromNew::Ready { number: 300 });
        bytes.push(0);
        assert!(decode::<FromNew>(&bytes).is_err());
        assert!(decode::<FromOld>(b"\xff").is_err());
        assert!(decode::<FromOld>(b"").is_err());
    }

    fn messages() -> Vec<FromOld> {
        let topic: Topic = Topic::new("room").expect("a name");
        let message = Message {
            kind: Kind::Text,
            bytes: "hello".into(),
        };
        let position = Some(Position {
            epoch: 7,
            offset: 300,
        });
        vec![
            FromOld::Listener {
                purpose: Purpose::Admin,
                place: "127.0.0.1:80".to_owned(),
            },
            FromOld::Go {
                number: 1 << 40,
                waited: vec![
                    DueRecord::Publication(topic.clone(), message.clone(), position),
                    DueRecord::Event(Some(topic.clone()), EventRecord::TooSlow),
                ],
            },
            FromOld::Topics(Change::Published {
                topic,
                message,
                position,
                by: Publisher::Leader,
            }),
        ]
    }

    /// Whatever has become of a message on its way: it is another one, or refused, and costs no more memory than it has bytes.
    #[test]
    fn damaged_messages_do_no_harm() {
        for message in messages() {
            let bytes = encode(&message).expect("a message");
            let decoded: FromOld = decode(&bytes).expect("a message");
            assert_eq!(format!("{decoded:?}"), format!("{message:?}"));
            for length in 0..bytes.len() {
                let cut = bytes.get(..length).expect("a part");
                assert!(decode::<FromOld>(cut).is_err(), "{length} of {message:?}");
                for bit in 0..8 {
                    let mut damaged = bytes.clone();
                    damaged[length] ^= 1 << bit;
                    if let Ok(other) = decode::<FromOld>(&damaged) {
                        assert_ne!(encode(&other).expect("a message"), bytes);
                    }
                }
            }
        }
        // A length far beyond the end.
        for kind in 0..8 {
            let long = [&[kind, 1][..], &[0xff; 8], &[0x7f]].concat();
            assert!(decode::<FromOld>(&long).is_err());
        }
    }
}
