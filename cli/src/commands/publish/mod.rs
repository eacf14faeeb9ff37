//! The command `publish`: publishes to a topic of a running server, through its admin endpoint.

pub mod args;
mod client;

use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use wasocket_host::net::dial::error::TransportError;

use crate::commands::publish::args::Publish;
use crate::parse::token_file;
use client::Client;

/// Publishes.
///
/// # Errors
///
/// See [`PublishFailure`].
pub fn publish(options: &Publish) -> Result<(), PublishFailure> {
    let token = options.token_file.as_deref().map(token_file);
    let token = token.transpose().map_err(PublishFailure::Token)?;
    let token = token.map(|(text, _)| text);
    let message = message(options)?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let outcome = runtime.block_on(async {
        let mut client = Client::connect(options, token).await?;
        match message {
            Some(message) => client.publish(message).await,
            None => publish_lines(&mut client).await,
        }
    });
    // A name look-up or the reading of stdin may still be running, and cannot be cancelled.
    runtime.shutdown_background();
    outcome
}

/// The one message; `None` if there are lines.
fn message(options: &Publish) -> io::Result<Option<Bytes>> {
    if options.lines {
        return Ok(None);
    }
    if let Some(message) = &options.message {
        return Ok(Some(message.clone().into()));
    }
    let mut all = Vec::new();
    io::stdin().lock().read_to_end(&mut all)?;
    Ok(Some(all.into()))
}

async fn publish_lines(client: &mut Client) -> Result<(), PublishFailure> {
    // One line waits while another is published.
    let (sender, mut lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lines() {
            let is_last = line.is_err();
            if sender.blocking_send(line).is_err() || is_last {
                return;
            }
        }
    });
    while let Some(line) = lines.recv().await {
        client.publish(line?.into()).await?;
    }
    Ok(())
}

/// Why a message was not published.
#[derive(Debug)]
pub enum PublishFailure {
    /// There is no token in its file.
    Token(String),
    /// The server cannot be reached.
    Transport(TransportError),
    /// The server cannot be reached at this path.
    Unix(PathBuf, io::Error),
    /// The server has not answered in time.
    TimedOut(Duration),
    /// The server has answered something else than HTTP/1.1, or nothing.
    Http(hyper::Error),
    /// The request cannot be made.
    Request(http::Error),
    /// The server has refused, with this text.
    Refused(StatusCode, String),
    /// Another system call failed, such as one that reads stdin.
    System(io::Error),
}

impl fmt::Display for PublishFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(problem) => write!(f, "no token: {problem}"),
            Self::Transport(error) => error.fmt(f),
            Self::Unix(path, error) => write!(
                f,
                "cannot connect to {}: {error}: is it the --admin of a running server?",
                path.display()
            ),
            Self::TimedOut(time) => {
                let seconds = time.as_secs();
                write!(f, "no answer in {seconds} seconds (--timeout)")
            }
            Self::Http(error) => write!(
                f,
                "no valid answer: {error}: is this the --admin address of a server?"
            ),
            Self::Request(error) => write!(f, "cannot make the request: {error}"),
            Self::Refused(StatusCode::NOT_FOUND, _) => f.write_str(
                "the server knows no topics here: give the --admin address, not the public one",
            ),
            Self::Refused(StatusCode::UNAUTHORIZED, _) => {
                f.write_str("the server wants its token: --token-file")
            }
            Self::Refused(status, text) => write!(f, "not published ({status}): {text}"),
            Self::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PublishFailure {}

impl From<TransportError> for PublishFailure {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl From<hyper::Error> for PublishFailure {
    fn from(error: hyper::Error) -> Self {
        Self::Http(error)
    }
}

impl From<http::Error> for PublishFailure {
    fn from(error: http::Error) -> Self {
        Self::Request(error)
    }
}

impl From<io::Error> for PublishFailure {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}
