//! The socket at which a process waits for its successor (`--take-over-from`).

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

use super::error::HandoverError;
use crate::net::inherited::Inheritance;
use crate::net::listen::{self, Bound, Listen, SocketFile, UnixAccess};

/// The pause after a successor that could not be accepted: the system may be out of files.
const PAUSE: Duration = Duration::from_millis(100);

/// How a process starts.
pub(crate) enum Start {
    /// There is no process to take over from.
    First(Post),
    /// A process listens there.
    Successor(UnixStream),
}

/// The socket at which a process waits for its successor, and its file.
#[derive(Debug)]
pub(crate) struct Post {
    listener: UnixListener,
    file: Option<SocketFile>,
}

impl Post {
    /// Connects to the process that listens at this path, or listens there if there is none. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// If the path is not this user's alone, or what listens there is another user's.
    pub(crate) fn start(path: &Path) -> Result<Start, HandoverError> {
        check_folder(path)?;
        match net::UnixStream::connect(path) {
            Ok(stream) => {
                let connected = stream
                    .set_nonblocking(true)
                    .and_then(|()| UnixStream::from_std(stream));
                let stream = connected.map_err(|error| of(path, error))?;
                check_peer(&stream)?;
                Ok(Start::Successor(stream))
            }
            Err(error) if is_absent(&error) => {
                let place = [Listen::Unix(path.to_owned())];
                let mut none = Inheritance::default();
                let bound = listen::bind(&place, &UnixAccess::default(), 1, &mut none);
                let bound = bound.map_err(|error| of(path, error.into_cause()))?;
                Self::new(bound).map(Start::First)
            }
            Err(error) => Err(of(path, error)),
        }
    }

    /// Waits at the socket at which the process before was waiting.
    ///
    /// # Errors
    ///
    /// If it is not one of those that were inherited.
    pub(crate) fn inherit(path: &Path, inherited: &mut Inheritance) -> Result<Self, HandoverError> {
        let place = [Listen::Unix(path.to_owned())];
        let bound = listen::bind(&place, &UnixAccess::default(), 1, inherited);
        Self::new(bound.map_err(|error| of(path, error.into_cause()))?)
    }

    fn new(bound: Vec<Bound>) -> Result<Self, HandoverError> {
        let (sockets, files) = listen::distribute(bound, 1);
        let socket = sockets.into_iter().flatten().next();
        let socket = socket.ok_or(HandoverError::Gone)?;
        Ok(Self {
            listener: UnixListener::from_std(socket.into())?,
            file: files.into_iter().next(),
        })
    }

    /// A copy of the socket, for the successor.
    pub(super) fn offer(&self) -> io::Result<OwnedFd> {
        self.listener.as_fd().try_clone_to_owned()
    }

    /// Waits for the successor. Others are turned away.
    pub(super) async fn successor(&self) -> UnixStream {
        loop {
            match self.accept().await {
                Ok(stream) => return stream,
                Err(error) => {
                    tracing::warn!("handover refused: {error}");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn accept(&self) -> Result<UnixStream, HandoverError> {
        let (stream, _) = self.listener.accept().await?;
        check_peer(&stream)?;
        Ok(stream)
    }

    /// The file of the socket.
    pub(crate) fn into_file(self) -> Option<SocketFile> {
        self.file
    }
}

fn of(path: &Path, error: io::Error) -> HandoverError {
    HandoverError::Socket(path.to_owned(), error)
}

/// Whether no process listens: there is no file, or the process that made it has ended.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused
    )
}

/// Others could put a socket of theirs there.
fn check_folder(path: &Path) -> Result<(), HandoverError> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let metadata = fs::metadata(folder).map_err(|error| of(path, error))?;
    let is_own = [0, geteuid().as_raw()].contains(&metadata.uid());
    if !is_own || metadata.mode() & 0o022 != 0 {
        return Err(HandoverError::Folder(path.to_owned()));
    }
    Ok(())
}

/// The other process must be that of this user, or of root.
fn check_peer(stream: &UnixStream) -> Result<(), HandoverError> {
    let user = stream.peer_cred()?.uid();
    if ![0, geteuid().as_raw()].contains(&user) {
        return Err(HandoverError::Stranger(user));
    }
    Ok(())
}
