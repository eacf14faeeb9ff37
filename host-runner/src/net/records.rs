//! Records over a Unix socket, each with a descriptor if need be (`SCM_RIGHTS`, unix(7)).
//!
//! ```text
//!   ┌──────────────────────────┬───────────────┬──────────┐
//!   │ length, 4 bytes, network │ descriptor? 1 │ the rest │
//!   └──────────────────────────┴───────────────┴──────────┘
//! ```
//!
//! A descriptor travels with the first byte of its record, so it is there when the record is complete.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use bytes::{Buf as _, Bytes, BytesMut};
use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// The longest record, in bytes.
pub(crate) const MAX_RECORD: usize = 64 << 20;

/// The length of what comes before each record.
const HEADER: usize = 5;

/// The most bytes to read at once.
const MAX_READ: usize = 64 << 10;

/// The most descriptors whose records are not complete. A record is read at once, so there are no more than records in one
/// read.
const MAX_DESCRIPTORS: usize = MAX_READ / HEADER;

/// A record that has arrived.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) bytes: Bytes,
    pub(crate) descriptor: Option<OwnedFd>,
}

/// The receiving side.
#[derive(Debug)]
pub(crate) struct RecordReader {
    socket: OwnedReadHalf,
    /// Bytes that have arrived and are not used yet.
    received: BytesMut,
    descriptors: VecDeque<OwnedFd>,
    buffer: Box<[u8]>,
}

/// The sending side.
#[derive(Debug)]
pub(crate) struct RecordWriter(OwnedWriteHalf);

/// Both sides of a connected socket.
pub(crate) fn records(socket: UnixStream) -> (RecordReader, RecordWriter) {
    let (reading, writing) = socket.into_split();
    let reader = RecordReader {
        socket: reading,
        received: BytesMut::new(),
        descriptors: VecDeque::new(),
        buffer: vec![0; MAX_READ].into(),
    };
    (reader, RecordWriter(writing))
}

impl RecordReader {
    /// Waits for the next record; `None` at the end of the stream. Safe to drop and call again.
    ///
    /// # Errors
    ///
    /// If the socket fails, or what arrives are no records of at most [`MAX_RECORD`] bytes.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            if let Some(record) = self.take()? {
                return Ok(Some(record));
            }
            if self.read().await? == 0 {
                return match self.received.len() {
                    0 => Ok(None),
                    _ => Err(ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// Takes a record that is complete.
    fn take(&mut self) -> io::Result<Option<Record>> {
        let Some([a, b, c, d, has_descriptor]) = self.received.first_chunk().copied() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX_RECORD || has_descriptor > 1 {
            return Err(invalid("it sends no records"));
        }
        if self.received.len() < HEADER + length {
            return Ok(None);
        }
        self.received.advance(HEADER);
        let bytes = self.received.split_to(length).freeze();
        let descriptor = match has_descriptor {
            0 => None,
            _ => Some(self.descriptors.pop_front().ok_or_else(no_descriptor)?),
        };
        Ok(Some(Record { bytes, descriptor }))
    }

    /// Reads what there is. Returns the number of bytes.
    async fn read(&mut self) -> io::Result<usize> {
        let Self {
            socket,
            received,
            descriptors,
            buffer,
        } = self;
        let socket: &UnixStream = (*socket).as_ref();
        let read = || receive(socket, buffer, descriptors);
        let length = socket.async_io(Interest::READABLE, read).await?;
        if descriptors.len() > MAX_DESCRIPTORS {
            return Err(invalid("it sends descriptors without records"));
        }
        received.extend_from_slice(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}

/// What a read needs of the system: descriptors are not inherited by programs that are started.
#[cfg(target_os = "linux")]
const FLAGS: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const FLAGS: RecvFlags = RecvFlags::empty();

fn receive(
    socket: &UnixStream,
    bytes: &mut [u8],
    descriptors: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, FLAGS)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            descriptors.extend(passed);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(invalid("it sends more than one descriptor at once"));
    }
    Ok(received.bytes)
}

impl RecordWriter {
    /// Sends a record. After an error, or when dropped before it is done, the socket is of no use any more.
    ///
    /// # Errors
    ///
    /// If the socket fails, or the record is longer than [`MAX_RECORD`].
    pub(crate) async fn send(
        &mut self,
        bytes: &[u8],
        descriptor: Option<&OwnedFd>,
    ) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).ok();
        let length = length.filter(|_| bytes.len() <= MAX_RECORD);
        let length = length.ok_or_else(|| invalid("a record is too long"))?;
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&length.to_be_bytes());
        header[4] = descriptor.is_some().into();
        let mut sent = self.write(&header, bytes, descriptor).await?;
        while sent < HEADER + bytes.len() {
            let header = header.get(sent..).unwrap_or_default();
            let rest = bytes.get(sent.saturating_sub(HEADER)..).unwrap_or_default();
            sent += self.write(header, rest, None).await?;
        }
        Ok(())
    }

    async fn write(
        &self,
        header: &[u8],
        bytes: &[u8],
        descriptor: Option<&OwnedFd>,
    ) -> io::Result<usize> {
        let socket: &UnixStream = self.0.as_ref();
        let write = || {
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let passed = descriptor.map(AsFd::as_fd);
            if let Some(passed) = &passed {
                control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(
                    passed,
                )));
            }
            let parts = [IoSlice::new(header), IoSlice::new(bytes)];
            Ok(sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL)?)
        };
        socket.async_io(Interest::WRITABLE, write).await
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, text)
}

fn no_descriptor() -> io::Error {
    invalid("a descriptor is missing")
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;

    use tokio::io::AsyncWriteExt as _;
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        runtime.expect("a runtime").block_on(future)
    }

    fn pair() -> (RecordReader, RecordWriter) {
        let (one, other) = UnixStream::pair().expect("sockets");
        (records(one).0, records(other).1)
    }

    #[test]
    fn records_arrive_whole_and_each_with_its_descriptor() {
        block_on(async {
            let (mut reader, mut writer) = pair();
            let sending = tokio::task::spawn_local(async move {
                for number in 0..200_u32 {
                    let file = File::open("Cargo.toml").expect("a file");
                    let descriptor = (number % 3 == 0).then(|| OwnedFd::from(file));
                    let bytes = vec![7; number as usize * 1000];
                    let sent = writer.send(&bytes, descriptor.as_ref());
                    sent.await.expect("it reads");
                }
            });
            for number in 0..200_u32 {
                let record = reader.next().await.expect("a record").expect("a record");
                assert_eq!(record.bytes.len(), number as usize * 1000);
                assert_eq!(record.descriptor.is_some(), number % 3 == 0);
                if let Some(descriptor) = record.descriptor {
                    let mut text = String::new();
                    File::from(descriptor)
                        .read_to_string(&mut text)
                        .expect("the file");
                }
            }
            sending.await.expect("all is sent");
            assert!(reader.next().await.expect("the end").is_none());
        });
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for garbage in [
            &b"\xff\xff\xff\xff\0"[..],
            b"\0\0\0\x01\x02x",
            b"\0\0\0\x01\x01x",
            b"\0\0\0\x09\0x",
            b"\0",
        ] {
            block_on(async {
                let (one, mut other) = UnixStream::pair().expect("sockets");
                let (mut reader, _writer) = records(one);
                other.write_all(garbage).await.expect("it reads");
                drop(other);
                assert!(reader.next().await.is_err(), "{garbage:?}");
            });
        }
    }
}
