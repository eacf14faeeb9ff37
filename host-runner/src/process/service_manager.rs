//! What the service manager is told (`sd_notify(3)`), if there is one that wants to know.

use std::env;
use std::ffi::OsStr;
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// How the process is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// It serves.
    Ready,
    /// It has been asked to end, and does.
    Stopping,
}

/// Says so. Who does not listen misses it; that is no reason to do anything else.
pub(crate) fn notify(state: State) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let message: &[u8] = match state {
        State::Ready => b"READY=1",
        State::Stopping => b"STOPPING=1",
    };
    if let Err(error) = send(&socket, message) {
        tracing::debug!("the service manager is not told: {error}");
    }
}

/// To a path, or to an abstract name, which begins with `@`.
fn send(socket: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message, &address)?;
    Ok(())
}
