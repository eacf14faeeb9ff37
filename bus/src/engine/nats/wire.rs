//! A publication as a NATS message: the payload is the message, the rest is in headers.

use async_nats::{HeaderMap, header::NATS_MESSAGE_ID};
use bytes::Bytes;

use super::names::parse_runner;
use crate::engine::{Origin, Received};
use crate::message::{Kind, Message};
use crate::position::Position;

/// `Wasocket: VERSION KIND RUNNER NUMBER`: the kind is `text` or `binary`, the runner 16 hexadecimal digits.
const HEADER: &str = "Wasocket";
const VERSION: &str = "1";

/// Smaller payloads are copied out of the client's read buffer, which they would keep as a whole.
const COPIED: usize = 4096;

/// The headers of a publication.
pub(super) fn headers(kind: Kind, origin: Origin) -> HeaderMap {
    let kind = match kind {
        Kind::Text => "text",
        Kind::Binary => "binary",
    };
    let Origin { runner, number } = origin;
    let mut headers = HeaderMap::new();
    headers.insert(HEADER, format!("{VERSION} {kind} {runner:016x} {number}"));
    headers
}

/// Adds what makes a stream store a publication once, also if it is published again.
pub(super) fn add_message_id(headers: &mut HeaderMap, origin: Origin) {
    let Origin { runner, number } = origin;
    headers.insert(NATS_MESSAGE_ID, format!("{runner:016x}-{number}"));
}

/// Bytes of headers on the wire, at most.
pub(super) fn headers_size(headers: &HeaderMap) -> usize {
    let sizes = headers.iter().flat_map(|(name, values)| {
        let name: &str = name.as_ref();
        values
            .iter()
            .map(move |value| name.len() + value.as_str().len() + 4)
    });
    sizes.sum::<usize>() + "NATS/1.0\r\n\r\n".len()
}

/// The publication in a message. Messages of other publishers need no headers: they are text if they are UTF-8.
pub(super) fn received(payload: Bytes, headers: Option<&HeaderMap>) -> Received {
    let said = headers
        .and_then(|headers| headers.get(HEADER))
        .map(|value| value.as_str());
    let (kind, origin) = said.and_then(parse).unwrap_or((Kind::Text, None));
    let kind = match kind {
        Kind::Text if std::str::from_utf8(&payload).is_err() => Kind::Binary,
        kind => kind,
    };
    let bytes = match payload.len() {
        ..COPIED => Bytes::copy_from_slice(&payload),
        COPIED.. => payload,
    };
    Received {
        message: Message { kind, bytes },
        position: None,
        previous: None,
        origin,
    }
}

fn parse(text: &str) -> Option<(Kind, Option<Origin>)> {
    let mut words = text.split(' ');
    let kind = match (words.next()?, words.next()?) {
        (VERSION, "text") => Kind::Text,
        (VERSION, "binary") => Kind::Binary,
        _ => return None,
    };
    let runner = words.next().and_then(parse_runner);
    let number = words.next().and_then(|number| number.parse().ok());
    let origin = runner
        .zip(number)
        .map(|(runner, number)| Origin { runner, number });
    Some((kind, origin))
}

/// The place in its topic that a stream gave a message that it sends on, and the offset before it.
pub(super) fn place(headers: Option<&HeaderMap>, epoch: u64) -> Option<(Position, u64)> {
    let number = |name: &str| headers?.get(name)?.as_str().parse().ok();
    let offset = number("Nats-Sequence")?;
    Some((Position { epoch, offset }, number("Nats-Last-Sequence")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin = Origin {
        runner: 0xA7,
        number: 12,
    };

    #[test]
    fn headers_say_what_a_payload_is() {
        for kind in [Kind::Text, Kind::Binary] {
            let headers = headers(kind, ORIGIN);
            let received = received(Bytes::from_static(b"x"), Some(&headers));
            assert_eq!(received.message.kind, kind);
            assert_eq!(received.origin, Some(ORIGIN));
        }
    }

    #[test]
    fn without_headers_utf8_is_text() {
        let kind = |bytes: &'static [u8]| received(Bytes::from_static(bytes), None).message.kind;
        assert_eq!(kind("é".as_bytes()), Kind::Text);
        assert_eq!(kind(&[0xFF]), Kind::Binary);
    }

    #[test]
    fn text_that_is_not_utf8_is_binary_whatever_its_header_says() {
        let headers = headers(Kind::Text, ORIGIN);
        let received = received(Bytes::from_static(&[0xC3]), Some(&headers));
        assert_eq!(received.message.kind, Kind::Binary);
    }

    #[test]
    fn headers_of_others_are_ignored_where_they_make_no_sense() {
        for text in [
            "",
            "1",
            "2 text",
            "1 picture",
            "1 binary 7",
            "1 binary 00000000000000a7 -1",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, text);
            let received = received(Bytes::from_static(b"x"), Some(&headers));
            assert_eq!(received.origin, None, "{text}");
        }
    }
}
