//! Parsers for the values of options.

use clap::builder::RangedU64ValueParser;
use wasocket_host::net::listen::is_address;

/// For an address that is not a path.
pub(crate) fn address(value: &str) -> Result<String, String> {
    if is_address(value) {
        Ok(value.to_owned())
    } else {
        Err(
            "expected ADDRESS:PORT, such as 127.0.0.1:1234, [::1]:1234 or localhost:1234"
                .to_owned(),
        )
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
