//! The fields in which a proxy names its client: `X-Forwarded-For` and `-Proto`, or `Forwarded` (RFC 7239).
//!
//! A proxy appends to what it was sent, which may come from anyone. So the fields are read from their end, one element
//! at a time, and an element that is not needed is never parsed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str;

use wasocket_host_core::http1::Field;

/// The field that the trusted proxies write. The other is ignored: they may pass it on as the client sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedField {
    /// `X-Forwarded-For`, with `X-Forwarded-Proto`: what most proxies write.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// What one proxy says about its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hop {
    /// `None` if it does not tell.
    pub(super) node: Option<(IpAddr, Option<u16>)>,
    pub(super) secure: Option<bool>,
}

impl ForwardedField {
    /// The proxies that a request came through, the nearest first. `None` for one whose element is malformed.
    pub(super) fn hops(self, fields: &[Field]) -> Box<dyn Iterator<Item = Option<Hop>> + '_> {
        match self {
            Self::XForwardedFor => Box::new(elements(fields, "x-forwarded-for").map(x_hop)),
            Self::Forwarded => Box::new(elements(fields, "forwarded").map(forwarded_hop)),
        }
    }

    /// Whether the nearest proxy was reached over TLS, if it tells.
    pub(super) fn is_secure(self, fields: &[Field]) -> Option<bool> {
        match self {
            Self::XForwardedFor => {
                let nearest = elements(fields, "x-forwarded-proto").next()?;
                is_secure(str::from_utf8(nearest).ok()?)
            }
            Self::Forwarded => self.hops(fields).next()??.secure,
        }
    }
}

/// An element of `X-Forwarded-For`. `None` if it is not an address.
fn x_hop(element: &[u8]) -> Option<Hop> {
    Some(Hop {
        node: Some(address(str::from_utf8(element).ok()?)?),
        secure: None,
    })
}

/// The elements of a list, from its end, over all lines of the field (RFC 9110 §5.3). Empty ones are ignored
/// (§5.6.1.2).
fn elements<'a>(fields: &'a [Field], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let lines = fields.iter().rev();
    let lines = lines.filter(move |(own, _)| own.eq_ignore_ascii_case(name));
    let elements = lines.flat_map(|(_, line)| Elements { rest: Some(line) });
    elements
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// The elements of a line, from its end. Commas in quoted strings do not separate.
struct Elements<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.rest.take()?;
        let mut is_quoted = false;
        for (index, byte) in line.iter().enumerate().rev() {
            let before = line.get(..index)?;
            match byte {
                b'"' if !(is_quoted && is_escaped(before)) => is_quoted = !is_quoted,
                b',' if !is_quoted => {
                    self.rest = Some(before);
                    return line.get(index..)?.get(1..);
                }
                _ => {}
            }
        }
        Some(line)
    }
}

/// Whether what follows these bytes is the second half of a quoted pair (RFC 9110 §5.6.4).
fn is_escaped(before: &[u8]) -> bool {
    let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\');
    backslashes.count() % 2 == 1
}

fn is_secure(proto: &str) -> Option<bool> {
    match proto.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some(true),
        "http" | "ws" => Some(false),
        _ => None,
    }
}

/// An address with or without a port; IPv6 with a port needs brackets.
fn address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(ip) = text.parse() {
        return Some((ip, None));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip(), Some(address.port())));
    }
    let literal = text.strip_prefix('[')?.strip_suffix(']')?;
    Some((IpAddr::V6(literal.parse().ok()?), None))
}

/// The most parameters in an element of `Forwarded`.
pub(super) const MAX_PARAMETERS: usize = 16;

/// An element of `Forwarded` (RFC 7239 §4). `None` if it is malformed.
fn forwarded_hop(element: &[u8]) -> Option<Hop> {
    let element = str::from_utf8(element).ok()?;
    let mut hop = Hop::default();
    let mut seen = Vec::new();
    for pair in split(element, ';')? {
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (name.to_ascii_lowercase(), unquote(value)?);
        // Bounded, as each is compared with all others. RFC 7239 defines four.
        if seen.len() >= MAX_PARAMETERS {
            return None;
        }
        // §4: "Each parameter MUST NOT occur more than once per field-value."
        if !is_token(&name) || seen.contains(&name) {
            return None;
        }
        match name.as_str() {
            "for" => hop.node = node(&value)?,
            "proto" => hop.secure = Some(is_secure(&value)?),
            _ => {}
        }
        seen.push(name);
    }
    Some(hop)
}

/// RFC 7239 §6: an address with or without a port, `unknown`, or an obfuscated name. The outer `None`: it is none of
/// these.
fn node(value: &str) -> Option<Option<(IpAddr, Option<u16>)>> {
    let name = value.split(':').next().unwrap_or_default();
    if name.eq_ignore_ascii_case("unknown") || name.starts_with('_') {
        return Some(None);
    }
    // §6: "an IPv6 address is always enclosed in square brackets."
    let bare = value.parse::<Ipv6Addr>().is_ok();
    if bare {
        return None;
    }
    address(value).map(Some)
}

/// The trimmed parts between separators outside quotes. `None` if a quote is not closed.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (index, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            char if char == separator && !quoted => {
                parts.push(text.get(start..index)?.trim());
                start = index.checked_add(char.len_utf8())?;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?.trim());
    (!quoted).then_some(parts)
}

/// RFC 7239 §4: `value = token / quoted-string`.
fn unquote(value: &str) -> Option<String> {
    let Some(quoted) = value.strip_prefix('"') else {
        return is_token(value).then(|| value.to_owned());
    };
    let (mut text, mut escaped) = (String::new(), false);
    for char in quoted.strip_suffix('"')?.chars() {
        match char {
            _ if escaped => {
                text.push(char);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return None,
            char => text.push(char),
        }
    }
    (!escaped).then_some(text)
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(valid)
}
