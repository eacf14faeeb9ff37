//! Patterns of paths whose values name an instance: `/rooms/{room}`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::net::percent::decode;
use crate::pool::Key;

/// A pattern of how paths begin, segment by segment. `{name}` matches one segment that is not empty, everything else
/// itself; the values of all names together are the key of a path. Segments after those do not matter: `/rooms/{room}`
/// has the same key for `/rooms/blue` and `/rooms/blue/state`.
///
/// As in the router of apps, escapes are decoded in the values and not elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Name(String),
}

impl PathPattern {
    /// The key of a request with this target, in any form (RFC 9112 §3.2); `None` if its path does not match.
    pub(crate) fn key(&self, target: &str) -> Option<Key> {
        let mut parts = path(target).strip_prefix('/')?.split('/');
        let mut values = Vec::new();
        for segment in &self.segments {
            match (segment, parts.next()?) {
                (Segment::Literal(text), part) if part == text => {}
                (Segment::Name(_), part) if !part.is_empty() => values.push(decoded(part)),
                _ => return None,
            }
        }
        Some(Key::of(&values))
    }
}

/// Bytes that are not UTF-8 are replaced, as they are for the app.
fn decoded(part: &str) -> Cow<'_, str> {
    if part.contains('%') {
        String::from_utf8_lossy(&decode(part)).into_owned().into()
    } else {
        part.into()
    }
}

/// The path of a target, without its scheme, host and query.
fn path(target: &str) -> &str {
    let path = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?', '#']) => {
            rest.get(rest.find(['/', '?', '#']).unwrap_or(rest.len())..)
        }
        _ => Some(target),
    };
    let mut parts = path.unwrap_or_default().split(['?', '#']);
    parts.next().unwrap_or_default()
}

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if let Some(other) = text.chars().find(|other| !is_of_path(*other)) {
            return Err(PatternError::Character(other));
        }
        let path = text.strip_prefix('/').ok_or(PatternError::NoSlash)?;
        if path.ends_with('/') {
            return Err(PatternError::LastSlash);
        }
        let segments: Vec<_> = path.split('/').map(segment).collect::<Result<_, _>>()?;
        let names: Vec<_> = segments.iter().filter_map(Segment::name).collect();
        let mut rest = &names[..];
        while let [name, others @ ..] = rest {
            if others.contains(name) {
                return Err(PatternError::Repeated((*name).to_owned()));
            }
            rest = others;
        }
        if names.is_empty() {
            return Err(PatternError::NoName);
        }
        let text = text.to_owned();
        Ok(Self { text, segments })
    }
}

fn is_of_path(character: char) -> bool {
    character.is_ascii_graphic() && !matches!(character, '?' | '#')
}

fn segment(text: &str) -> Result<Segment, PatternError> {
    if !text.contains(['{', '}']) {
        return Ok(Segment::Literal(text.to_owned()));
    }
    let name = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match name {
        Some(name) if !name.is_empty() && name.bytes().all(is_of_name) => {
            Ok(Segment::Name(name.to_owned()))
        }
        _ => Err(PatternError::Segment(text.to_owned())),
    }
}

impl Segment {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Literal(_) => None,
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternError {
    /// It does not begin with a slash.
    NoSlash,
    /// It ends with a slash.
    LastSlash,
    /// This character is in no path.
    Character(char),
    /// A segment with braces that is not `{name}`.
    Segment(String),
    /// A name that is there twice.
    Repeated(String),
    /// Without a name, it would match one path only.
    NoName,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlash => f.write_str("it must begin with a slash, as in /rooms/{room}"),
            Self::LastSlash => f.write_str(
                "leave the slash at its end out: paths with further segments match as well",
            ),
            Self::Character(other @ ('?' | '#')) => {
                write!(f, "{other:?} is not part of a path, which is all that is compared")
            }
            Self::Character(other) => {
                write!(f, "{other:?} is in no path: write it percent-encoded, as requests do")
            }
            Self::Segment(text) => write!(
                f,
                "the segment {text:?} must be literal or {{name}}, with a name of letters, digits, _ and -"
            ),
            Self::Repeated(name) => write!(f, "{{{name}}} is in it twice: use two names"),
            Self::NoName => f.write_str(
                "it needs a {name}, as in /rooms/{room}: the paths with the same value share an instance",
            ),
        }
    }
}

impl std::error::Error for PatternError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pattern: &str, target: &str) -> Option<Key> {
        let pattern: PathPattern = pattern.parse().ok()?;
        pattern.key(target)
    }

    #[test]
    fn values_of_all_names_are_the_key() {
        let rooms = |target| key("/rooms/{room}", target);
        let blue = rooms("/rooms/blue");
        assert!(blue.is_some());
        for same in [
            "/rooms/blue?x=/rooms/red",
            "/rooms/bl%75e",
            "http://host/rooms/blue",
            "https://host:1/rooms/blue?x",
            "/rooms/blue/",
            "/rooms/blue/state",
        ] {
            assert_eq!(rooms(same), blue, "{same}");
        }
        for other in [
            "/rooms/Blue",
            "/rooms/blue%20",
            "/rooms/blue%2f",
            "/rooms/%",
        ] {
            assert!(rooms(other).is_some() && rooms(other) != blue, "{other}");
        }
        for none in [
            "/rooms/",
            "/rooms",
            "/room%73/blue",
            "//rooms/blue",
            "rooms/blue",
            "/",
            "",
            "*",
            "host:1",
            "http://host",
            "/?/rooms/blue",
        ] {
            assert_eq!(rooms(none), None, "{none}");
        }
        let two = |target| key("/{tenant}/rooms/{room}/state", target);
        assert!(two("/a/rooms/b/state").is_some());
        assert_eq!(two("/a/rooms/b/state"), two("/a/rooms/b/state/x"));
        assert_ne!(two("/a/rooms/b/state"), two("/b/rooms/a/state"));
        assert_ne!(two("/a%00/rooms/b/state"), two("/a/rooms/%00b/state"));
        assert_eq!(two("/a/rooms/b/other"), None);
        assert_eq!(
            rooms("/rooms/%ff"),
            rooms("/rooms/%fe"),
            "both are U+FFFD to the app"
        );
    }

    #[test]
    fn wrong_patterns_say_what_is_wrong() {
        for (text, error) in [
            ("", "begin with a slash"),
            ("rooms/{room}", "begin with a slash"),
            ("/rooms", "needs a {name}"),
            ("/rooms/{room}/", "leave the slash at its end out"),
            ("/rooms/{room}?x", "'?' is not part of a path"),
            ("/räume/{room}", "'ä' is in no path"),
            ("/rooms/{room", "segment \"{room\""),
            ("/rooms/room-{room}", "segment \"room-{room}\""),
            ("/rooms/{*rest}", "segment \"{*rest}\""),
            ("/rooms/{}", "segment \"{}\""),
            ("/{a}/{b}/{a}", "{a} is in it twice"),
        ] {
            let refused = text.parse::<PathPattern>().err();
            let refused = refused.map(|refused| refused.to_string());
            assert!(
                refused.as_ref().is_some_and(|said| said.contains(error)),
                "{text}: {refused:?}"
            );
        }
        let text = "/{tenant}/rooms/{room-1}";
        let parsed = text.parse::<PathPattern>();
        assert_eq!(parsed.map(|parsed| parsed.to_string()), Ok(text.to_owned()));
    }
}
