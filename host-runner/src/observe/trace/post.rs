//! A POST request to a collector, over HTTP/1.1 and optionally TLS.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use super::endpoint::Endpoint;
use crate::net::dial::transport;

/// Timeout of each step.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest head of a response that is read, in bytes.
const MAX_HEAD: u64 = 16 * 1024;

/// Why a collector has not accepted spans.
#[derive(Debug)]
pub(super) enum Failure {
    /// It cannot be reached, and retrying will not help.
    Unusable(String),
    /// The connection failed.
    Io(io::Error),
    /// It responded with this status, and named the time to wait before a retry.
    Status(u16, Option<Duration>),
}

impl Failure {
    /// Whether to retry, according to OTLP's specification.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unusable(_) => false,
            Self::Io(_) => true,
            Self::Status(status, _) => matches!(status, 429 | 502 | 503 | 504),
        }
    }

    /// The time the collector asked to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status(_, after) => *after,
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(error) => f.write_str(error),
            Self::Io(error) => error.fmt(f),
            Self::Status(status, _) => write!(f, "it answered {status}"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// TLS or TCP.
trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

/// Sends a batch on a connection of its own: there is at most one per second, and the connection is never stale.
pub(super) fn post(endpoint: &Endpoint, body: &[u8]) -> Result<(), Failure> {
    let mut stream = connect(endpoint)?;
    stream.write_all(&head(endpoint, body.len()))?;
    stream.write_all(body)?;
    stream.flush()?;
    match answer(stream)? {
        (200..300, _) => Ok(()),
        (status, after) => Err(Failure::Status(status, after)),
    }
}

fn connect(endpoint: &Endpoint) -> Result<Box<dyn Connection>, Failure> {
    let stream = tcp(endpoint)?;
    if !endpoint.is_secure {
        return Ok(Box::new(stream));
    }
    let unusable = |error: &dyn fmt::Display| Failure::Unusable(error.to_string());
    let config = transport::trusting_the_system().map_err(|error| unusable(&error))?;
    let name = ServerName::try_from(endpoint.host().to_owned());
    let name = name.map_err(|error| unusable(&error))?;
    let session = ClientConnection::new(config, name).map_err(|error| unusable(&error))?;
    Ok(Box::new(StreamOwned::new(session, stream)))
}

fn tcp(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let mut outcome = Err(io::ErrorKind::NotFound.into());
    for address in (endpoint.host(), endpoint.port()).to_socket_addrs()? {
        outcome = TcpStream::connect_timeout(&address, TIMEOUT);
        if outcome.is_ok() {
            break;
        }
    }
    let stream = outcome?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

fn head(endpoint: &Endpoint, length: usize) -> Vec<u8> {
    let Endpoint {
        authority, path, ..
    } = endpoint;
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n"
    )
    .into_bytes();
    for (name, value) in &endpoint.fields {
        head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    head
}

/// The status and the seconds of `Retry-After` (RFC 9110 §10.2.3). A date there is ignored.
fn answer(stream: impl Read) -> io::Result<(u16, Option<Duration>)> {
    let malformed = || io::Error::other("its response is not HTTP/1.1");
    let mut lines = BufReader::new(stream.take(MAX_HEAD)).split(b'\n');
    let mut next = || -> io::Result<String> {
        let line = lines.next().transpose()?.ok_or_else(malformed)?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    };
    let first = next()?;
    let status = first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1)?.parse().ok())
        .ok_or_else(malformed)?;
    let mut after = None;
    loop {
        let line = next()?;
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("retry-after") => {
                after = value.trim().parse().ok().map(Duration::from_secs);
            }
            _ if line.is_empty() => return Ok((status, after)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_responses_to_the_end_of_their_head() {
        let read = |text: &str| answer(text.as_bytes()).ok();
        assert_eq!(read("HTTP/1.1 200 OK\r\n\r\n{}"), Some((200, None)));
        let busy = "HTTP/1.0 503\r\nServer: a\r\nretry-after: 7\r\n\r\n";
        assert_eq!(read(busy), Some((503, Some(Duration::from_secs(7)))));
        let dated = "HTTP/1.1 429 x\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
        assert_eq!(read(dated), Some((429, None)));
        let endless = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(20_000));
        for bad in [
            "",
            "HTTP/1.1 200",
            "HTTP/2 200\r\n\r\n",
            "SSH-2.0\r\n\r\n",
            &endless,
        ] {
            assert_eq!(read(bad), None, "{bad:.40}");
        }
    }

    #[test]
    fn retries_what_the_specification_names() {
        let may_pass = |status| Failure::Status(status, None).may_pass();
        assert!([429, 502, 503, 504].into_iter().all(may_pass));
        assert!(
            ![301, 400, 401, 404, 413, 500, 501]
                .into_iter()
                .any(may_pass)
        );
    }
}
