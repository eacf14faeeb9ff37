//! What happens to connections when the component or the runner is replaced.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use wasocket_host::session::settings::{Refused, SwapSettings};

/// What happens to connections when the component or the runner is replaced.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "New versions, of the component and of the runner (docs/live.md)")]
pub struct Swap {
    /// Time connections have to move to a new version of the component, which they do when they are at rest; those that
    /// have not by then, because their functions wait for something, are closed with 1012
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub swap_grace: u64,
    /// What to do with connections whose state the new version refuses: `keep` the old version for them, or `close` them
    /// with 1012
    #[arg(long, value_name = "POLICY", default_value = "keep", value_parser = refused)]
    pub swap_refused: Refused,
    /// A Unix socket in a folder that only this user may write to. If a runner waits there, this one takes over its listening
    /// sockets and connections, and that one exits; either way, this one then waits there itself. SIGUSR2 starts the program
    /// again, which takes over in the same way, with the options of that time
    #[arg(long, value_name = "unix:PATH")]
    pub take_over_from: Option<UnixPlace>,
}

/// A Unix socket, as `unix:PATH`.
#[derive(Clone, Debug)]
pub struct UnixPlace(pub PathBuf);

impl FromStr for UnixPlace {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Self(path.into())),
            _ => Err("expected unix:PATH, such as unix:/run/wasocket/handover.sock"),
        }
    }
}

impl Swap {
    pub(super) fn settings(&self) -> SwapSettings {
        SwapSettings {
            grace: Duration::from_secs(self.swap_grace),
            refused: self.swap_refused,
        }
    }
}

fn refused(text: &str) -> Result<Refused, &'static str> {
    match text {
        "keep" => Ok(Refused::Keep),
        "close" => Ok(Refused::Close),
        _ => Err("expected keep or close"),
    }
}
