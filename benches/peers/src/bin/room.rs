//! The least that a room can do: epoll, and for each message that a member sends one write of the same bytes to each
//! member. No fragments, no control frames, no limits: not a WebSocket server for anything but the load generator.

use std::error::Error;
use std::io::{self, Read, Write};
use std::mem;
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
    let data = EventData::new_u64(LISTENER);
    epoll::add(&epoll, &listener, data, EventFlags::IN)?;
    announce(listener.local_addr()?)?;
    let mut room = Room {
        listener,
        epoll,
        connections: Vec::new(),
        free: Vec::new(),
        buffer: vec![0; READ_BUFFER],
    };
    let mut ready = Vec::with_capacity(1024);
    loop {
        ready.clear();
        epoll::wait(&room.epoll, spare_capacity(&mut ready), None)?;
        for event in &ready {
            room.serve(event.data.u64(), event.flags)?;
        }
    }
}

struct Room {
    listener: TcpListener,
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    /// Unused slots.
    free: Vec<usize>,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    stage: Stage,
    /// What has arrived of the request's head, or of the next frame.
    begun: Vec<u8>,
    unsent: Vec<u8>,
}

#[derive(PartialEq)]
enum Stage {
    Opening,
    /// It is open, and no member.
    Idle,
    Member,
}

impl Room {
    fn serve(&mut self, data: u64, flags: EventFlags) -> Result<()> {
        if data == LISTENER {
            return self.accept();
        }
        let index = usize::try_from(data)?;
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return Ok(());
        };
        if flags.contains(EventFlags::OUT) {
            let sent = connection.flush();
            return self.after_write(index, sent);
        }
        match connection.receive(&mut self.buffer) {
            Ok(frames) if frames.is_empty() => Ok(()),
            Ok(frames) => self.publish(&frames),
            Err(_) => {
                self.remove(index);
                Ok(())
            }
        }
    }

    fn publish(&mut self, frames: &[u8]) -> Result<()> {
        for index in 0..self.connections.len() {
            let connection = self.connections.get_mut(index).and_then(Option::as_mut);
            if let Some(member) = connection.filter(|one| one.stage == Stage::Member) {
                let sent = member.send(frames);
                self.after_write(index, sent)?;
            }
        }
        Ok(())
    }

    /// Removes a connection that has failed, and waits for room for what could not be written, or no longer.
    fn after_write(&mut self, index: usize, written: io::Result<Change>) -> Result<()> {
        let flags = match written {
            Ok(Change::None) => return Ok(()),
            Ok(Change::Flushed) => EventFlags::IN,
            Ok(Change::Full) => EventFlags::IN | EventFlags::OUT,
            Err(_) => {
                self.remove(index);
                return Ok(());
            }
        };
        if let Some(Some(connection)) = self.connections.get(index) {
            let data = EventData::new_u64(index as u64);
            epoll::modify(&self.epoll, &connection.stream, data, flags)?;
        }
        Ok(())
    }

    fn remove(&mut self, index: usize) {
        self.connections[index] = None;
        self.free.push(index);
    }

    fn accept(&mut self) -> Result<()> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let index = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let data = EventData::new_u64(index as u64);
        epoll::add(&self.epoll, &stream, data, EventFlags::IN)?;
        self.connections[index] = Some(Connection {
            stream,
            stage: Stage::Opening,
            begun: Vec::new(),
            unsent: Vec::new(),
        });
        Ok(())
    }
}

/// Whether a connection has to wait for room to write.
enum Change {
    None,
    /// No longer.
    Flushed,
    /// From now on.
    Full,
}

impl Connection {
    /// Reads once, and returns the frames to publish.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<Vec<u8>> {
        let length = match self.stream.read(buffer) {
            Ok(0) => return Err("end of stream".into()),
            // The event was for an earlier connection with this index.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            outcome => outcome?,
        };
        self.begun.extend_from_slice(&buffer[..length]);
        if self.stage == Stage::Opening {
            self.open()?;
            return Ok(Vec::new());
        }
        let mut frames = Vec::new();
        while self.take_frame(&mut frames)? {}
        Ok(frames)
    }

    fn open(&mut self) -> Result<()> {
        if !self.begun.ends_with(b"\r\n\r\n") {
            return Ok(());
        }
        let head = String::from_utf8(mem::take(&mut self.begun))?;
        let response = switching_protocols(&head).ok_or("no key")?;
        self.stream.write_all(response.as_bytes())?;
        self.stage = if head.starts_with("GET /idle ") {
            Stage::Idle
        } else {
            Stage::Member
        };
        Ok(())
    }

    /// Moves a whole frame from `begun` to `frames`, as a server's. Returns whether there was one.
    fn take_frame(&mut self, frames: &mut Vec<u8>) -> Result<bool> {
        let Decoded::Done {
            mut header,
            consumed,
        } = Header::decode(&self.begun, EXPECTED)?
        else {
            return Ok(false);
        };
        let end = consumed + usize::try_from(header.payload_len)?;
        let Some(payload) = self.begun.get_mut(consumed..end) else {
            return Ok(false);
        };
        apply_mask(header.masking_key.take().unwrap_or_default(), 0, payload);
        header.encode(frames);
        frames.extend_from_slice(payload);
        self.begun.drain(..end);
        Ok(true)
    }

    fn send(&mut self, frames: &[u8]) -> io::Result<Change> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(frames);
            return Ok(Change::None);
        }
        let sent = self.write(frames)?;
        if sent == frames.len() {
            return Ok(Change::None);
        }
        self.unsent.extend_from_slice(&frames[sent..]);
        Ok(Change::Full)
    }

    fn flush(&mut self) -> io::Result<Change> {
        let unsent = mem::take(&mut self.unsent);
        let sent = self.write(&unsent)?;
        self.unsent.extend_from_slice(&unsent[sent..]);
        Ok(if self.unsent.is_empty() {
            Change::Flushed
        } else {
            Change::None
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            outcome => outcome,
        }
    }
}
