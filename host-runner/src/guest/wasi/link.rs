//! Linking of WASI 0.2, which every component imports that uses Rust's `std`.
//!
//! Components get clocks, random numbers, and standard output and error, which go to the log (where a guest's panic
//! message is found too). Everything else is present, because the standard library imports it, but empty: no arguments,
//! no input, and no environment, directories or sockets except what the operator grants. HTTP backends are subject to
//! the policy in `allowed`.

use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::filesystem::WasiFilesystemView as _;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode as FileError, HostDescriptor as _, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult, TcpSocket};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsView as _};
use wasmtime_wasi::{WasiCtx, async_trait};

use crate::guest::wasi::Grants;
use crate::guest::wasi::http;
use crate::guest::wasi::state::State;

/// The interfaces that [`link`] provides, without the patch version.
const PROVIDED: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// The interfaces for requests to HTTP backends, which [`link`] provides subject to the policy.
const HTTP: [&str; 2] = ["wasi:http/types@0.2.", "wasi:http/outgoing-handler@0.2."];

/// Whether [`link`] provides the import of this name.
pub(crate) fn provides(import: &str) -> bool {
    is_http(import)
        || import.contains("@0.2.") && PROVIDED.iter().any(|prefix| import.starts_with(prefix))
}

/// Whether the import of this name is for requests to HTTP backends.
pub(crate) fn is_http(import: &str) -> bool {
    HTTP.iter().any(|prefix| import.starts_with(prefix))
}

/// Links WASI 0.2 in its asynchronous form. The synchronous one blocks the thread to wait, which a thread that runs tokio
/// must not do; with this one, any wait of a guest is detected, be it for time, a socket or a disk: see
/// [`FileWait`](crate::guest::file_wait::FileWait).
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    link_sockets(linker)?;
    link_files(linker)?;
    linker.allow_shadowing(false);
    http::link(linker)
}

/// Has sockets made only while there are files for them.
fn link_sockets(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut sockets = linker.instance("wasi:sockets/tcp-create-socket@0.2.12")?;
    sockets.func_wrap(
        "create-tcp-socket",
        |mut store: StoreContextMut<'_, State>, (family,)| {
            Ok((create_socket(store.data_mut(), family)?,))
        },
    )?;
    Ok(())
}

/// What `open-at` is called with.
type OpenAt = (
    Resource<Descriptor>,
    PathFlags,
    String,
    OpenFlags,
    DescriptorFlags,
);

/// Has files opened only while there is room for them.
fn link_files(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut files = linker.instance("wasi:filesystem/types@0.2.12")?;
    files.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store: StoreContextMut<'_, State>, opened: OpenAt| {
            Box::new(async move { Ok((open_at(store.data_mut(), opened).await?,)) })
        },
    )
}

async fn open_at(
    state: &mut State,
    (folder, path_flags, path, open_flags, flags): OpenAt,
) -> wasmtime::Result<Result<Resource<Descriptor>, FileError>> {
    if !state.grants.files.have_room() {
        return Ok(Err(FileError::Quota));
    }
    let mut files = state.filesystem();
    let opened = files.open_at(folder, path_flags, path, open_flags, flags);
    match opened.await {
        Ok(file) => Ok(Ok(file)),
        Err(error) => Ok(Err(error.downcast()?)),
    }
}

fn create_socket(
    state: &mut State,
    family: IpAddressFamily,
) -> wasmtime::Result<Result<Resource<TcpSocket>, ErrorCode>> {
    if !state.grants.files.have_room() {
        return Ok(Err(ErrorCode::NewSocketLimit));
    }
    match state.sockets().create_tcp_socket(family) {
        Ok(socket) => Ok(Ok(socket)),
        Err(error) => Ok(Err(error.downcast()?)),
    }
}

/// The WASI context of one guest.
pub(crate) fn context(grants: &Grants) -> WasiCtx {
    let mut wasi = WasiCtx::builder();
    for directory in &grants.directories {
        directory.mount(&mut wasi);
    }
    wasi.envs(&grants.environment)
        .stdout(LogStream::new("stdout"))
        .stderr(LogStream::new("stderr"))
        .socket_addr_check(may_connect(grants.tcp.clone()))
        .allow_tcp(true)
        .allow_udp(false)
        .build()
}

/// Allows outgoing connections to the granted addresses only.
fn may_connect(
    servers: Vec<SocketAddr>,
) -> impl Fn(SocketAddr, SocketAddrUse) -> Pin<Box<dyn Future<Output = bool> + Send + Sync>> {
    move |address, purpose| {
        let is_named = |server: &SocketAddr| {
            server.ip() == address.ip() && (server.port() == address.port() || server.port() == 0)
        };
        let may = match purpose {
            SocketAddrUse::TcpConnect => servers.iter().any(is_named),
            // The local end of a connection, which the system chooses.
            SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
            _ => false,
        };
        if !may {
            tracing::warn!("denied the guest's {purpose:?} of {address} (--allow-tcp {address})");
        }
        Box::pin(ready(may))
    }
}

/// The longest line to log in one piece, and the most bytes of one write.
const MAX_LINE: usize = 8 * 1024;

/// Logs what is written to it, line by line, under the target `guest`.
#[derive(Clone)]
struct LogStream {
    name: &'static str,
    /// The incomplete line. Shared, since a guest may open the stream more than once.
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
        // Control sequences of a guest must not reach the operator's terminal.
        let text = text.trim_end().replace(char::is_control, " ");
        if !text.is_empty() {
            tracing::info!(target: "guest", "{}: {text}", self.name);
        }
    }
}

impl Drop for LogStream {
    /// Logs a last line that has no line break.
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

    /// Only used by WASI 0.3, which is not linked.
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
    fn provides_wasi_0_2_without_server_interfaces() {
        assert!(provides("wasi:cli/stderr@0.2.6"));
        assert!(provides("wasi:sockets/tcp@0.2.0"));
        assert!(provides("wasi:http/types@0.2.0"));
        assert!(!provides("wasi:http/incoming-handler@0.2.0"));
        assert!(!provides("wasi:http/types@0.3.0"));
        assert!(!provides("wasi:cli/stderr@0.3.0"));
        assert!(!provides("acme:cli/stderr@0.2.0"));
    }
}
