//! Field lines (RFC 9110 §5).

use alloc::string::String;
use alloc::vec::Vec;
use core::str;

/// A field line: its name, and its value without the white space around it.
pub type Field = (String, Vec<u8>);

/// The values of the field lines with this name, in order.
pub(crate) fn values<'a>(
    fields: &'a [Field],
    name: &'a str,
) -> impl DoubleEndedIterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_slice())
}

/// Whether there is a field line with this name.
pub(crate) fn has(fields: &[Field], name: &str) -> bool {
    values(fields, name).next().is_some()
}

/// The elements of the list that the lines with this name form together (RFC 9110 §5.6.1).
pub(crate) fn list<'a>(
    fields: &'a [Field],
    name: &'a str,
) -> impl DoubleEndedIterator<Item = &'a [u8]> {
    values(fields, name)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(trim)
        .filter(|element| !element.is_empty())
}

/// Whether such a list has this element, ignoring case.
pub(crate) fn lists(fields: &[Field], name: &str, element: &[u8]) -> bool {
    list(fields, name).any(|own| own.eq_ignore_ascii_case(element))
}

/// Trims spaces and tabs (RFC 9110 §5.6.3).
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// RFC 9110 §5.5: CR, LF and NUL are to be refused or replaced; other control bytes are invalid.
pub(crate) fn is_value(value: &[u8]) -> bool {
    let is_invalid = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    !value.iter().any(is_invalid)
}

/// RFC 9110 §5.6.2.
pub(crate) fn token(bytes: &[u8]) -> Option<&str> {
    let is_token = !bytes.is_empty() && bytes.iter().copied().all(is_tchar);
    str::from_utf8(bytes).ok().filter(|_| is_token)
}

pub(crate) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
