//! A connection at rest as a value, and back: `suspend` and `resume` of the WIT package.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::session::WebSocketSession;
use crate::{App, ConnectionId, Effects, Instant, ReadyList, Session};

/// The number of the layout of a state: its first byte. Behind it is what is written here, by [`suspend`],
/// and then what each part of a connection writes of itself, in the order of the calls. Numbers are in little endian.
///
/// Whoever changes any part of it counts one up.
const VERSION: u8 = 1;

/// The longest state, in bytes: the contract's bound.
const MAX_STATE: usize = 64 << 10;

/// The longest path, in bytes. A connection to a longer one is not suspended.
const MAX_PATH: usize = 8 << 10;

/// A connection at rest, as [`Session::suspend`] returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspended {
    /// The path of the request with which it began: by it the app is found again.
    pub path: String,
    /// What the [`Resumer`] of that path makes a connection of.
    pub state: Vec<u8>,
}

/// An app whose connections can be suspended: see [`App::resumer`].
pub trait Resumer {
    /// Makes a connection of the state of one that was suspended at this instant: it is not opened again, but
    /// called as if it had been all the time. The host knows it by `id` from now on, and by the list `ready`.
    ///
    /// # Errors
    ///
    /// [`ResumeError::Invalid`]: the bytes may come from anywhere.
    fn resume(
        &self,
        at: Instant,
        id: ConnectionId,
        ready: &ReadyList,
        suspended: Suspended,
    ) -> Result<Box<dyn Session>, ResumeError>;
}

/// A connection that goes on.
pub struct Resumed {
    /// What is called from now on.
    pub session: Box<dyn Session>,
    /// What the host writes if the component dies.
    pub farewell: &'static [u8],
    /// What the host does now.
    pub effects: Effects,
}

impl fmt::Debug for Resumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumed")
            .field("effects", &self.effects)
            .finish_non_exhaustive()
    }
}

/// Why a connection does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeError {
    /// The app at that path can resume none.
    Unsupported,
    /// The number of the layout is none that is known.
    UnknownVersion,
    /// It is no state, or one that breaks a limit.
    Invalid,
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsupported => "the app at the path of the connection resumes none: close it",
            Self::UnknownVersion => {
                "the state has a layout that is not known here: resume it where it is, or close it"
            }
            Self::Invalid => "this is not the state of a connection: close it",
        })
    }
}

impl core::error::Error for ResumeError {}

/// The state of a connection of this app's; none if it is not at rest, or cannot be resumed. To be dropped
/// then, before anything else is called.
#[must_use]
pub fn suspend(app: &dyn App, session: &dyn Session, now: Instant) -> Option<Vec<u8>> {
    let Suspended { path, state } = session.suspend(now)?;
    app.resumer(&path)?;
    if path.len() > MAX_PATH {
        return None;
    }
    let mut writer = Writer(alloc::vec![VERSION]);
    writer.bytes(path.as_bytes())?;
    writer.0.extend_from_slice(&state);
    (writer.0.len() <= MAX_STATE).then_some(writer.0)
}

/// Makes a connection of a state again, which was suspended so long ago.
///
/// # Errors
///
/// See [`ResumeError`]. What the state says is checked, whoever has written it; a state of the right form
/// is believed.
pub fn resume(
    app: &dyn App,
    now: Instant,
    id: ConnectionId,
    ready: &ReadyList,
    suspended_for: Duration,
    state: &[u8],
) -> Result<Resumed, ResumeError> {
    if state.len() > MAX_STATE {
        return Err(ResumeError::Invalid);
    }
    let mut reader = Reader(state);
    if reader.byte()? != VERSION {
        return Err(ResumeError::UnknownVersion);
    }
    let path = reader.text(MAX_PATH)?;
    let resumer = app.resumer(path).ok_or(ResumeError::Unsupported)?;
    let at = now.before(suspended_for);
    let suspended = Suspended {
        path: path.into(),
        state: reader.0.into(),
    };
    let mut session = resumer.resume(at, id, ready, suspended)?;
    let effects = session.wake(now, 0);
    Ok(Resumed {
        session,
        farewell: WebSocketSession::<()>::FAREWELL,
        effects,
    })
}

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

    /// Up to centuries, in nanoseconds.
    pub(crate) fn duration(&mut self, duration: Duration) {
        self.number(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// None if they are too many for a state.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let len = u16::try_from(bytes.len()).ok()?;
        self.0.extend_from_slice(&len.to_le_bytes());
        self.0.extend_from_slice(bytes);
        Some(())
    }
}

/// Reads a state, of which nothing is believed.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn byte(&mut self) -> Result<u8, ResumeError> {
        self.array().map(|[byte]| byte)
    }

    /// One of two.
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

    /// Nothing is left over.
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
