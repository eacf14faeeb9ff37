//! Listening sockets that come from another process, which goes on accepting on them until this one does.

use std::io;
use std::net::ToSocketAddrs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::fstat;
use socket2::{Socket, Type};

use crate::net::listen::{Bound, Listen, SocketFile, bind_one};

/// The listening sockets of another process.
#[derive(Debug, Default)]
pub(crate) struct Inheritance(Vec<Inherited>);

/// A listening socket, and the place that the other process was to listen on.
#[derive(Debug)]
struct Inherited {
    place: String,
    socket: Socket,
}

/// A listening socket to be passed to another process.
#[derive(Debug)]
pub(crate) struct Offered {
    /// Where this process was to listen, in the words of its operator.
    pub(crate) place: String,
    pub(crate) socket: OwnedFd,
}

impl Inheritance {
    /// Adds a socket.
    ///
    /// # Errors
    ///
    /// If it does not listen for stream connections.
    pub(crate) fn add(&mut self, place: String, socket: OwnedFd) -> io::Result<()> {
        let socket = Socket::from(socket);
        if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
            let text = "a descriptor is not that of a listening socket";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.0.push(Inherited { place, socket });
        Ok(())
    }

    /// Takes the sockets of a place, one group for each address.
    ///
    /// # Errors
    ///
    /// If the system refuses what `workers` need.
    pub(super) fn take(&mut self, place: &Listen, workers: usize) -> io::Result<Vec<Bound>> {
        let of_place = |inherited: &mut Inherited| inherited.is_for(place);
        let mut groups: Vec<Vec<Socket>> = Vec::new();
        for Inherited { socket, .. } in self.0.extract_if(.., of_place) {
            let address = socket.local_addr()?;
            let is_own = |group: &&mut Vec<Socket>| {
                let first = group.first().and_then(|first| first.local_addr().ok());
                first.as_ref() == Some(&address)
            };
            match groups.iter_mut().find(is_own) {
                Some(group) => group.push(socket),
                None => groups.push(vec![socket]),
            }
        }
        let bound = |group| bound(place, group, workers);
        groups.into_iter().map(bound).collect()
    }
}

impl Inherited {
    fn is_for(&self, place: &Listen) -> bool {
        self.place == place.to_string() || self.is_at(place).unwrap_or(false)
    }

    /// Whether the socket has the address of a place that was called something else.
    fn is_at(&self, place: &Listen) -> io::Result<bool> {
        let own = self.socket.local_addr()?;
        Ok(match place {
            Listen::Address(address) => address
                .to_socket_addrs()?
                .any(|address| own.as_socket() == Some(address)),
            Listen::Unix(path) => own.as_pathname() == Some(path),
            Listen::Systemd => false,
        })
    }
}

/// Has each of `workers` listen on at least one of the sockets, and each of the sockets, which have queues of their own,
/// belong to at least one of the workers.
fn bound(place: &Listen, sockets: Vec<Socket>, workers: usize) -> io::Result<Bound> {
    let mut sockets = distinct(sockets)?;
    if let (Listen::Address(_), Some(address)) = (place, address(&sockets)) {
        // Never taken back: the other process has the same sockets.
        let shared = sockets
            .iter()
            .filter(|_| workers > 1)
            .try_for_each(|socket| socket.set_reuse_port(true));
        while shared.is_ok()
            && sockets.len() < workers
            && let Ok(further) = bind_one(address, true)
        {
            sockets.push(further);
        }
    }
    // Where there can be no further sockets, several workers accept on one.
    let own = sockets.len().max(1);
    for index in 0..workers.saturating_sub(sockets.len()) {
        let copy = sockets.get(index % own).map(Socket::try_clone);
        sockets.extend(copy.transpose()?);
    }
    let address = sockets
        .first()
        .ok_or(io::ErrorKind::NotFound)?
        .local_addr()?;
    let file = match place {
        Listen::Unix(path) => SocketFile::of_another(path).ok(),
        _ => None,
    };
    Bound::listen(address, sockets, file)
}

fn address(sockets: &[Socket]) -> Option<std::net::SocketAddr> {
    sockets.first()?.local_addr().ok()?.as_socket()
}

/// Copies of one socket count once.
fn distinct(sockets: Vec<Socket>) -> io::Result<Vec<Socket>> {
    let mut known = Vec::new();
    let mut distinct = Vec::new();
    for socket in sockets {
        let inode = fstat(socket.as_fd())?.st_ino;
        if !known.contains(&inode) {
            known.push(inode);
            distinct.push(socket);
        }
    }
    Ok(distinct)
}
