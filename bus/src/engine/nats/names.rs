//! The subjects, streams and buckets, and how a topic becomes one token of a subject.
//!
//! `docs/design/engines.md` lists them for clients that are not ours: whoever changes one changes [`VERSION`].

use std::fmt::Write;

use crate::engine::MemberKey;
use crate::topic::Topic;

/// The version of the layout, part of every name.
const VERSION: u32 = 1;

/// The names of everything at the server that begins with one prefix.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// `PREFIX.1`
    subject: String,
    /// `PREFIX_1`
    stream: String,
}

/// What a subject below `PREFIX.1.topic` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Message,
    Member(MemberKey),
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            subject: format!("{prefix}.{VERSION}"),
            stream: format!("{prefix}_{VERSION}"),
        }
    }

    /// Where the publications of a topic are heard.
    pub(super) fn message(&self, topic: &Topic) -> String {
        format!("{}.topic.{}.message", self.subject, token(topic))
    }

    /// All subjects of a topic.
    pub(super) fn topic(&self, topic: &Topic) -> String {
        format!("{}.topic.{}.>", self.subject, token(topic))
    }

    /// Where to publish on a topic with history: the stream stores it and sends it on to [`message`](Self::message).
    pub(super) fn keep(&self, topic: &Topic) -> String {
        format!("{}.keep.{}", self.subject, token(topic))
    }

    /// The pattern of [`keep`](Self::keep), and what the stream turns it into.
    pub(super) fn keep_pattern(&self) -> (String, String) {
        let heard = format!("{}.topic.{{{{wildcard(1)}}}}.message", self.subject);
        (format!("{}.keep.*", self.subject), heard)
    }

    /// The stream of all publications with history.
    pub(super) fn history(&self) -> String {
        format!("{}_history", self.stream)
    }

    /// The bucket that says which topics have history.
    pub(super) fn kept(&self) -> String {
        format!("{}_topics", self.stream)
    }

    pub(super) fn kept_key(&self, topic: &Topic) -> String {
        format!("$KV.{}.{}", self.kept(), token(topic))
    }

    /// The keys of that bucket, and where its changes are heard.
    pub(super) fn kept_pattern(&self) -> (String, String) {
        let heard = format!("{}.history.{{{{wildcard(1)}}}}", self.subject);
        (format!("$KV.{}.*", self.kept()), heard)
    }

    pub(super) fn kept_changes(&self) -> String {
        format!("{}.history.*", self.subject)
    }

    /// The bucket of members.
    pub(super) fn members(&self) -> String {
        format!("{}_members", self.stream)
    }

    pub(super) fn member_key(&self, topic: &Topic, key: MemberKey) -> String {
        let MemberKey { runner, number } = key;
        let bucket = self.members();
        format!("$KV.{bucket}.{}.{runner:016x}.{number}", token(topic))
    }

    pub(super) fn members_of_topic(&self, topic: &Topic) -> String {
        format!("$KV.{}.{}.>", self.members(), token(topic))
    }

    pub(super) fn members_of_runner(&self, runner: u64) -> String {
        format!("$KV.{}.*.{runner:016x}.*", self.members())
    }

    pub(super) fn member_pattern(&self) -> (String, String) {
        let rest = "{{wildcard(1)}}.member.{{wildcard(2)}}.{{wildcard(3)}}";
        let heard = format!("{}.topic.{rest}", self.subject);
        (format!("$KV.{}.*.*.*", self.members()), heard)
    }

    /// The bucket of runners that are alive.
    pub(super) fn runners(&self) -> String {
        format!("{}_runners", self.stream)
    }

    pub(super) fn runner_key(&self, runner: u64) -> String {
        format!("$KV.{}.{runner:016x}", self.runners())
    }

    pub(super) fn runner_pattern(&self) -> (String, String) {
        let heard = format!("{}.runner.{{{{wildcard(1)}}}}", self.subject);
        (format!("$KV.{}.*", self.runners()), heard)
    }

    pub(super) fn runner_changes(&self) -> String {
        format!("{}.runner.*", self.subject)
    }

    /// Where answers to runners go.
    pub(super) fn inbox(&self) -> String {
        format!("{}.inbox", self.subject)
    }
}

