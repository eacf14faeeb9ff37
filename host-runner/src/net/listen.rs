//! Listening sockets.

use std::env;
use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::mem;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process;
use std::str::FromStr;
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::net::inherited::{Inheritance, Offered};
use crate::net::peer::Peer;
use crate::net::stream::accepted::Accepted;

/// The most connections that the system queues until they are accepted.
const BACKLOG: i32 = 1024;

/// How many bytes the system takes for a peer before it has sent the earlier ones. More would only wait there, uncounted
/// (`--max-unsent`), and ahead of a ping or a Close frame.
#[cfg(target_os = "linux")]
const MAX_UNSENT: u32 = 64 * 1024;

/// The first descriptor that systemd passes (`sd_listen_fds(3)`), and the most that are accepted.
const FIRST_PASSED: i32 = 3;
const MAX_PASSED: i32 = 64;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address such as `127.0.0.1:1234` or `localhost:0`.
    Address(String),
    /// A Unix socket at this path.
    Unix(PathBuf),
    /// All sockets that systemd passes.
    Systemd,
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text.strip_prefix("unix:") {
            Some("") => Err("expected a path after unix:, such as unix:/run/app.sock"),
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

/// Whether a text is an IP address or a host name, with a port. Names are resolved when the socket is made.
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

/// Who may connect to the Unix sockets that the runner makes. By default, its user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnixAccess {
    /// The mode of their files; `None` is 0600, or 0660 if there is a group.
    pub mode: Option<u32>,
    /// The group of their files; `None` is what the system chooses.
    pub group: Option<u32>,
}

impl UnixAccess {
    fn give(&self, path: &Path) -> io::Result<()> {
        if let Some(group) = self.group {
            lchown(path, None, Some(group))?;
        }
        let default = if self.group.is_some() { 0o660 } else { 0o600 };
        fs::set_permissions(path, Permissions::from_mode(self.mode.unwrap_or(default)))
    }
}

/// An address that all workers listen on.
#[derive(Debug)]
pub struct Bound {
    /// The place, in the words of the operator.
    place: String,
    address: SockAddr,
    /// At least one socket per worker. For TCP, each worker has its own, and the system distributes connections over them
    /// (`SO_REUSEPORT`, socket(7)); otherwise they are copies of one, and any idle worker accepts.
    sockets: Vec<Socket>,
    /// The file of a Unix socket, if we made it.
    file: Option<SocketFile>,
}

impl Bound {
    /// Copies of one socket, which may already be listening.
    fn copies(socket: Socket, file: Option<SocketFile>, workers: usize) -> io::Result<Self> {
        let further = (1..workers).map(|_| socket.try_clone());
        let mut sockets = further.collect::<io::Result<Vec<_>>>()?;
        let address = socket.local_addr()?;
        sockets.push(socket);
        Self::listen(address, sockets, file)
    }

    pub(super) fn listen(
        address: SockAddr,
        sockets: Vec<Socket>,
        file: Option<SocketFile>,
    ) -> io::Result<Self> {
        for socket in &sockets {
            limit_unsent(socket, &address);
            socket.set_nonblocking(true)?;
            socket.listen(BACKLOG)?;
        }
        Ok(Self {
            place: String::new(),
            address,
            sockets,
            file,
        })
    }

    /// Copies of the sockets, to be passed to another process.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub(crate) fn offer(&self) -> io::Result<Vec<Offered>> {
        let offered = |socket: &Socket| {
            Ok(Offered {
                place: self.place.clone(),
                socket: socket.try_clone()?.into(),
            })
        };
        self.sockets.iter().map(offered).collect()
    }

    /// The IP address and port; `None` for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address.as_socket()
    }

    /// The URL to open, `http://127.0.0.1:1234/`, or `unix:/run/app.sock`. `secure`: TCP uses TLS.
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

/// Limits what the system buffers for the connections of a listening socket, where it can (tcp(7)).
#[cfg(target_os = "linux")]
fn limit_unsent(socket: &Socket, address: &SockAddr) {
    if !address.is_unix() {
        // Without it everything works, less promptly.
        let _ = socket.set_tcp_notsent_lowat(MAX_UNSENT);
    }
}

#[cfg(not(target_os = "linux"))]
fn limit_unsent(_: &Socket, _: &SockAddr) {}

/// Distributes the sockets to the workers. The files must be kept for as long as the sockets accept.
pub fn distribute(places: Vec<Bound>, workers: usize) -> (Vec<Vec<Socket>>, Vec<SocketFile>) {
    let mut shares: Vec<Vec<Socket>> = (0..workers).map(|_| Vec::new()).collect();
    let mut files = Vec::new();
    for place in places {
        for (index, socket) in place.sockets.into_iter().enumerate() {
            if let Some(share) = shares.get_mut(index % workers.max(1)) {
                share.push(socket);
            }
        }
        files.extend(place.file);
    }
    (shares, files)
}

/// A listening socket, registered with its worker's runtime.
#[derive(Debug)]
pub enum Listener {
    /// A TCP socket.
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
                // Every write is a complete answer, so delaying it gains nothing. If this fails, the connection
                // is broken, and reading reports it.
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

