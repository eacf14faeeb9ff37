//! One member of a room.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::Result;
use crate::connection::{AT_ONCE, Opening};
use crate::messages::append_frame;
use crate::rooms::protocol::{Meaning, Protocol};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const RSV1: u8 = 0x40;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Nothing here has to be unpredictable.
const MASKING_KEY: [u8; 4] = [1, 2, 3, 4];

/// The longest time for a server to say that a connection is ready.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to a room.
pub struct Member {
    stream: TcpStream,
    protocol: Protocol,
    /// The beginning of a frame.
    begun: Vec<u8>,
    is_ready: bool,
    /// The number of the latest publication that it has got.
    pub latest: u32,
}

/// A whole frame from a server.
struct Frame<'a> {
    first: u8,
    payload: &'a [u8],
}

impl AsFd for Member {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Member {
    /// Opens this number of connections, as members or only connected, and waits until they are ready.
    ///
    /// # Errors
    ///
    /// When one of them is not opened.
    pub fn open_many(
        server: SocketAddr,
        protocol: Protocol,
        is_member: bool,
        deflate: bool,
        count: usize,
    ) -> Result<Vec<Self>> {
        let path = protocol.path(is_member);
        let mut members = Vec::with_capacity(count);
        while members.len() < count {
            let some = AT_ONCE.min(count - members.len());
            let openings: Result<Vec<_>> = (0..some)
                .map(|_| Opening::begin(server, path, deflate))
                .collect();
            let mut opened = Vec::new();
            for opening in openings? {
                let (stream, begun) = opening.finish_raw()?;
                opened.push(Self {
                    stream,
                    protocol,
                    begun,
                    is_ready: protocol.is_ready(b"").is_none(),
                    latest: 0,
                });
            }
            for member in &mut opened {
                member.wait_until_ready()?;
            }
            members.append(&mut opened);
        }
        Ok(members)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let (start, mut buffer) = (Instant::now(), [0; 4096]);
        while !self.is_ready {
            self.receive(&mut buffer, |_, _| Err("a publication before any".into()))?;
            if start.elapsed() > PATIENCE {
                return Err(format!("a connection is not ready in {PATIENCE:?}").into());
            }
        }
        Ok(())
    }

    /// Sends a text message.
    ///
    /// # Errors
    ///
    /// When the connection has failed, or has no room for it.
    pub fn send(&mut self, text: &str) -> Result<()> {
        self.send_frame(TEXT, text.as_bytes())
    }

    fn send_frame(&mut self, first: u8, payload: &[u8]) -> Result<()> {
        let mut frame = Vec::with_capacity(payload.len() + 8);
        append_frame(&mut frame, first, MASKING_KEY, payload);
        Ok(self.stream.write_all(&frame)?)
    }

    /// Reads once; answers what has to be answered, and passes each message to `publication`: its payload, and whether
    /// that is compressed.
    ///
    /// # Errors
    ///
    /// When the connection has failed, or `publication` has.
    pub fn receive(
        &mut self,
        buffer: &mut [u8],
        mut publication: impl FnMut(&[u8], bool) -> Result<()>,
    ) -> Result<()> {
        let length = match self.stream.read(buffer) {
            Ok(0) => return Err("the server has closed the connection".into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            outcome => outcome?,
        };
        if self.begun.is_empty() {
            let taken = self.take_frames(&buffer[..length], &mut publication)?;
            self.begun.extend_from_slice(&buffer[taken..length]);
        } else {
            let mut begun = std::mem::take(&mut self.begun);
            begun.extend_from_slice(&buffer[..length]);
            let taken = self.take_frames(&begun, &mut publication)?;
            begun.drain(..taken);
            // Most of the time there is nothing left, and ten thousand members would keep their buffers.
            self.begun = if begun.is_empty() { Vec::new() } else { begun };
        }
        Ok(())
    }

    /// Handles all whole frames, and returns their length.
    fn take_frames(
        &mut self,
        bytes: &[u8],
        publication: &mut impl FnMut(&[u8], bool) -> Result<()>,
    ) -> Result<usize> {
        let mut taken = 0;
        while let Some((frame, length)) = Frame::first(&bytes[taken..])? {
            self.handle(&frame, publication)?;
            taken += length;
        }
        Ok(taken)
    }

    fn handle(
        &mut self,
        frame: &Frame<'_>,
        publication: &mut impl FnMut(&[u8], bool) -> Result<()>,
    ) -> Result<()> {
        let payload = frame.payload;
        match frame.first {
            PING => self.send_frame(PONG, payload),
            PONG => Ok(()),
            CLOSE => Err(format!("closed: {}", String::from_utf8_lossy(payload)).into()),
            first if first & !RSV1 == TEXT || first & !RSV1 == BINARY => {
                if let Meaning::Control(answer) = self.protocol.meaning(payload) {
                    self.is_ready |= self.protocol.is_ready(payload) == Some(true);
                    return answer.map_or(Ok(()), |answer| self.send(answer));
                }
                publication(payload, first & RSV1 != 0)
            }
            first => Err(format!("a frame that begins with {first:#x}").into()),
        }
    }
}

impl<'a> Frame<'a> {
    /// The first frame of these bytes, if it is whole, and its length.
    fn first(bytes: &'a [u8]) -> Result<Option<(Self, usize)>> {
        let (first, header, length) = match *bytes {
            [_, second, ..] if second & 0x80 != 0 => {
                return Err("a masked frame (RFC 6455 section 5.1)".into());
            }
            [first, 126, high, low, ..] => (first, 4, u16::from_be_bytes([high, low]).into()),
            [_, 126, ..] => return Ok(None),
            [_, 127, ..] => return Err("a longer frame than any publication".into()),
            [first, length, ..] => (first, 2, usize::from(length)),
            _ => return Ok(None),
        };
        let end = header + length;
        let payload = bytes.get(header..end);
        Ok(payload.map(|payload| (Self { first, payload }, end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_whole() {
        let mut bytes = vec![TEXT, 3, b'a', b'b', b'c'];
        bytes.extend([TEXT | RSV1, 126, 1, 0]);
        bytes.extend([7; 256]);
        let (frame, length) = Frame::first(&bytes).ok().flatten().expect("a frame");
        assert_eq!((frame.first, frame.payload, length), (TEXT, &b"abc"[..], 5));
        for cut in 5..bytes.len() {
            assert!(Frame::first(&bytes[5..cut]).is_ok_and(|frame| frame.is_none()));
        }
        let (frame, length) = Frame::first(&bytes[5..]).ok().flatten().expect("a frame");
        assert_eq!((frame.payload.len(), length), (256, 260));
        assert!(Frame::first(&[TEXT, 0x83, 0, 0]).is_err());
    }
}
