//! What is granted to components that import WASI 0.2, as everything does that uses Rust's `std`.
//!
//! Granted are clocks, random numbers, and standard output and error, which go to the log (so that
//! the message of a guest's panic is found there). All else is present, because the standard library
//! imports it, and empty: no arguments, no input; no environment, no directories, no
//! sockets but what the operator gives. Requests to HTTP backends are as `outgoing` allows.

use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{WasiCtx, async_trait};

use crate::guest::wasi::Grants;
use crate::guest::wasi::http;
use crate::guest::wasi::state::State;

/// The interfaces that [`link`] provides, up to the version.
const PROVIDED: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// What a guest needs to ask HTTP backends; [`link`] provides it, too, and for whom is the policy's.
const HTTP: [&str; 2] = ["wasi:http/types@0.2.", "wasi:http/outgoing-handler@0.2."];

/// Whether the import of this name is among what [`link`] provides.
pub(crate) fn provides(import: &str) -> bool {
    is_http(import)
        || import.contains("@0.2.") && PROVIDED.iter().any(|prefix| import.starts_with(prefix))
}

/// Whether the import of this name is for asking HTTP backends.
pub(crate) fn is_http(import: &str) -> bool {
    HTTP.iter().any(|prefix| import.starts_with(prefix))
}

/// Links WASI 0.2 in its asynchronous form. The synchronous one waits by blocking the thread, and a
/// thread that runs tokio may not be blocked; with this one, a guest that waits is found out, be it for time, for a
/// socket or for a disk: see [`Patience`](crate::guest::file_wait::Patience).
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    http::link(linker)
}

/// The WASI context of one guest.
pub(crate) fn context(grants: &Grants) -> WasiCtx {
    let mut wasi = WasiCtx::builder();
    for directory in &grants.directories {
        directory.give(&mut wasi);
    }
    wasi.envs(&grants.environment)
        .stdout(LogStream::new("stdout"))
        .stderr(LogStream::new("stderr"))
        .socket_addr_check(may_connect(grants.tcp.clone()))
        .allow_tcp(true)
        .allow_udp(false)
        .build()
}

/// Outwards only, and to nobody else.
fn may_connect(
    servers: Vec<SocketAddr>,
) -> impl Fn(SocketAddr, SocketAddrUse) -> Pin<Box<dyn Future<Output = bool> + Send + Sync>> {
    move |address, purpose| {
        let is_named = |server: &SocketAddr| {
            server.ip() == address.ip() && (server.port() == address.port() || server.port() == 0)
        };
        let may = match purpose {
            SocketAddrUse::TcpConnect => servers.iter().any(is_named),
            // A connection has an end here, too, which the system chooses.
            SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
            _ => false,
        };
        if !may {
            tracing::warn!(
                "the guest's {purpose:?} of {address} is denied (--allow-tcp {address})"
            );
        }
        Box::pin(ready(may))
    }
}

/// How long a line may be until it is logged in parts, and how much may be written at once.
const MAX_LINE: usize = 8 * 1024;

/// Logs what is written to it, line by line, under the target `guest`.
#[derive(Clone)]
struct LogStream {
    name: &'static str,
    /// The line begun. Shared, since a guest may open the stream more than once.
    line: Arc<Mutex<Vec<u8>>>,
}

impl LogStream {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            line: Arc::default(),
        }
    }

    fn line(&self) -> MutexGuard<'_, Vec<u8>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, bytes: &[u8]) {
        let mut line = self.line();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            if part.ends_with(b"\n") || line.len() >= MAX_LINE {
                self.log(&line);
                line.clear();
            }
        }
    }

    fn log(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        // A guest must not write control sequences to the operator's terminal.
        let text = text.trim_end().replace(char::is_control, " ");
        if !text.is_empty() {
            tracing::info!(target: "guest", "{}: {text}", self.name);
        }
    }
}

impl Drop for LogStream {
    /// Logs the line that was begun and never ended.
    fn drop(&mut self) {
        if Arc::strong_count(&self.line) == 1 && !self.line().is_empty() {
            self.append(b"\n");
        }
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    /// Only WASI 0.3 asks for this, which is not linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.append(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_LINE)
    }
}

#[async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wasi_0_2_without_a_server_is_provided() {
        assert!(provides("wasi:cli/stderr@0.2.6"));
        assert!(provides("wasi:sockets/tcp@0.2.0"));
        assert!(provides("wasi:http/types@0.2.0"));
        assert!(!provides("wasi:http/incoming-handler@0.2.0"));
        assert!(!provides("wasi:http/types@0.3.0"));
        assert!(!provides("wasi:cli/stderr@0.3.0"));
        assert!(!provides("acme:cli/stderr@0.2.0"));
    }
}
