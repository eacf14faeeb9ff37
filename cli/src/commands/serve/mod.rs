//! The command `serve`.

pub mod args;
mod network;
mod sockets;
pub mod swap;
mod topics;

use std::fmt;

use wasocket_host::server::serve::{ServeError, serve as serve_config};

use crate::commands::serve::args::Serve;

/// Serves until a signal stops it.
///
/// # Errors
///
/// See [`ServeFailure`].
pub fn serve(arguments: Serve) -> Result<(), ServeFailure> {
    let config = arguments.into_config()?;
    serve_config(config).map_err(ServeFailure::Server)
}

/// Why `serve` failed.
#[derive(Debug)]
pub enum ServeFailure {
    /// The environment has an invalid endpoint for traces.
    Traces(String),
    /// There is no token for the admin endpoint in its file.
    Admin(String),
    /// The bus cannot be set up so.
    Bus(String),
    /// The server failed.
    Server(ServeError),
}

impl ServeFailure {
    /// The exit code of the process.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Traces(_) | Self::Admin(_) | Self::Bus(_) => 1,
            Self::Server(error) => error.exit_code(),
        }
    }
}

impl fmt::Display for ServeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Traces(problem) => write!(f, "cannot send traces: {problem}"),
            Self::Admin(problem) => write!(f, "no token (--admin-token-file): {problem}"),
            Self::Bus(problem) => write!(f, "cannot use the bus: {problem}"),
            Self::Server(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ServeFailure {}
