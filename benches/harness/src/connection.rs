//! One WebSocket of the load generator.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::Result;
use crate::echoes::Echoes;
use crate::messages::Messages;

/// How long a server may take to answer anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most that a server sends after a Close frame: perhaps with a ping before its own.
const MAX_FINAL_BYTES: u64 = 1024;

/// The number of handshakes in progress at a time: enough to keep a server busy, and fewer than any server's backlog.
pub const AT_ONCE: usize = 16;

/// The key of RFC 6455 §1.3, and the answer to it. Nothing here has to be unpredictable.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";

/// A connection whose opening handshake is in progress.
pub struct Opening {
    stream: TcpStream,
    deflate: bool,
}

/// What an echo is asked for.
const ECHO: &str = "/echo";

/// A connection that sends messages and receives their echoes.
pub struct Connection {
    stream: TcpStream,
    echoes: Echoes,
    /// The message to send next.
    next: usize,
    /// The position of the unsent bytes in the messages' frames, and their number.
    at: usize,
    unsent: usize,
    /// The times at which the messages in flight were due, if they are paced.
    pub due: VecDeque<Instant>,
    /// Whether epoll reports when more can be written.
    pub waits_to_write: bool,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Opening {
    /// Connects, and asks for a WebSocket at this path; with compression or without.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached.
    pub fn begin(server: SocketAddr, path: &str, deflate: bool) -> Result<Self> {
        Self::on(TcpStream::connect(server), server, path, deflate)
    }

    /// The same from another address of this machine.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn begin_from(
        own: Ipv4Addr,
        server: SocketAddr,
        path: &str,
        deflate: bool,
    ) -> Result<Self> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&socket, &SocketAddr::from((own, 0)))?;
        connect(&socket, &server)?;
        Self::on(Ok(socket.into()), server, path, deflate)
    }

    fn on(
        connected: io::Result<TcpStream>,
        server: SocketAddr,
        path: &str,
        deflate: bool,
    ) -> Result<Self> {
        let mut stream = connected.map_err(|error| match error.kind() {
            ErrorKind::AddrNotAvailable => {
                "no local ports are left: use fewer connections".to_owned()
            }
            _ => format!("cannot connect: {error}"),
        })?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // Reset when dropped, so that no port is left waiting for stray packets: some seconds of handshakes would use
        // up all ports.
        set_socket_linger(&stream, Some(Duration::ZERO))?;
        stream.write_all(request(server, path, deflate).as_bytes())?;
        Ok(Self { stream, deflate })
    }

    /// Waits for the server's answer.
    ///
    /// # Errors
    ///
    /// When there is none, or the server does not agree.
    pub fn finish(self) -> Result<Connection> {
        let (stream, rest) = self.finish_raw()?;
        if !rest.is_empty() {
            return Err("a message that answers none".into());
        }
        Ok(Connection {
            stream,
            echoes: Echoes::default(),
            next: 0,
            at: 0,
            unsent: 0,
            due: VecDeque::new(),
            waits_to_write: false,
        })
    }

    /// The same; returns the socket, which no longer blocks, and what has come after the answer.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn finish_raw(mut self) -> Result<(TcpStream, Vec<u8>)> {
        let (head, rest) = read_head(&mut self.stream)?;
        check_response(&head, self.deflate)?;
        self.stream.set_nonblocking(true)?;
        Ok((self.stream, rest))
    }
}

impl Connection {
    /// Opens this number of connections, some at a time.
    ///
    /// # Errors
    ///
    /// When one of them is not opened.
    pub fn open_many(server: SocketAddr, deflate: bool, count: usize) -> Result<Vec<Self>> {
        Self::open_from(1, server, deflate, count)
    }

