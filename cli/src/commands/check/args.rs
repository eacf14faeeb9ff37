//! Arguments of `wasocket check`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use wasocket_host::guest::Limits;

use crate::parse::{memory, milliseconds};

pub(crate) const CHECK_HELP: &str = "\
Runs the vectors of tests/vectors, with the frames also cut at every byte, and checks that the component
keeps the contract in wit/websocket-handler.wit. The path should echo each message. What the component does
not negotiate or support is skipped, and the report says why.

Examples:
  wasocket check echo.wasm
  wasocket check chat.wasm --path '/room?name=x' --json

Exit codes:
  0    all passed
  1    some failed
  2    wrong usage, or a component that cannot be loaded or has no WebSocket at the path";

/// The options of `wasocket check`.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// The component
    pub component: PathBuf,
    /// The path of a WebSocket that echoes each message
    #[arg(long, default_value = "/echo", value_parser = path)]
    pub path: String,
    /// Print a JSON object with all cases
    #[arg(long)]
    pub json: bool,
    /// Compile the component again, and do not cache the result (in `$XDG_CACHE_HOME/wasocket`, or
    /// `~/.cache/wasocket`)
    #[arg(long)]
    pub no_cache: bool,
    /// Memory limit of an instance, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = memory())]
    pub memory: usize,
    /// CPU time that a call into an instance may use, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = milliseconds())]
    pub call_timeout: u64,
}

impl Check {
    /// The limits of each instance.
    pub fn limits(&self) -> Limits {
        Limits {
            memory: self.memory << 20,
            call_time: Duration::from_millis(self.call_timeout),
            ..Limits::default()
        }
    }
}

/// Parses a path with an optional query (RFC 9112 §3.2.1).
fn path(value: &str) -> Result<String, String> {
    let is_visible = value
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if value.starts_with('/') && is_visible {
        Ok(value.to_owned())
    } else {
        Err("expected a path, such as /echo or /room?name=x".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_with_a_slash() {
        for good in ["/", "/echo", "/a/b?c=%20"] {
            assert!(path(good).is_ok(), "{good}");
        }
        for bad in ["", "echo", "/a b", "/a#b", "ws://a/b", "/\u{e9}"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }
}