/// What a subject below `PREFIX.1.topic` is about; `None` if it is none of ours.
pub(super) fn parse_topic_subject(subject: &str) -> Option<Subject> {
    let mut last = subject.rsplitn(4, '.');
    let (third, second, first) = (last.next()?, last.next()?, last.next()?);
    if third == "message" {
        return Some(Subject::Message);
    }
    let is_member = first == "member";
    is_member
        .then(|| member(second, third))
        .flatten()
        .map(Subject::Member)
}

/// The topic and the member that a key of the bucket of members names.
pub(super) fn parse_member_key(key: &str) -> Option<(Topic, MemberKey)> {
    let mut parts = key.rsplitn(4, '.');
    let (number, runner, token) = (parts.next()?, parts.next()?, parts.next()?);
    Some((parse_token(token)?, member(runner, number)?))
}

fn member(runner: &str, number: &str) -> Option<MemberKey> {
    Some(MemberKey {
        runner: parse_runner(runner)?,
        number: number.parse().ok()?,
    })
}

/// A runner as it is written in subjects and headers: 16 hexadecimal digits.
pub(super) fn parse_runner(text: &str) -> Option<u64> {
    let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// The last token of a subject.
pub(super) fn last_token(subject: &str) -> &str {
    subject.rsplit('.').next().unwrap_or_default()
}

/// A topic as one token, also valid as a key: ASCII letters, digits, `-`, `_` and `/` stand for themselves, every other
/// byte of its UTF-8 is written `=XX`, in upper-case hexadecimal digits.
pub(super) fn token(topic: &Topic) -> String {
    let mut token = String::with_capacity(topic.as_str().len());
    for byte in topic.as_str().bytes() {
        if is_plain(byte) {
            token.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(token, "={byte:02X}");
        }
    }
    token
}

/// The topic that a token stands for; `None` if [`token`] did not write it.
pub(super) fn parse_token(text: &str) -> Option<Topic> {
    let mut name = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'=' {
            let (high, low) = (hex_digit(bytes.next()?)?, hex_digit(bytes.next()?)?);
            let escaped = high << 4 | low;
            name.push(Some(escaped).filter(|byte| !is_plain(*byte))?);
        } else {
            name.push(Some(byte).filter(|byte| is_plain(*byte))?);
        }
    }
    Topic::new(std::str::from_utf8(&name).ok()?).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> Topic {
        Topic::new(name).unwrap()
    }

    #[test]
    fn any_topic_is_one_token_and_back() {
        let long = "é".repeat(64);
        let names = [
            "lobby", "/rooms/7", "a.b", "*", ">", " ", "\t\r\n", "=", "=2E", "$KV", "🙂", "\0",
            &long,
        ];
        for name in names {
            let token = token(&topic(name));
            assert!(
                token.bytes().all(|byte| is_plain(byte) || byte == b'='),
                "{token}"
            );
            assert_eq!(parse_token(&token), Some(topic(name)), "{token}");
        }
        assert_eq!(token(&topic("a.b c")), "a=2Eb=20c");
    }

    #[test]
    fn a_topic_has_one_token_only() {
        for token in ["", "=", "=2", "=2e", "=61", "a.b", "=FF", "é"] {
            assert_eq!(parse_token(token), None, "{token}");
        }
    }

    #[test]
    fn subjects_of_topics_are_told_apart() {
        let key = MemberKey {
            runner: 10,
            number: 12,
        };
        let names = Names::new("wasocket");
        let message = names.message(&topic("member.message"));
        assert_eq!(message, "wasocket.1.topic.member=2Emessage.message");
        assert_eq!(parse_topic_subject(&message), Some(Subject::Message));
        let member = "wasocket.1.topic.x.member.000000000000000a.12";
        assert_eq!(parse_topic_subject(member), Some(Subject::Member(key)));
        assert_eq!(parse_topic_subject("wasocket.1.topic.x.later"), None);
        let stored = names.member_key(&topic("x y"), key);
        assert_eq!(parse_member_key(&stored), Some((topic("x y"), key)));
    }
}
