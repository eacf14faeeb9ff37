//! The listening sockets.

use std::env;
use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::str::FromStr;
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::net::peer::Peer;
use crate::net::stream::accepted::Accepted;

/// How many connections the system may keep waiting to be accepted.
const BACKLOG: i32 = 1024;

/// The first descriptor that systemd passes (`sd_listen_fds(3)`), and how many are taken at most.
const FIRST_PASSED: i32 = 3;
const MAX_PASSED: i32 = 64;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address such as `127.0.0.1:1234` or `localhost:0`.
    Address(String),
    /// A Unix socket at this path.
    Unix(PathBuf),
    /// On all sockets that systemd passes.
    Systemd,
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text.strip_prefix("unix:") {
            Some("") => Err("expected a path behind unix:, such as unix:/run/app.sock"),
            Some(path) => Ok(Self::Unix(path.into())),
            None if text == "systemd" => Ok(Self::Systemd),
            None if is_address(text) => Ok(Self::Address(text.to_owned())),
            None => Err(
                "expected ADDRESS:PORT, such as 127.0.0.1:1234, [::1]:1234 or \
                 localhost:1234; or unix:PATH; or systemd",
            ),
        }
    }
}

/// An IP address or a host name, and a port. Names are looked up when the socket is made.
pub fn is_address(text: &str) -> bool {
    let is_named = |(host, port): (&str, &str)| {
        !host.is_empty() && !host.contains([':', '[', ']']) && port.parse::<u16>().is_ok()
    };
    text.parse::<SocketAddr>().is_ok() || text.rsplit_once(':').is_some_and(is_named)
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd => f.write_str("systemd"),
        }
    }
}

/// A place that is listened on, by all workers.
#[derive(Debug)]
pub struct Bound {
    address: SockAddr,
    /// One for each worker. Of TCP each is its own, and the system spreads connections over them
    /// (`SO_REUSEPORT`, socket(7)); of others they are copies of one, which whoever is free accepts from.
    sockets: Vec<Socket>,
    /// The file of a Unix socket, if it is ours.
    file: Option<SocketFile>,
}

impl Bound {
    /// Copies of a socket that listens already, or is about to.
    fn copies(socket: Socket, file: Option<SocketFile>, workers: usize) -> io::Result<Self> {
        let further = (1..workers).map(|_| socket.try_clone());
        let mut sockets = further.collect::<io::Result<Vec<_>>>()?;
        let address = socket.local_addr()?;
        sockets.push(socket);
        Self::listen(address, sockets, file)
    }

    fn listen(
        address: SockAddr,
        sockets: Vec<Socket>,
        file: Option<SocketFile>,
    ) -> io::Result<Self> {
        for socket in &sockets {
            socket.set_nonblocking(true)?;
            socket.listen(BACKLOG)?;
        }
        Ok(Self {
            address,
            sockets,
            file,
        })
    }

    /// The address. A Unix socket has none.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address.as_socket()
    }

    /// What to open: `http://127.0.0.1:1234/`, or `unix:/run/app.sock`. `secure`: TCP is with TLS.
    pub fn place(&self, secure: bool) -> String {
        let scheme = if secure { "https" } else { "http" };
        match self.address.as_socket() {
            Some(address) => format!("{scheme}://{address}/"),
            None => {
                let path = self.address.as_pathname().unwrap_or(Path::new(""));
                format!("unix:{}", path.display())
            }
        }
    }
}

/// What of these places is each worker's, and the files to keep for as long as they accept.
pub fn deal(places: Vec<Bound>, workers: usize) -> (Vec<Vec<Socket>>, Vec<SocketFile>) {
    let mut hands: Vec<Vec<Socket>> = (0..workers).map(|_| Vec::new()).collect();
    let mut files = Vec::new();
    for place in places {
        for (hand, socket) in hands.iter_mut().zip(place.sockets) {
            hand.push(socket);
        }
        files.extend(place.file);
    }
    (hands, files)
}

/// A listening socket, in the runtime of its worker.
#[derive(Debug)]
pub enum Listener {
    /// For TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Listener {
    pub(crate) fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Accepted, Peer)>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(context).map_ok(|(stream, remote)| {
                // Every write is a whole answer; there is nothing to wait for. If it fails, the
                // connection is broken, and reading says so.
                let _ = stream.set_nodelay(true);
                (Accepted::Tcp(stream), remote.into())
            }),
            Self::Unix(listener) => listener
                .poll_accept(context)
                .map_ok(|(stream, _)| (Accepted::Unix(stream), Peer::LOCAL)),
        }
    }
}

impl TryFrom<Socket> for Listener {
    type Error = io::Error;

    /// Takes a socket that listens into the runtime. Within a tokio runtime only.
    fn try_from(socket: Socket) -> io::Result<Self> {
        Ok(match socket.local_addr()?.is_unix() {
            true => Self::Unix(UnixListener::from_std(socket.into())?),
            false => Self::Tcp(TcpListener::from_std(socket.into())?),
        })
    }
}

