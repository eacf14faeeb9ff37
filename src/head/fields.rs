use alloc::string::String;
use alloc::vec::Vec;
use core::str;

/// The field (header) lines of a message, in order, duplicates kept (RFC 9110 §5).
///
/// Names are compared without regard to ASCII case; values are bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, Vec<u8>)>);

impl Fields {
    /// No fields.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a line after all others.
    pub fn append(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.0.push((name.into(), value.into()));
    }

    /// Replaces all lines with this name by one: in place of the first of them, or after all other lines.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        let (name, value) = (name.into(), value.into());
        let is_same = |(own, _): &(String, Vec<u8>)| own.eq_ignore_ascii_case(&name);
        let place = self.0.iter().position(is_same).unwrap_or(self.0.len());
        self.remove(&name);
        self.0.insert(place, (name, value));
    }

    /// Removes all lines with this name. Returns whether there were any.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self.0.len() < before
    }

    /// The values of the lines with this name, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Whether there is a line with this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// The value of the only line with this name.
    ///
    /// # Errors
    ///
    /// [`NotSingle`] when there is no such line, or more than one.
    pub fn single(&self, name: &str) -> Result<&[u8], NotSingle> {
        let mut value = None;
        for (own, bytes) in self.iter() {
            if own.eq_ignore_ascii_case(name) && value.replace(bytes).is_some() {
                return Err(NotSingle::Repeated);
            }
        }
        value.ok_or(NotSingle::Missing)
    }

    /// The value of the only line with this name, as text. `None` if there is no such line, more than one, or
    /// one that is not UTF-8; [`single`](Self::single) tells the first two apart.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.single(name).ok()?).ok()
    }

    /// The elements of the comma-separated list that all lines with this name form together (RFC 9110
    /// §5.6.1), without the white space around them; empty elements are skipped. Quoted commas are not
    /// recognized: no list that the opening handshake reads this way allows them.
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.values(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(trim_whitespace)
            .filter(|element| !element.is_empty())
    }

    /// Whether the list has this element, without regard to ASCII case.
    #[must_use]
    pub fn list_contains(&self, name: &str, element: &str) -> bool {
        self.list(name)
            .any(|own| own.eq_ignore_ascii_case(element.as_bytes()))
    }

    /// All lines, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }
}

impl From<Vec<(String, Vec<u8>)>> for Fields {
    fn from(lines: Vec<(String, Vec<u8>)>) -> Self {
        Self(lines)
    }
}

impl From<Fields> for Vec<(String, Vec<u8>)> {
    fn from(fields: Fields) -> Self {
        fields.0
    }
}

/// Why a field that must appear exactly once has no single value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSingle {
    /// There is no such line.
    Missing,
    /// There is more than one.
    Repeated,
}

/// Trims the spaces and tabs around a value (RFC 9110 §5.6.3).
pub(crate) fn trim_whitespace(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Whether these bytes are a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_tchar)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append(*name, *value);
        }
        fields
    }

    #[test]
    fn lists_span_lines_and_skip_empty_elements() {
        let fields = fields(&[
            ("Connection", ", keep-alive ,,\t"),
            ("Host", "x"),
            ("connection", " UPGRADE"),
        ]);
        let elements: Vec<_> = fields.list("CONNECTION").collect();
        assert_eq!(elements, [&b"keep-alive"[..], b"UPGRADE"]);
        assert!(fields.list_contains("Connection", "upgrade"));
        assert!(!fields.list_contains("Connection", "grade"));
    }

    #[test]
    fn case_is_folded_in_ascii_only() {
        // U+017F folds to "s" in Unicode, but is not part of a token.
        let fields = fields(&[("Upgrade", "web\u{17f}ocket")]);
        assert!(!fields.list_contains("Upgrade", "websocket"));
    }

    #[test]
    fn single_finds_the_only_line() {
        let fields = fields(&[("A", "1"), ("B", "1"), ("b", "1")]);
        assert_eq!(fields.single("a"), Ok(&b"1"[..]));
        assert_eq!(fields.single("b"), Err(NotSingle::Repeated));
        assert_eq!(fields.single("c"), Err(NotSingle::Missing));
    }

    #[test]
    fn set_replaces_and_remove_removes_all_lines() {
        let mut fields = fields(&[("A", "1"), ("B", "2"), ("a", "3"), ("C", "4")]);
        fields.set("a", "5");
        fields.set("D", "6");
        let lines: Vec<_> = fields.iter().collect();
        let expected = [("a", "5"), ("B", "2"), ("C", "4"), ("D", "6")];
        assert_eq!(
            lines,
            expected.map(|(name, value)| (name, value.as_bytes()))
        );
        assert!(fields.remove("b") && !fields.remove("B"));
        assert!(!fields.contains("B"));
    }

    #[test]
    fn text() {
        let mut fields = fields(&[("A", "caf\u{e9}"), ("B", "1"), ("b", "1")]);
        fields.append("C", b"caf\xe9");
        let texts = ["a", "B", "C", "D"].map(|name| fields.text(name));
        assert_eq!(texts, [Some("caf\u{e9}"), None, None, None]);
    }

    #[test]
    fn tokens() {
        assert!(is_token(b"chat.v2+json"));
        for not in [&b""[..], b"a b", b"ch@t", b"caf\xc3\xa9", b"a,b", b"\x00"] {
            assert!(!is_token(not));
        }
    }
}