    /// The same from this number of addresses, in turn.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn open_from(
        addresses: u8,
        server: SocketAddr,
        deflate: bool,
        count: usize,
    ) -> Result<Vec<Self>> {
        let mut owns = (1..=addresses)
            .map(|last| Ipv4Addr::new(127, 0, 0, last))
            .cycle();
        let mut connections = Vec::with_capacity(count);
        while connections.len() < count {
            let some = AT_ONCE.min(count - connections.len());
            let openings: Result<Vec<_>> = (0..some)
                .map(|_| match owns.next() {
                    Some(own) if addresses > 1 => Opening::begin_from(own, server, ECHO, deflate),
                    _ => Opening::begin(server, ECHO, deflate),
                })
                .collect();
            for opening in openings? {
                let number = connections.len() + 1;
                let connection = opening.finish();
                connections
                    .push(connection.map_err(|error| format!("connection {number}: {error}"))?);
            }
        }
        Ok(connections)
    }

    /// Sends this number of further messages, as far as the socket takes them.
    ///
    /// # Errors
    ///
    /// When the connection has failed.
    pub fn send(&mut self, count: usize, messages: &Messages) -> Result<()> {
        for _ in 0..count {
            self.unsent += messages.frame_length(self.next);
            self.next = (self.next + 1) % messages.count();
        }
        self.flush(messages)
    }

    /// Sends the unsent bytes, as far as the socket takes them.
    ///
    /// # Errors
    ///
    /// When the connection has failed.
    pub fn flush(&mut self, messages: &Messages) -> Result<()> {
        while self.unsent > 0 {
            match self.stream.write(messages.frames(self.at, self.unsent)) {
                Ok(sent) => {
                    self.unsent -= sent;
                    self.at = messages.advance(self.at, sent);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Sends a message, and waits until it is back.
    ///
    /// # Errors
    ///
    /// When the connection has failed, or what came back is not what was sent.
    pub fn echo(&mut self, messages: &Messages) -> Result<()> {
        self.stream.set_nonblocking(false)?;
        self.send(1, messages)?;
        let start = Instant::now();
        let mut buffer = [0; 16 << 10];
        while self.receive(&mut buffer, messages)? == 0 {
            if start.elapsed() > PATIENCE {
                return Err(format!("a message did not come back in {PATIENCE:?}").into());
            }
        }
        Ok(())
    }

    /// Ends the connection with a closing handshake (RFC 6455 §7.1.2). No messages may be in flight.
    ///
    /// # Errors
    ///
    /// When the server does not answer, or does not close the connection after it.
    pub fn close(mut self) -> Result<()> {
        self.stream.set_nonblocking(false)?;
        self.stream.write_all(b"\x88\x82\0\0\0\0\x03\xe8")?;
        let mut answer = Vec::new();
        let end = (&self.stream)
            .take(MAX_FINAL_BYTES)
            .read_to_end(&mut answer);
        end.map_err(|error| format!("the connection is not closed: {error}"))?;
        if answer.ends_with(b"\x88\x02\x03\xe8") {
            Ok(())
        } else {
            Err(format!("no answer to a Close frame, but {answer:?}").into())
        }
    }

    /// Whether bytes are unsent.
    pub fn has_unsent(&self) -> bool {
        self.unsent > 0
    }

    /// Reads once, and returns the number of messages that came back.
    ///
    /// # Errors
    ///
    /// When the connection has failed, or what came back is not what was sent.
    pub fn receive(&mut self, buffer: &mut [u8], messages: &Messages) -> Result<usize> {
        match self.stream.read(buffer) {
            Ok(0) => Err("the server has closed the connection".into()),
            Ok(length) => self.echoes.receive(&buffer[..length], messages),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

fn request(server: SocketAddr, path: &str, deflate: bool) -> String {
    let offer = if deflate { OFFER } else { "" };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"
    )
}

/// Reads a head, and returns what has come after it, too.
fn read_head(stream: &mut TcpStream) -> Result<(String, Vec<u8>)> {
    const END: &[u8] = b"\r\n\r\n";
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        let length = stream.read(&mut buffer).map_err(no_answer)?;
        if length == 0 || head.len() > 8192 {
            return Err(format!("no handshake: {}", String::from_utf8_lossy(&head)).into());
        }
        head.extend_from_slice(&buffer[..length]);
        if let Some(at) = head.windows(END.len()).position(|bytes| bytes == END) {
            let rest = head.split_off(at + END.len());
            return Ok((String::from_utf8(head)?, rest));
        }
    }
}

fn no_answer(error: io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock => format!("no answer to the handshake in {PATIENCE:?}"),
        _ => format!("no answer to the handshake: {error}"),
    }
}

fn check_response(head: &str, deflate: bool) -> Result<()> {
    if !head.starts_with("HTTP/1.1 101 ") || !head.contains(ACCEPT) {
        return Err(format!("no handshake: {head}").into());
    }
    if head.contains("permessage-deflate") != deflate {
        return Err("the server does not compress".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_responses_are_accepted() {
        let plain =
            format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n");
        assert!(check_response(&plain, false).is_ok());
        assert!(check_response(&plain, true).is_err());
        let compressed = plain.replace(
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        );
        assert!(check_response(&compressed, true).is_ok());
        assert!(check_response(&compressed, false).is_err());
        assert!(check_response(&plain.replace("101", "200"), false).is_err());
        assert!(check_response(&plain.replace(ACCEPT, KEY), false).is_err());
    }
}
