//! The least that an echo can do: epoll, one read, unmask, one write. No fragments, no control frames, no UTF-8, no
//! limits: not a WebSocket server for anything but the load generator.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;
use wasocket::frame::{Decoded, Expected, Header, apply_mask};
use wasocket_bench_peers::{announce, switching_protocols};

const READ_BUFFER: usize = 64 << 10;
const LISTENER: u64 = u64::MAX;

const EXPECTED: Expected = Expected {
    masked: true,
    continuation: false,
    reserved_bits: 0,
    max_payload: u64::MAX,
    max_encoded_payload: 0,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(
        &epoll,
        &listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    announce(listener.local_addr()?)?;
    let mut server = Server {
        listener,
        epoll,
        connections: Vec::new(),
        free: Vec::new(),
        buffer: vec![0; READ_BUFFER],
        output: Vec::new(),
    };
    let mut ready = Vec::with_capacity(1024);
    loop {
        ready.clear();
        epoll::wait(&server.epoll, spare_capacity(&mut ready), None)?;
        for event in &ready {
            server.serve(event.data.u64(), event.flags)?;
        }
    }
}

struct Server {
    listener: TcpListener,
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    /// Unused slots.
    free: Vec<usize>,
    buffer: Vec<u8>,
    output: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// The part of the request's head received so far; later, of a frame's header.
    begun: Vec<u8>,
    opened: bool,
    key: [u8; 4],
    /// The bytes of the frame's payload that have arrived, and that are still to come.
    offset: u64,
    left: u64,
    unsent: Vec<u8>,
}

impl Server {
    fn serve(&mut self, data: u64, flags: EventFlags) -> Result<()> {
        if data == LISTENER {
            return self.accept();
        }
        let index = usize::try_from(data)?;
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return Ok(());
        };
        let before = connection.unsent.is_empty();
        if connection
            .serve(flags, &mut self.buffer, &mut self.output)
            .is_err()
        {
            self.connections[index] = None;
            self.free.push(index);
            return Ok(());
        }
        let after = connection.unsent.is_empty();
        if before != after {
            // Input waits while the client does not read.
            let flags = if after {
                EventFlags::IN
            } else {
                EventFlags::OUT
            };
            epoll::modify(
                &self.epoll,
                &connection.stream,
                EventData::new_u64(data),
                flags,
            )?;
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let index = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        epoll::add(
            &self.epoll,
            &stream,
            EventData::new_u64(index as u64),
            EventFlags::IN,
        )?;
        self.connections[index] = Some(Connection {
            stream,
            begun: Vec::new(),
            opened: false,
            key: [0; 4],
            offset: 0,
            left: 0,
            unsent: Vec::new(),
        });
        Ok(())
    }
}

impl Connection {
    fn serve(&mut self, flags: EventFlags, buffer: &mut [u8], output: &mut Vec<u8>) -> Result<()> {
        if !flags.contains(EventFlags::IN) {
            let sent = self.stream.write(&self.unsent)?;
            self.unsent.drain(..sent);
            return Ok(());
        }
        let length = self.stream.read(buffer)?;
        if length == 0 {
            return Err("end of stream".into());
        }
        output.clear();
        if self.opened {
            self.echo(&mut buffer[..length], output)?
        } else {
            self.open(&buffer[..length], output)?
        }
        let sent = match self.stream.write(output) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            outcome => outcome?,
        };
        self.unsent.extend_from_slice(&output[sent..]);
        Ok(())
    }

    fn open(&mut self, bytes: &[u8], output: &mut Vec<u8>) -> Result<()> {
        self.begun.extend_from_slice(bytes);
        if !self.begun.ends_with(b"\r\n\r\n") {
            return Ok(());
        }
        let head = String::from_utf8(std::mem::take(&mut self.begun))?;
        let response = switching_protocols(&head).ok_or("no key")?;
        output.extend_from_slice(response.as_bytes());
        self.opened = true;
        Ok(())
    }

    fn echo(&mut self, mut bytes: &mut [u8], output: &mut Vec<u8>) -> Result<()> {
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = match self.begin(bytes, output)? {
                    Some(rest) => rest,
                    None => break,
                };
            }
            let here = bytes.len().min(usize::try_from(self.left)?);
            let (payload, rest) = bytes.split_at_mut(here);
            apply_mask(self.key, self.offset, payload);
            output.extend_from_slice(payload);
            self.offset += here as u64;
            self.left -= here as u64;
            bytes = rest;
        }
        Ok(())
    }

    /// Reads a header; returns the bytes after it, if it is complete.
    fn begin<'a>(
        &mut self,
        bytes: &'a mut [u8],
        output: &mut Vec<u8>,
    ) -> Result<Option<&'a mut [u8]>> {
        let begun = self.begun.len();
        let decoded = match begun {
            0 => Header::decode(bytes, EXPECTED)?,
            _ => {
                // A header has at most 14 bytes.
                self.begun.extend(bytes.iter().take(14));
                Header::decode(&self.begun, EXPECTED)?
            }
        };
        let Decoded::Done {
            mut header,
            consumed,
        } = decoded
        else {
            if begun == 0 {
                self.begun.extend_from_slice(bytes);
            }
            return Ok(None);
        };
        self.begun.clear();
        self.key = header.masking_key.take().unwrap_or_default();
        (self.offset, self.left) = (0, header.payload_len);
        header.encode(output);
        Ok(Some(&mut bytes[consumed - begun..]))
    }
}
