//! Arguments of `wasocket publish`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use wasocket_host::net::dial::url::Url;

use crate::parse::seconds;

pub(crate) const PUBLISH_HELP: &str = "\
The server is one that was started with --admin. Its admin address is asked to publish, so that all
subscribers of the topic get the message, on every runner of its bus. Without MESSAGE, all of stdin is one
message; with --lines each line is one, published as it arrives.

Examples:
  wasocket publish http://127.0.0.1:9090 chat/42 'Maintenance at noon'
  wasocket publish unix:/run/wasocket/admin.sock prices <quote.json
  tail -f news.log | wasocket publish https://admin.example news --lines --token-file token

Exit codes:
  0  published
  1  not published, or not to everybody: the reason is on stderr
  2  wrong usage";

/// The options of `wasocket publish`.
#[derive(Clone, Debug, Args)]
pub struct Publish {
    /// The admin address of a server: `http://HOST:PORT`, or `https://` behind a proxy with TLS, or `unix:PATH`
    pub server: Server,
    /// The topic
    pub topic: String,
    /// The message. Default: stdin
    pub message: Option<String>,
    /// Publish as binary; otherwise a message is text
    #[arg(long)]
    pub binary: bool,
    /// Publish each line of stdin as a message
    #[arg(long, conflicts_with_all = ["message", "binary"])]
    pub lines: bool,
    /// File with the token that the server wants (its --admin-token-file)
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Time limit to reach the server, and for each answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = seconds())]
    pub timeout: u64,
    /// DANGEROUS: accept any certificate. Anyone on the path can read and change everything
    #[arg(long)]
    pub insecure: bool,
}

/// Where an admin endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// A URL.
    Url(Url),
    /// A Unix socket.
    Unix(PathBuf),
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("expected a path after unix:".to_owned()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => match text.parse::<Url>() {
                Ok(url) => Ok(Self::Url(url)),
                Err(_) => Err("expected http://HOST:PORT, https://HOST or unix:PATH".to_owned()),
            },
        }
    }
}
