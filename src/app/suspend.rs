//! A connection at rest as a value, and back: `suspend` and `resume` of the WIT package.

use alloc::vec::Vec;
use core::time::Duration;

use super::App;
use crate::protocol::{Instant, Reader, ResumeError, Writer};
use crate::session::{ConnectionId, ReadyList, Resumed, Session, Suspended, WebSocketSession};

/// The number of the layout of a state: its first byte. Behind it is what is written here, by [`suspend`],
/// and then what each part of a connection writes of itself, in the order of the calls. Numbers are in little endian.
///
/// Whoever changes any part of it counts one up.
const VERSION: u8 = 1;

/// The longest state, in bytes: the contract's bound.
const MAX_STATE: usize = 64 << 10;

/// The longest path, in bytes. A connection to a longer one is not suspended.
const MAX_PATH: usize = 8 << 10;

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
