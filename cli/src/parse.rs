//! Values of options.

use clap::builder::RangedU64ValueParser;
use wasocket_host::net::listen::is_address;

/// For an address that is no path.
pub(crate) fn address(value: &str) -> Result<String, String> {
    match is_address(value) {
        true => Ok(value.to_owned()),
        false => Err(
            "expected ADDRESS:PORT, such as 127.0.0.1:1234, [::1]:1234 or localhost:1234"
                .to_owned(),
        ),
    }
}

pub(crate) fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// A memory of WebAssembly has at most 4 GiB.
pub(crate) fn memory() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=4096)
}

pub(crate) fn seconds() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(1..=86_400)
}

/// A time of at least one millisecond.
pub(crate) fn milliseconds() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(1..)
}
