//! Parsers for the values of options.

use std::fmt;
use std::fs;
use std::path::Path;

use clap::builder::RangedU64ValueParser;
use wasocket_host::net::listen::Listen;
use wasocket_host::server::admin::Token;

/// For one address or Unix socket.
pub(crate) fn address_or_path(value: &str) -> Result<Listen, String> {
    match value.parse() {
        Ok(Listen::Systemd) | Err(_) => Err(
            "expected ADDRESS:PORT, such as 127.0.0.1:9090, [::1]:9090 or localhost:9090; or unix:PATH"
                .to_owned(),
        ),
        Ok(place) => Ok(place),
    }
}

pub(crate) fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// At most 4 GiB, the limit of a WebAssembly memory.
pub(crate) fn memory() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=4096)
}

pub(crate) fn seconds() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(1..=86_400)
}

/// At least one millisecond.
pub(crate) fn milliseconds() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(1..)
}

/// Reads the token in a file: its text, and what a server keeps of it.
pub(crate) fn token_file(file: &Path) -> Result<(String, Token), String> {
    let failed = |error: &dyn fmt::Display| format!("{}: {error}", file.display());
    let content = fs::read_to_string(file).map_err(|error| failed(&error))?;
    let token = Token::from_file(&content).map_err(|error| failed(&error))?;
    Ok((content.trim().to_owned(), token))
}
