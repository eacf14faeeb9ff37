use std::fmt;
use std::io;

use http::StatusCode;

use wasocket_host::bindings::{Closed, Refused};
use wasocket_host::component::LoadError;
use wasocket_host::guest::GuestFault;
use wasocket_host::net::dial::error::{TransportError, printable};
use wasocket_host::net::dial::proxy::ProxyUrlError;
use wasocket_host::process::os_signals::Signal;

/// Why `connect` failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// This machine cannot run wasmtime.
    Engine(wasmtime::Error),
    /// The component does not fit this runner.
    Load(LoadError),
    /// The component failed.
    Guest(GuestFault),
    /// A system call failed.
    System(io::Error),
    /// The proxy's URL is invalid.
    Proxy(ProxyUrlError),
    /// The request cannot be sent, for this reason.
    Request(String),
    /// The server cannot be reached.
    Transport(TransportError),
    /// The server did not open a WebSocket.
    Refused(Refused),
    /// The connection failed.
    Broken(io::Error),
    /// The connection was not closed normally.
    Closed(Closed),
    /// The server answered no ping, after this many seconds of silence.
    Silent(u64),
    /// A message exceeded this limit of ours, in MiB.
    TooBig(Option<u64>),
    /// Nothing arrived after the last message was sent.
    Unanswered,
    /// stdin cannot be sent.
    Input(String),
    /// Messages cannot be printed.
    Stdout(io::Error),
    /// A signal closed the connection.
    Interrupted(Signal),
}

impl ConnectError {
    /// The exit code, as documented in `wasocket connect --help`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Engine(_)
            | Self::Load(_)
            | Self::System(_)
            | Self::Transport(_)
            | Self::Refused(_)
            | Self::Input(_)
            | Self::Stdout(_) => 1,
            Self::Proxy(_) | Self::Request(_) => 2,
            Self::Guest(_)
            | Self::Broken(_)
            | Self::Closed(_)
            | Self::Silent(_)
            | Self::TooBig(_) => 3,
            Self::Unanswered => 4,
            Self::Interrupted(signal) => signal.exit_code(),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => write!(f, "wasmtime cannot start: {error:#}"),
            Self::Load(error) => write!(f, "the embedded component: {error}"),
            Self::Guest(fault) => fault.fmt(f),
            Self::System(error) => error.fmt(f),
            Self::Proxy(error) => error.fmt(f),
            Self::Request(reason) => write!(f, "cannot send the request: {reason}"),
            Self::Transport(error @ TransportError::TimedOut(..)) => {
                write!(f, "{error} (--timeout sets a longer time)")
            }
            Self::Transport(error) => error.fmt(f),
            Self::Refused(refused) => describe_refusal(refused, f),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Closed(closed) => describe_close(closed, f),
            Self::Silent(seconds) => write!(
                f,
                "the server was silent for {seconds} s and did not answer a ping (1006; --keepalive 0 waits forever)"
            ),
            Self::TooBig(limit) => {
                let limit = limit.unwrap_or_default();
                write!(
                    f,
                    "a message is longer than our --max-message of {limit} MiB: closed with 1009"
                )
            }
            Self::Unanswered => write!(
                f,
                "no answer came (--wait SECONDS waits longer, --wait 0 expects none)"
            ),
            Self::Input(reason) => f.write_str(reason),
            Self::Stdout(error) => write!(f, "cannot write to stdout: {error}"),
            Self::Interrupted(signal) => write!(f, "interrupted by {signal}"),
        }
    }
}

/// What is wrong, and the server's response.
fn describe_refusal(refused: &Refused, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "no WebSocket: {}", printable(&refused.reason))?;
    let Some(response) = &refused.response else {
        return Ok(());
    };
    let status = response.head.status;
    let reason = StatusCode::from_u16(status).ok();
    let reason = reason.and_then(|status| status.canonical_reason());
    write!(f, "\nHTTP {status} {}", reason.unwrap_or_default())?;
    for (name, value) in &response.head.fields {
        if name.eq_ignore_ascii_case("location") {
            let place = String::from_utf8_lossy(value);
            write!(f, "\nLocation: {}", printable(&place))?;
        }
    }
    let Some(body) = text(&response.body) else {
        return write!(f, "\n(a body that is not text)");
    };
    match printable(body).trim_end() {
        "" => Ok(()),
        body => write!(f, "\n{body}"),
    }
}

/// A body as text, if it is text. Its end may be missing, in the middle of a character.
fn text(body: &[u8]) -> Option<&str> {
    match str::from_utf8(body) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => {
            str::from_utf8(body.get(..error.valid_up_to())?).ok()
        }
        Err(_) => None,
    }
}

fn describe_close(closed: &Closed, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match closed {
        Closed::Handshake(Some(reason)) => {
            let text = printable(&reason.reason);
            let gap = if text.is_empty() { "" } else { ": " };
            let limit = match reason.code {
                1009 => " (a message exceeds its limit)",
                _ => "",
            };
            write!(
                f,
                "the server closed with {}{limit}{gap}{text}",
                reason.code
            )
        }
        Closed::Handshake(None) => write!(f, "the server closed without a code"),
        Closed::Failed(reason) => write!(
            f,
            "the server violated the protocol, closed with {}: {}",
            reason.code,
            printable(&reason.reason)
        ),
        Closed::EndOfStream => write!(f, "the connection ended without a Close frame (1006)"),
        Closed::TimedOut => write!(
            f,
            "the server did not answer the Close frame in time (1006)"
        ),
    }
}

impl std::error::Error for ConnectError {}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<LoadError> for ConnectError {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}

impl From<GuestFault> for ConnectError {
    fn from(fault: GuestFault) -> Self {
        Self::Guest(fault)
    }
}

impl From<ProxyUrlError> for ConnectError {
    fn from(error: ProxyUrlError) -> Self {
        Self::Proxy(error)
    }
}

impl From<TransportError> for ConnectError {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}
