//! Notifications to the service manager (`sd_notify(3)`), if it asked for them.

use std::env;
use std::ffi::OsStr;
use std::future::pending;
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

use tokio::time::sleep;

use crate::process::heartbeat::Heartbeats;
use crate::process::stop_event::StopEvent;

/// The state of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// It is serving.
    Ready,
    /// It ends, and this process is the main process of the service from now on.
    Replaced(u32),
    /// It was asked to stop, and is stopping.
    Stopping,
    /// Its workers are alive.
    Alive,
}

/// Notifies the service manager. A failure is only logged.
pub(crate) fn notify(state: State) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let message = match state {
        State::Ready => "READY=1".to_owned(),
        State::Replaced(successor) => format!("MAINPID={successor}"),
        State::Stopping => "STOPPING=1".to_owned(),
        State::Alive => "WATCHDOG=1".to_owned(),
    };
    if let Err(error) = send(&socket, message.as_bytes()) {
        tracing::debug!("could not notify the service manager: {error}");
    }
}

/// Tells the service manager that the workers are alive, twice within the time it waits for that (`WATCHDOG_USEC`,
/// `sd_watchdog_enabled(3)`). Once a worker hangs it is told no more, and restarts the service. Never returns.
pub(crate) async fn feed_watchdog(heartbeats: &Heartbeats, relieved: &StopEvent) {
    let Some(limit) = watchdog_limit() else {
        return pending().await;
    };
    loop {
        match heartbeats.hanging() {
            // From then on the process that takes over has to be alive.
            None if relieved.is_set() => {}
            None => notify(State::Alive),
            Some(worker) => {
                tracing::error!("worker {worker} hangs; letting the service manager's watchdog act")
            }
        }
        sleep(limit / 2).await;
    }
}

/// How long the service manager waits for a sign of life, if it does.
pub(crate) fn watchdog_limit() -> Option<Duration> {
    let is_other = env::var("WATCHDOG_PID").is_ok_and(|pid| pid != process::id().to_string());
    let limit = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (!is_other && limit > 0).then(|| Duration::from_micros(limit))
}

/// Sends to a path, or to an abstract socket, whose name begins with `@`.
fn send(socket: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    // A receiver that does not read must not hold up the service.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(message, &address)?;
    Ok(())
}
