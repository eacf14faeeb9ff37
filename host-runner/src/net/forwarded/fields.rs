//! The fields in which a proxy names its client: `Forwarded` (RFC 7239), `X-Forwarded-For` and `-Proto`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use wasocket_host_core::http1::Field;

/// What one proxy says about its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hop {
    /// `None` if it does not tell.
    pub(super) node: Option<(IpAddr, Option<u16>)>,
    pub(super) secure: Option<bool>,
}

/// The proxies that a request came through, in order. `None` if the fields say nothing or are invalid.
pub(super) fn hops(fields: &[Field]) -> Option<Vec<Hop>> {
    // A proxy writes one of the two kinds, and passes on the other as the client sent it.
    match (list(fields, "forwarded")?, old(fields)?) {
        (Some(forwarded), None) => forwarded_hops(&forwarded),
        (None, old) => old,
        _ => None,
    }
}

/// The lines of a field as one list (RFC 9110 §5.3). The outer `None`: they are not ASCII.
fn list(fields: &[Field], name: &str) -> Option<Option<String>> {
    let mut joined: Option<String> = None;
    for (_, value) in fields
        .iter()
        .filter(|(own, _)| own.eq_ignore_ascii_case(name))
    {
        let value = str::from_utf8(value)
            .ok()
            .filter(|value| value.is_ascii())?;
        match &mut joined {
            Some(joined) => {
                joined.push(',');
                joined.push_str(value);
            }
            none => *none = Some(value.to_owned()),
        }
    }
    Some(joined)
}

/// `X-Forwarded-For` and `X-Forwarded-Proto`. Of the latter the last value counts, that of the nearest proxy.
fn old(fields: &[Field]) -> Option<Option<Vec<Hop>>> {
    let proto = list(fields, "x-forwarded-proto")?;
    let proto = proto.as_deref().and_then(|proto| proto.rsplit(',').next());
    let secure = match proto {
        Some(proto) => Some(is_secure(proto.trim())?),
        None => None,
    };
    let Some(nodes) = list(fields, "x-forwarded-for")? else {
        return Some(secure.map(|_| vec![Hop { node: None, secure }]));
    };
    let hop = |node: &str| {
        let node = Some(address(node.trim())?);
        Some(Hop { node, secure })
    };
    Some(Some(nodes.split(',').map(hop).collect::<Option<_>>()?))
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

/// RFC 7239 §4: `Forwarded = 1#forwarded-element`. `None` if it is malformed anywhere.
fn forwarded_hops(text: &str) -> Option<Vec<Hop>> {
    let mut hops = Vec::new();
    // RFC 9110 §5.6.1.2: empty list elements are ignored.
    for element in split(text, ',')?
        .into_iter()
        .filter(|element| !element.is_empty())
    {
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
        hops.push(hop);
    }
    Some(hops)
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
