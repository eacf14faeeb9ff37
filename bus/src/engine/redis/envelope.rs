//! What is sent on a topic's channel: a line that says what it is, and the bytes.
//!
//! `KIND [POSITION PREVIOUS [RUNNER NUMBER]]`, where `-` stands for a position that there is not.

use bytes::Bytes;

use crate::engine::{MemberKey, Origin, Received};
use crate::message::{Kind, MAX_MEMBER_INFO, Message};

/// The longest line, in bytes.
const MAX_HEADER: usize = 128;

/// What arrives on a channel.
#[derive(Debug)]
pub(super) enum Envelope {
    Published(Received),
    Joined(MemberKey, Bytes),
    Left(MemberKey, Bytes),
}

impl Envelope {
    /// `None` if the bytes are not one.
    pub(super) fn parse(bytes: Bytes) -> Option<Self> {
        let start = bytes.get(..MAX_HEADER.min(bytes.len()))?;
        let end = start.iter().position(|byte| *byte == b'\n')?;
        let line = std::str::from_utf8(start.get(..end)?).ok()?;
        let words: Vec<_> = line.split(' ').collect();
        let content = bytes.slice(end.checked_add(1)?..);
        match words.as_slice() {
            ["joined", runner, number] => {
                Some(Self::Joined(member(runner, number)?, info(content)?))
            }
            ["left", runner, number] => Some(Self::Left(member(runner, number)?, info(content)?)),
            [kind, place @ ..] => published(message(kind, content)?, place).map(Self::Published),
            [] => None,
        }
    }
}

fn published(message: Message, place: &[&str]) -> Option<Received> {
    let (place, origin) = match place {
        [place @ .., runner, number] if place.len() == 2 => (place, Some(origin(runner, number)?)),
        _ => (place, None),
    };
    let (position, previous) = match place {
        [] | ["-", "-"] => (None, None),
        [position, previous] => (Some(position.parse().ok()?), Some(previous.parse().ok()?)),
        _ => return None,
    };
    Some(Received {
        message,
        position,
        previous,
        origin,
    })
}

/// The word for a kind.
pub(super) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Binary => "binary",
    }
}

/// `None` for a kind that there is not, and for text that is not UTF-8.
pub(super) fn message(kind: &str, bytes: Bytes) -> Option<Message> {
    let kind = match kind {
        "text" => Kind::Text,
        "binary" => Kind::Binary,
        _ => return None,
    };
    if kind == Kind::Text && std::str::from_utf8(&bytes).is_err() {
        return None;
    }
    Some(Message { kind, bytes })
}

/// A runner as it is written: 16 hexadecimal digits.
pub(super) fn runner_name(runner: u64) -> String {
    format!("{runner:016x}")
}

pub(super) fn runner(name: &str) -> Option<u64> {
    let is_hex = name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u64::from_str_radix(name, 16).ok()).flatten()
}

pub(super) fn origin(runner_name: &str, number: &str) -> Option<Origin> {
    Some(Origin {
        runner: runner(runner_name)?,
        number: number.parse().ok()?,
    })
}

fn member(runner_name: &str, number: &str) -> Option<MemberKey> {
    Some(MemberKey {
        runner: runner(runner_name)?,
        number: number.parse().ok()?,
    })
}

/// What a member says of itself; `None` if it is too long.
pub(super) fn info(bytes: Bytes) -> Option<Bytes> {
    (bytes.len() <= MAX_MEMBER_INFO).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Position;

    fn text(bytes: &'static str) -> Message {
        Message {
            kind: Kind::Text,
            bytes: Bytes::from(bytes),
        }
    }

    fn plain(message: Message) -> Received {
        Received {
            message,
            position: None,
            previous: None,
            origin: None,
        }
    }

    #[test]
    fn parses_every_form() {
        let origin = Some(Origin {
            runner: 0xa7,
            number: 12,
        });
        let position = Some(Position {
            epoch: 1,
            offset: 9,
        });
        let member = MemberKey {
            runner: 0xa7,
            number: 3,
        };
        let cases = [
            ("text\nhi", Envelope::Published(plain(text("hi")))),
            ("text\n", Envelope::Published(plain(text("")))),
            ("text\na\nb", Envelope::Published(plain(text("a\nb")))),
            (
                "text - - 00000000000000a7 12\nhi",
                Envelope::Published(Received {
                    origin,
                    ..plain(text("hi"))
                }),
            ),
            (
                "text 0000000000000001-9 8\nhi",
                Envelope::Published(Received {
                    position,
                    previous: Some(8),
                    ..plain(text("hi"))
                }),
            ),
            (
                "text 0000000000000001-9 8 00000000000000a7 12\nhi",
                Envelope::Published(Received {
                    position,
                    previous: Some(8),
                    origin,
                    ..plain(text("hi"))
                }),
            ),
            (
                "joined 00000000000000a7 3\nAda",
                Envelope::Joined(member, Bytes::from("Ada")),
            ),
            (
                "left 00000000000000a7 3\n",
                Envelope::Left(member, Bytes::new()),
            ),
        ];
        for (bytes, expected) in cases {
            let parsed = Envelope::parse(Bytes::from(bytes));
            assert_eq!(format!("{parsed:?}"), format!("{:?}", Some(expected)));
        }
    }

    #[test]
    fn refuses_everything_else() {
        let long = format!("text {}\n", "-".repeat(MAX_HEADER));
        let cases: [&[u8]; 14] = [
            b"",
            b"\n",
            b"text",
            b"text \nhi",
            b"hello\nhi",
            b"text\n\xff",
            b"text\xff\nhi",
            b"text - 8\nhi",
            b"text 1-9 8\nhi",
            b"text 0000000000000001-9 -\nhi",
            b"text 0000000000000001-9 8 a7 12\nhi",
            b"text 0000000000000001-9 8 00000000000000a7 18446744073709551616\nhi",
            b"joined 00000000000000a7\nAda",
            long.as_bytes(),
        ];
        for bytes in cases {
            let parsed = Envelope::parse(Bytes::copy_from_slice(bytes));
            assert!(parsed.is_none(), "{}", String::from_utf8_lossy(bytes));
        }
        let talkative = format!("left 00000000000000a7 3\n{}", "x".repeat(257));
        assert!(Envelope::parse(Bytes::from(talkative)).is_none());
    }
}
