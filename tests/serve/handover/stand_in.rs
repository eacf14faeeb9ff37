//! A process that takes over, or hands over, as far as a test wants: it speaks the protocol byte by byte.

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use support::TIMEOUT;

/// What the new process says: postcard's encoding of the variants, in order.
pub(super) const ACCEPTING: &[u8] = &[0];
pub(super) const ROOM: &[u8] = &[1];

/// The first record, of this version of the protocol.
pub(super) fn hello(version: u8) -> Vec<u8> {
    let mut hello = b"wasocket handover\r\n\0".to_vec();
    hello.extend([0, version, 0, version]);
    hello.extend(b"9.9.9");
    hello
}

/// The connection to the other process.
pub(super) struct StandIn(UnixStream);

impl StandIn {
    pub(super) fn connect(post: &Path) -> Self {
        let stream = UnixStream::connect(post).expect("a process waits");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a time");
        Self(stream)
    }

    /// Waits for a process that asks to take over.
    pub(super) fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().expect("a process comes");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a time");
        Self(stream)
    }

    /// Asks to take over, and receives the listening sockets, which it closes.
    pub(super) fn begin(post: &Path) -> Self {
        let mut this = Self::connect(post);
        this.send(&hello(1));
        assert!(this.receive().starts_with(b"wasocket handover"));
        // Until there are no more: the second variant.
        while this.receive() != [1] {}
        this
    }

    /// Sends a record.
    pub(super) fn send(&mut self, record: &[u8]) {
        let length = u32::try_from(record.len()).expect("a short record");
        let header = [&length.to_be_bytes()[..], &[0]].concat();
        let record = [&header, record].concat();
        self.0.write_all(&record).expect("it reads");
    }

    /// Sends a short record with a socket.
    pub(super) fn send_socket(&mut self, record: &[u8], socket: &UnixListener) {
        let length = u8::try_from(record.len()).expect("a short record");
        let record = [&[0, 0, 0, length, 1], record].concat();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let sockets = [socket.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&sockets)));
        let parts = [IoSlice::new(&record)];
        let sent = sendmsg(&self.0, &parts, &mut control, SendFlags::empty());
        assert_eq!(sent.expect("it reads"), record.len());
    }

    /// Receives a record, without its descriptor.
    pub(super) fn receive(&mut self) -> Vec<u8> {
        let mut header = [0; 5];
        self.0.read_exact(&mut header).expect("a record");
        let [length @ .., _] = header;
        let mut record = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut record).expect("a record");
        record
    }

    /// Sends bytes that are not a record.
    pub(super) fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// Ends its direction of the stream.
    pub(super) fn finish(&self) {
        self.0.shutdown(Shutdown::Write).expect("connected");
    }

    /// Waits until the old process has hung up.
    pub(super) fn wait_for_end(&mut self) {
        let mut rest = vec![];
        let _ = self.0.read_to_end(&mut rest);
    }
}
