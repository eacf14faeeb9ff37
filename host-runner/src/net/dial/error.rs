//! Why a server cannot be reached.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio_rustls::rustls;

use crate::net::tls::is_ca_used_as_end_entity;

/// Why a server cannot be reached.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransportError {
    /// This name of the server has no address that can be found.
    Name(String, io::Error),
    /// The server at this address cannot be connected to.
    Tcp(String, io::Error),
    /// The server's host has only addresses that must not be connected to.
    Prohibited(String),
    /// The proxy at this address cannot be connected to.
    NoProxy(String, io::Error),
    /// The proxy did not open a tunnel to the server.
    Proxy(ProxyError),
    /// TLS failed, usually because of the certificate.
    Tls(io::Error),
    /// The system has no trusted certificates.
    NoRoots,
    /// This stage had not ended when the time for all of them was up.
    TimedOut(Stage, Duration),
}

/// A stage of connecting whose time can run out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Stage {
    /// Looking up this name.
    Name(String),
    /// Waiting for the proxy's answer.
    Proxy,
    /// The TLS handshake.
    Tls,
}

/// Why a proxy did not open a tunnel.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// The connection to it failed.
    Io(io::Error),
    /// It sent this response.
    Refused(String),
}

impl From<io::Error> for ProxyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Refused(answer) if answer.is_empty() => {
                write!(f, "it closed the connection without a response")
            }
            Self::Refused(answer) => write!(f, "it answered\n{}", printable(answer)),
        }
    }
}

impl std::error::Error for ProxyError {}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name, error) => write!(f, "cannot look up {name}: {error}"),
            Self::Tcp(place, error) => {
                write!(f, "cannot connect to {place}: {error}{}", hint(error))
            }
            Self::Prohibited(place) => write!(
                f,
                "{place} is not a public address, which only hosts named in full may have"
            ),
            Self::NoProxy(place, error) => {
                write!(f, "cannot connect to the proxy {place}: {error}")
            }
            Self::Proxy(error) => write!(f, "the proxy did not open a tunnel: {error}"),
            Self::Tls(error) => write!(f, "TLS failed: {error}{}", tls_hint(error)),
            Self::NoRoots => write!(
                f,
                "the system has no trusted certificates: install the package ca-certificates, or \
                 name a file of them in SSL_CERT_FILE"
            ),
            Self::TimedOut(stage, time) => {
                write!(f, "{stage} within {} s", time.as_secs_f64())
            }
        }
    }
}

impl std::error::Error for TransportError {}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "no name server has answered where {name} is"),
            Self::Proxy => f.write_str("the proxy has not answered"),
            Self::Tls => f.write_str("the server has not answered with TLS"),
        }
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => " (nothing listens there)",
        io::ErrorKind::TimedOut => " (a firewall in between? --timeout waits longer)",
        _ => "",
    }
}

fn tls_hint(error: &io::Error) -> &'static str {
    // The server closed the connection instead of answering.
    if matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
    ) {
        return " (does the server speak TLS? If not: ws://)";
    }
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(error) if is_ca_used_as_end_entity(error) => {
            " (the server's own certificate is one of an authority, CA:TRUE: make it with -addext \
             basicConstraints=critical,CA:FALSE, or use --insecure, which accepts any certificate)"
        }
        Some(rustls::Error::InvalidCertificate(_)) => {
            " (SSL_CERT_FILE names a file of certificates to trust instead; --insecure accepts any certificate)"
        }
        Some(rustls::Error::InvalidMessage(_)) => " (does the server speak TLS? If not: ws://)",
        _ => "",
    }
}

/// A peer's text, with the characters replaced that would control the terminal.
pub fn printable(text: &str) -> String {
    let visible = |char: char| {
        if char.is_control() && !matches!(char, '\n' | '\t') {
            '\u{fffd}'
        } else {
            char
        }
    };
    text.replace("\r\n", "\n").chars().map(visible).collect()
}
