//! Notifications to the service manager (`sd_notify(3)`), if it asked for them.

use std::env;
use std::ffi::OsStr;
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The state of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// It is serving.
    Ready,
    /// It was asked to stop, and is stopping.
    Stopping,
}

/// Notifies the service manager. A failure is only logged.
pub(crate) fn notify(state: State) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let message: &[u8] = match state {
        State::Ready => b"READY=1",
        State::Stopping => b"STOPPING=1",
    };
    if let Err(error) = send(&socket, message) {
        tracing::debug!("could not notify the service manager: {error}");
    }
}

/// Sends to a path, or to an abstract socket, whose name begins with `@`.
fn send(socket: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message, &address)?;
    Ok(())
}
