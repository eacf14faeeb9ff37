use core::fmt;

/// Why a raw socket cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RawError {
    /// The socket has failed, or the host has given it up.
    Lost,
    /// The host is stopping. The first read or write fails with this, once; then the stream works again, to
    /// say goodbye, until the function returns or the host's time is up (the runner: `--shutdown-timeout`, 5
    /// s).
    Stopped,
    /// The stream ended before everything that was to be read had arrived.
    UnexpectedEnd,
    /// A line is longer than the app allows.
    LineTooLong,
    /// A line is not UTF-8.
    NotUtf8,
}

impl fmt::Display for RawError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "the socket has failed",
            Self::Stopped => "the host is stopping",
            Self::UnexpectedEnd => "the stream ended too early",
            Self::LineTooLong => "the line is too long",
            Self::NotUtf8 => "the line is not UTF-8",
        })
    }
}

impl core::error::Error for RawError {}
