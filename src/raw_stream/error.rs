use core::fmt;

/// Why a raw socket cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RawError {
    /// The socket has failed, or the host gives it up.
    Lost,
    /// The host stops. Whoever reads or writes first is told so, once: then the stream goes on, to say goodbye,
    /// until the function returns or the host's time is over (the runner: `--shutdown-timeout`, 5 s).
    Stopped,
    /// The stream has ended inside of what was to be read as a whole.
    UnexpectedEnd,
    /// A line is longer than the app wants it.
    LineTooLong,
    /// A line is no text.
    NotUtf8,
}

impl fmt::Display for RawError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "the socket has failed",
            Self::Stopped => "the host stops",
            Self::UnexpectedEnd => "the stream has ended too early",
            Self::LineTooLong => "the line is too long",
            Self::NotUtf8 => "the line is not UTF-8",
        })
    }
}

impl core::error::Error for RawError {}
