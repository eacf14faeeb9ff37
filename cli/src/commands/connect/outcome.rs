//! How a connection ended, and whether that is a failure.

use std::fmt;
use std::io::{self, Write};

use wasocket_host::bindings::{Closed, Refused};
use wasocket_host::net::dial::error::printable;

use super::ConnectError;
use crate::commands::connect::args::Connect;

/// RFC 6455 §7.4.1: "the purpose for which the connection was established has been fulfilled".
pub(super) const NORMAL: u16 = 1000;
/// RFC 6455 §7.4.1: "an endpoint is 'going away'".
pub(super) const GOING_AWAY: u16 = 1001;
/// RFC 6455 §7.4.1: stands for a Close frame without a code.
const NO_STATUS: u16 = 1005;
/// RFC 6455 §7.4.1: "a message that is too big".
const TOO_BIG: u16 = 1009;

/// How a connection ended.
pub(super) enum Outcome {
    Refused(Refused),
    Closed(Closed),
    /// The server did not answer a ping.
    Silent,
    /// A message exceeded our limit.
    TooBig,
    /// stdin cannot be sent.
    Input(String),
}

impl Outcome {
    /// What the component's word for the end means. `was_open`: the closing handshake had not begun.
    pub(super) fn of(closed: Closed, was_open: bool) -> Self {
        match closed {
            Closed::TimedOut if was_open => Self::Silent,
            Closed::Failed(reason) if reason.code == TOO_BIG => Self::TooBig,
            closed => Self::Closed(closed),
        }
    }

    /// Notes a normal end; every other is an error.
    pub(super) fn judge(self, options: &Connect, quiet: bool) -> Result<(), ConnectError> {
        match self {
            Self::Closed(Closed::Handshake(None)) => note(quiet, format_args!("closed")),
            Self::Closed(Closed::Handshake(Some(reason)))
                if matches!(reason.code, NORMAL | GOING_AWAY | NO_STATUS) =>
            {
                let text = printable(&reason.reason);
                let gap = if text.is_empty() { "" } else { ": " };
                note(
                    quiet,
                    format_args!("closed with {}{gap}{text}", reason.code),
                );
            }
            Self::Closed(closed) => return Err(ConnectError::Closed(closed)),
            Self::Refused(refused) => return Err(ConnectError::Refused(refused)),
            Self::Silent => return Err(ConnectError::Silent(options.keepalive)),
            Self::TooBig => return Err(ConnectError::TooBig(options.max_message)),
            Self::Input(error) => return Err(ConnectError::Input(error)),
        }
        Ok(())
    }
}

/// Writes to stderr, ignoring failures.
pub(super) fn note(quiet: bool, text: fmt::Arguments<'_>) {
    if !quiet {
        let _ = writeln!(io::stderr(), "{text}");
    }
}
