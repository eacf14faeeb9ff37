//! Where in a topic a publication stands.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where in a topic a publication stands. Written `EPOCH-OFFSET`: 16 hexadecimal digits and a decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Which history of the topic is meant. A new one begins when an engine has lost the old one.
    pub epoch: u64,
    /// Grows from publication to publication of one epoch, by 1 or more. 0 is before the first.
    pub offset: u64,
}

/// A text that is not a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPosition;

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (epoch, offset) = text.split_once('-').ok_or(InvalidPosition)?;
        let is_hex = epoch.len() == 16 && epoch.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_decimal = offset.bytes().all(|byte| byte.is_ascii_digit());
        if !is_hex || !is_decimal {
            return Err(InvalidPosition);
        }
        Ok(Self {
            epoch: u64::from_str_radix(epoch, 16).map_err(|_| InvalidPosition)?,
            offset: offset.parse().map_err(|_| InvalidPosition)?,
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.epoch, self.offset)
    }
}

impl fmt::Display for InvalidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a position: expected EPOCH-OFFSET, such as 00000000000000a7-12")
    }
}

impl std::error::Error for InvalidPosition {}
