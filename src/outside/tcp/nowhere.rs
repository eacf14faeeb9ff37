//! Without a host, every connection fails.

use core::task::{Context, Poll};
use std::io;
use std::net::SocketAddr;

pub(super) enum Stream {}

#[allow(clippy::unused_async, reason = "as with a host")]
pub(super) async fn connect(_: SocketAddr) -> io::Result<Stream> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Stream {
    pub(super) fn poll_read(&self, _: &Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(super) fn poll_write(&self, _: &Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(super) fn poll_room(&self, _: &Context<'_>) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(super) fn finish_sending(&self) -> io::Result<()> {
        match *self {}
    }
}
