//! The options of `serve` that are about sockets.

use clap::Args;

use crate::hosts::AllowedHost;
use crate::listener::Listen;

/// Where connections come from, and for whom.
#[derive(Clone, Debug, Args)]
pub struct Sockets {
    /// Where to listen: ADDRESS:PORT, where port 0 is any free port; `unix:PATH`, a socket for this user
    /// alone; or `systemd`, the sockets that it passes. May be repeated
    #[arg(long, value_name = "PLACE", default_value = "127.0.0.1:1234")]
    pub listen: Vec<Listen>,
    /// A host to serve, as requests name it; `*.NAME` and `*` stand for more. May be repeated [default: any;
    /// on loopback addresses alone, loopback names]
    #[arg(long, value_name = "NAME[:PORT]")]
    pub allow_host: Vec<AllowedHost>,
}