    /// Registers a listening socket. Must be called within a tokio runtime.
    fn try_from(socket: Socket) -> io::Result<Self> {
        Ok(if socket.local_addr()?.is_unix() {
            Self::Unix(UnixListener::from_std(socket.into())?)
        } else {
            Self::Tcp(TcpListener::from_std(socket.into())?)
        })
    }
}

/// Listens on all of `places`, with a socket for each of `workers`, which is at least 1. Those that are inherited go on
/// listening.
///
/// # Errors
///
/// If one of the places cannot be listened on.
pub(crate) fn bind(
    places: &[Listen],
    access: &UnixAccess,
    workers: usize,
    inherited: &mut Inheritance,
) -> Result<Vec<Bound>, ListenError> {
    let mut all = Vec::new();
    for place in places {
        let bound = bind_place(place, access, workers, inherited);
        let bound = bound.map_err(|error| ListenError {
            place: place.clone(),
            error,
        })?;
        all.extend(bound.into_iter().map(|bound| Bound {
            place: place.to_string(),
            ..bound
        }));
    }
    Ok(all)
}

fn bind_place(
    place: &Listen,
    access: &UnixAccess,
    workers: usize,
    inherited: &mut Inheritance,
) -> io::Result<Vec<Bound>> {
    let bound = inherited.take(place, workers)?;
    if !bound.is_empty() {
        return Ok(bound);
    }
    match place {
        Listen::Address(address) => bind_tcp(address, workers).map(|bound| vec![bound]),
        Listen::Unix(path) => bind_unix(path, access, workers).map(|bound| vec![bound]),
        Listen::Systemd => passed(workers),
    }
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

/// Binds the first socket exclusively, and only then allows sharing of the port. A second runner of the same user
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

pub(super) fn bind_one(address: SocketAddr, shares: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // So that a restart need not wait for connections of the last run to time out.
    socket.set_reuse_address(true)?;
    if shares {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn bind_unix(path: &Path, access: &UnixAccess, workers: usize) -> io::Result<Bound> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    // Before it listens, so that no one else can connect.
    access.give(path)?;
    Bound::copies(socket, Some(file), workers)
}

/// Removes the file of a socket without a listener, as a killed process leaves it.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => return Err(ErrorKind::AlreadyExists.into()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A listener that accepts nothing must not block us.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Err(ErrorKind::AddrInUse.into()),
    }
}

/// The file of a Unix socket. Removed on drop if it is this process's, unless another file has replaced it.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    is_own: bool,
    /// Device and inode.
    id: (u64, u64),
}

impl SocketFile {
    /// Leaves the file to the process that listens from now on.
    pub(crate) fn leave(self) {
        mem::forget(self);
    }

    /// The file belongs to this process from now on.
    pub(crate) fn adopt(&mut self) {
        self.is_own = true;
    }

    /// A file that this process has made.
    fn of(path: &Path) -> io::Result<Self> {
        let mut file = Self::of_another(path)?;
        file.adopt();
        Ok(file)
    }

    /// A file that another process has made, which it needs if this one does not come to serve.
    pub(super) fn of_another(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.into(),
            is_own: false,
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
        if self.is_own && id(&self.path).is_ok_and(|id| id == self.id) {
            // A file that stays is stale, and removed at the next start.
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
            "systemd passed no sockets: start wasocket by a .socket unit, or choose another --listen",
        )),
        Some(count) if count > MAX_PASSED => Err(io::Error::other(format!(
            "systemd passed {count} sockets, of which at most {MAX_PASSED} can be used"
        ))),
        Some(count) => (FIRST_PASSED..FIRST_PASSED + count)
            .map(|descriptor| take(descriptor, workers))
            .collect(),
    }
}

fn take(descriptor: i32, workers: usize) -> io::Result<Bound> {
    #[allow(
        unsafe_code,
        reason = "systemd passes numbers. If one is not open, the copy fails; nothing else owns or closes it"
    )]
    // SAFETY: borrowed only while it is copied. The descriptor is not -1.
    let passed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let socket = Socket::from(passed.try_clone_to_owned()?);
    let refused = |error| {
        let text = format!(
            "descriptor {descriptor} is not a listening stream socket (Accept=no): {error}"
        );
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

impl ListenError {
    /// Where.
    pub(crate) fn place(&self) -> &Listen {
        &self.place
    }

    /// What the system says.
    pub(crate) fn into_cause(self) -> io::Error {
        self.error
    }

    /// What the system says.
    pub(crate) fn cause(&self) -> &io::Error {
        &self.error
    }
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
                "{place} is a file, not a socket: remove it, or choose another with --listen"
            ),
            (ErrorKind::PermissionDenied, Listen::Address(_)) => write!(
                f,
                "listening on {place} is not permitted: choose a port above 1023 with --listen"
            ),
            (ErrorKind::PermissionDenied, Listen::Unix(_)) => write!(
                f,
                "listening on {place} is not permitted: choose a folder that this user may write, and for --unix-group a \
                 group that this user is in"
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
    fn parses_each_kind_of_place() {
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
