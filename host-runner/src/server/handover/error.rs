//! Why a handover does not come about.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a process does not take over from another one, or is not taken over from.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandoverError {
    /// The folder of this socket belongs to somebody else, or others may write to it.
    Folder(PathBuf),
    /// This socket cannot be listened on, or connected to.
    Socket(PathBuf, io::Error),
    /// The other process is of this user.
    Stranger(u32),
    /// What listens at this socket does not answer as this program does.
    NoRunner(PathBuf),
    /// The other process, of this version of the program, speaks no version of the protocol that this one speaks.
    Versions(String),
    /// The other process says what makes no sense.
    Garbled,
    /// The other process has said nothing for this long.
    Silent(Duration),
    /// The other process goes on by itself.
    Independent,
    /// The other process is gone.
    Gone,
    /// The socket between the processes has failed.
    Link(io::Error),
}

impl fmt::Display for HandoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(
                f,
                "{} is in a folder that others may write to, or that is not this user's: choose another with --take-over-from",
                path.display()
            ),
            Self::Socket(path, error) => write!(
                f,
                "cannot use the socket {} (--take-over-from): {error}",
                path.display()
            ),
            Self::Stranger(user) => write!(f, "the other process is that of another user ({user})"),
            Self::NoRunner(path) => write!(
                f,
                "what listens at {} does not answer like a runner: stop it, or choose another path with --take-over-from",
                path.display()
            ),
            Self::Versions(program) => write!(
                f,
                "the other process is wasocket {program}, which does not understand this one ({}): restart the service instead",
                env!("CARGO_PKG_VERSION")
            ),
            Self::Garbled => f.write_str(
                "the other process sends what is not of the protocol: is it another program, or changed?",
            ),
            Self::Silent(time) => write!(
                f,
                "the other process has not answered for {} s: see its log, and end it if it hangs",
                time.as_secs()
            ),
            Self::Independent => f.write_str(
                "the process before this one has broken off the handover and goes on serving, so this one ends: see its log",
            ),
            Self::Gone => f.write_str("the other process has ended before it was done: see its log"),
            Self::Link(error) => write!(f, "the other process cannot be reached: {error}"),
        }
    }
}

impl std::error::Error for HandoverError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Socket(_, error) | Self::Link(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for HandoverError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Garbled,
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::UnexpectedEof => Self::Gone,
            _ => Self::Link(error),
        }
    }
}
