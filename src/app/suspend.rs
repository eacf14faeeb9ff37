//! A connection at rest as a value, and back: `suspend` and `resume` of the WIT package.

use super::App;
use crate::protocol::{Instant, Reader, ResumeError, Writer};
use crate::session::{
    ConnectionId, ReadyList, Resumed, Session, Suspended, Suspension, WebSocketSession,
};
use alloc::vec::Vec;
use core::time::Duration;

/// The version of a state's layout, which is its first byte. What [`suspend`] writes follows, then what each
/// part of a connection writes, in the order of the calls. Numbers are little endian.
///
/// Increment it when any part of the layout changes.
const VERSION: u8 = 2;

/// The longest state, in bytes: the contract's bound.
const MAX_STATE: usize = 64 << 10;

/// The longest path, in bytes. A connection to a longer one is not suspended.
const MAX_PATH: usize = 8 << 10;

/// The state of a connection of this app. `None` if the connection is not at rest, or cannot be resumed.
/// After this call returns a state you must drop the session, without calling it again.
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

/// Makes a connection from its state. `suspension`: how long it was suspended, or what happened meanwhile.
///
/// # Errors
///
/// See [`ResumeError`]. The state is checked, wherever it comes from; a well-formed state is trusted.
pub fn resume(
    app: &dyn App,
    now: Instant,
    id: ConnectionId,
    ready: &ReadyList,
    suspension: impl Into<Suspension>,
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
    let suspension = suspension.into();
    let at = now.before(suspension.suspended_for);
    let suspended = Suspended {
        path: path.into(),
        state: reader.0.into(),
    };
    let mut session = resumer.resume(at, id, ready, suspended)?;
    let ago = |time: Duration| now.before(time.min(suspension.suspended_for));
    session.kept_alive(suspension.answered.map(ago), suspension.pinged.map(ago));
    let effects = session.wake(now, 0);
    Ok(Resumed {
        session,
        final_bytes: WebSocketSession::<()>::FINAL_BYTES,
        effects,
    })
}
