//! How the state of a suspended connection is written and read.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// Why a connection cannot be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeError {
    /// The app at that path cannot resume connections.
    Unsupported,
    /// The layout version is unknown.
    UnknownVersion,
    /// The bytes are not a state, or break a limit.
    Invalid,
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsupported => {
                "the app at the path of the connection cannot resume connections: close it"
            }
            Self::UnknownVersion => {
                "the layout of the state is unknown here: resume it where it is known, or close it"
            }
            Self::Invalid => "this is not the state of a connection: close it",
        })
    }
}

impl core::error::Error for ResumeError {}

/// Writes a state.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// Written in nanoseconds, which fit centuries.
    pub(crate) fn duration(&mut self, duration: Duration) {
        self.number(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// `None` if there are too many bytes for a state.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let len = u16::try_from(bytes.len()).ok()?;
        self.0.extend_from_slice(&len.to_le_bytes());
        self.0.extend_from_slice(bytes);
        Some(())
    }
}

/// Reads a state without trusting any of it.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn byte(&mut self) -> Result<u8, ResumeError> {
        self.array().map(|[byte]| byte)
    }

    /// A byte that is 0 or 1.
    pub(crate) fn flag(&mut self) -> Result<bool, ResumeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ResumeError::Invalid),
        }
    }

    pub(crate) fn number(&mut self) -> Result<u64, ResumeError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn duration(&mut self) -> Result<Duration, ResumeError> {
        self.number().map(Duration::from_nanos)
    }

    pub(crate) fn bytes(&mut self, max: usize) -> Result<&'a [u8], ResumeError> {
        let len = usize::from(self.array().map(u16::from_le_bytes)?);
        if len > max {
            return Err(ResumeError::Invalid);
        }
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(ResumeError::Invalid)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self, max: usize) -> Result<&'a str, ResumeError> {
        core::str::from_utf8(self.bytes(max)?).map_err(|_| ResumeError::Invalid)
    }

    /// Checks that nothing is left over.
    pub(crate) fn end(self) -> Result<(), ResumeError> {
        match self.0 {
            [] => Ok(()),
            _ => Err(ResumeError::Invalid),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ResumeError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(ResumeError::Invalid)?;
        self.0 = rest;
        Ok(*array)
    }
}
