//! The `Connection` field.

use http::header::{CONNECTION, HeaderMap, HeaderName};

/// The options that `Connection` lists (RFC 9110 §7.6.1).
pub(crate) fn connection_options(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(CONNECTION).iter();
    let names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    names
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}