/// Listens, for so many workers, at least one.
///
/// # Errors
///
/// When one of the places cannot be listened on.
pub fn bind(places: &[Listen], workers: usize) -> Result<Vec<Bound>, ListenError> {
    let mut all = Vec::new();
    for place in places {
        let bound = match place {
            Listen::Address(address) => bind_tcp(address, workers).map(|bound| vec![bound]),
            Listen::Unix(path) => bind_unix(path, workers).map(|bound| vec![bound]),
            Listen::Systemd => passed(workers),
        };
        all.extend(bound.map_err(|error| ListenError {
            place: place.clone(),
            error,
        })?);
    }
    Ok(all)
}

fn bind_tcp(address: &str, workers: usize) -> io::Result<Bound> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for candidate in address.to_socket_addrs()? {
        match bind_all(candidate, workers) {
            Ok(bound) => return Ok(bound),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The first finds the port free, or finds a free port: only then it is shared. So the second runner of a user
/// fails here instead of getting half of the first one's connections.
fn bind_all(address: SocketAddr, workers: usize) -> io::Result<Bound> {
    let first = bind_one(address, false)?;
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    if workers > 1 {
        let address = bound.as_socket().unwrap_or(address);
        sockets
            .iter()
            .try_for_each(|first| first.set_reuse_port(true))?;
        for _ in 1..workers {
            sockets.push(bind_one(address, true)?);
        }
    }
    Bound::listen(bound, sockets, None)
}

fn bind_one(address: SocketAddr, shares: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // So that a restart need not wait for the connections of the last run to time out.
    socket.set_reuse_address(true)?;
    if shares {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// For the user alone: a proxy of another's gets in by systemd, whose units say who may.
fn bind_unix(path: &Path, workers: usize) -> io::Result<Bound> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    // Before it listens: until then nobody can connect.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Bound::copies(socket, Some(file), workers)
}

/// Removes the file of a socket on which nobody listens, as one leaves it who was killed.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => return Err(ErrorKind::AlreadyExists.into()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Somebody who accepts nothing must not hold us up.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Err(ErrorKind::AddrInUse.into()),
    }
}

/// The file of a Unix socket, which is removed when this is dropped; unless another has been put in its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Its device and inode.
    id: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.into(),
            id: id(path)?,
        })
    }
}

fn id(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if id(&self.path).is_ok_and(|id| id == self.id) {
            // What stays behind is stale, and removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The sockets that systemd has opened for this process (`sd_listen_fds(3)`).
fn passed(workers: usize) -> io::Result<Vec<Bound>> {
    let number = |name| env::var(name).ok()?.parse::<u32>().ok();
    let count = number("LISTEN_FDS").filter(|_| number("LISTEN_PID") == Some(process::id()));
    let count = count.and_then(|count| i32::try_from(count).ok());
    match count {
        None | Some(0) => Err(io::Error::new(
            ErrorKind::NotFound,
            "no sockets are passed: start it by a unit of type .socket, or choose another --listen",
        )),
        Some(count) if count > MAX_PASSED => Err(io::Error::other(format!(
            "{count} sockets are passed, and at most {MAX_PASSED} are taken"
        ))),
        Some(count) => (FIRST_PASSED..FIRST_PASSED + count)
            .map(|descriptor| take(descriptor, workers))
            .collect(),
    }
}

fn take(descriptor: i32, workers: usize) -> io::Result<Bound> {
    #[allow(
        unsafe_code,
        reason = "systemd passes numbers. One that is not open makes the copy fail; nothing else owns or closes one"
    )]
    // SAFETY: borrowed for the time of the copy only. The descriptor is not -1.
    let passed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let socket = Socket::from(passed.try_clone_to_owned()?);
    let refused = |error| {
        let text =
            format!("descriptor {descriptor} is no listening stream socket (Accept=no): {error}");
        io::Error::other(text)
    };
    if socket.r#type().map_err(refused)? != Type::STREAM {
        return Err(refused(ErrorKind::InvalidInput.into()));
    }
    Bound::copies(socket, None, workers).map_err(refused)
}

/// Why a place cannot be listened on.
#[derive(Debug)]
pub struct ListenError {
    place: Listen,
    error: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        match (self.error.kind(), place) {
            (ErrorKind::AddrInUse, _) => write!(
                f,
                "{place} is in use: stop the other program or choose another with --listen"
            ),
            (ErrorKind::AlreadyExists, _) => write!(
                f,
                "{place} is a file, and no socket: remove it, or choose another with --listen"
            ),
            (ErrorKind::PermissionDenied, Listen::Address(_)) => write!(
                f,
                "listening on {place} is not permitted: choose a port above 1023 with --listen"
            ),
            (ErrorKind::AddrNotAvailable, _) => write!(
                f,
                "{place} is not an address of this machine: choose another with --listen"
            ),
            _ => write!(f, "cannot listen on {place}: {}", self.error),
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        for good in ["127.0.0.1:0", "[::1]:1234", "[::]:80", "localhost:65535"] {
            assert_eq!(good.parse(), Ok(Listen::Address(good.to_owned())), "{good}");
        }
        assert_eq!("unix:a b".parse(), Ok(Listen::Unix("a b".into())));
        assert_eq!("systemd".parse(), Ok(Listen::Systemd));
        for bad in [
            "",
            "1234",
            ":1234",
            "localhost",
            "::1",
            "a:b",
            "a:65536",
            "[::1]",
            "::1:x",
            "unix:",
            "unix",
        ] {
            assert!(bad.parse::<Listen>().is_err(), "{bad}");
        }
    }
}
