//! How a session ends: the last output is delivered, the end logged and counted.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;

use wasocket_host_core::turn::Ending;

use super::inner::Inner;
use crate::contract::bindings::Report;
use crate::guest::fault::Dead;
use crate::limits::unsent::UnsentShare;
use crate::net::stream::accepted::Accepted;
use crate::net::stream::closing::{END, Lost, linger};
use crate::net::stream::socket::Socket;
use crate::observe::access_log::ConnectionEntry;
use crate::session::settings::SessionContext;

/// Closes the socket.
pub(super) type Closing = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// What is left of a session whose connection is no more.
pub(super) struct Remains {
    pub(super) context: Rc<SessionContext>,
    pub(super) socket: Socket<Accepted>,
    pub(super) final_bytes: Vec<u8>,
    pub(super) entry: ConnectionEntry,
    pub(super) unsent: UnsentShare,
    pub(super) last_output: usize,
}

impl Inner {
    /// Lets the connection go. Its guest has had its last call, so its place is free before the peer has closed.
    pub(super) fn into_remains(self) -> Remains {
        let mut entry = self.entry;
        entry.published(self.connection.subscriber().totals().0);
        Remains {
            context: self.context,
            socket: self.socket,
            final_bytes: self.final_bytes,
            entry,
            unsent: self.unsent,
            last_output: self.last_output,
        }
    }
}

impl Remains {
    /// Returns the future that closes the socket, and logs and counts the end once the peer has all output, or has lost it.
    pub(super) fn end(self, outcome: io::Result<Ending>, report: Result<Report, Dead>) -> Closing {
        let Self {
            context,
            mut socket,
            final_bytes,
            mut entry,
            unsent,
            last_output,
        } = self;
        entry.conclude(report.ok());
        // Boxed: needed only at the end, and inline it would enlarge every connection's task.
        Box::pin(async move {
            let metrics = &context.metrics;
            let counter = match &outcome {
                Ok(Ending::Close | Ending::Abort) => &metrics.ended_well,
                Ok(Ending::FinalBytes) => &metrics.ended_by_fault,
                Err(_) => &metrics.ended_by_failure,
            };
            let delivered = match outcome {
                Ok(Ending::Abort) => Ok(None),
                Ok(Ending::Close) => allow_lost_close(socket.deliver().await, last_output),
                Ok(Ending::FinalBytes) => match socket.send(&final_bytes) {
                    Ok(()) => allow_lost_close(socket.deliver().await, final_bytes.len()),
                    Err(error) => Err(socket.lost(error)),
                },
                Err(error) => Err(given_up(&socket, error)),
            };
            drop(unsent);
            if delivered.is_ok() {
                counter.count();
            } else {
                metrics.ended_by_failure.count();
            }
            if let Some(report) = entry.report() {
                metrics.reported(report);
            }
            entry.log(delivered.as_ref().err());
            drop(entry);
            if let Some(stream) = delivered? {
                linger(stream).await;
            }
            Ok(())
        })
    }
}

/// The loss of a socket that failed, or was given up. What the system has taken by the time it is given up is still sent.
fn given_up(socket: &Socket<Accepted>, error: io::Error) -> Lost {
    let is_given_up = error.kind() == io::ErrorKind::Other;
    let lost = socket.lost(error);
    if is_given_up && socket.unsent() == 0 {
        return Lost { bytes: 0, ..lost };
    }
    lost
}

/// The longest Close frame of a server (RFC 6455 §5.5).
const MAX_CLOSE_FRAME: usize = 127;

/// A peer that has gone without the Close frame at the end has lost nothing.
fn allow_lost_close<S>(delivered: Result<S, Lost>, last_output: usize) -> Result<Option<S>, Lost> {
    match delivered {
        Err(lost) if last_output <= MAX_CLOSE_FRAME && lost.bytes <= last_output + END => Ok(None),
        delivered => delivered.map(Some),
    }
}
