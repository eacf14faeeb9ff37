//! What becomes of connections when the component is replaced.

use std::time::Duration;

use clap::Args;
use wasocket_host::session::settings::{Refused, SwapSettings};

/// What becomes of connections when the component is replaced.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "New versions of the component (docs/live.md)")]
pub struct Swap {
    /// Time connections have to move to a new version of the component, which they do when they are at rest; after it,
    /// those that have not, as their functions wait for something, are closed with 1012
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub swap_grace: u64,
    /// What to do with connections whose state the new version refuses: `keep` the old version for them, or `close` them
    /// with 1012
    #[arg(long, value_name = "POLICY", default_value = "keep", value_parser = refused)]
    pub swap_refused: Refused,
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
