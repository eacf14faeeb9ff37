//! An HTTP backend whose responses the test writes, whenever it likes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::TIMEOUT;

/// A backend, listening on a free port.
pub struct Backend {
    listener: TcpListener,
    /// Its address.
    pub address: SocketAddr,
}

impl Backend {
    /// Starts listening.
    pub fn start() -> Self {
        let listener = listen();
        // So that the test fails if no request comes.
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        Self { listener, address }
    }

    /// The URL of a path on this backend.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The option that allows the app to send requests to it.
    pub fn allowed(&self) -> [String; 2] {
        ["--allow-http".to_owned(), self.address.to_string()]
    }

    /// Accepts the next connection, and reads the request on it.
    pub fn accept(&self) -> Exchange {
        Exchange::begin(self.accept_raw())
    }

    /// Accepts the next connection, and reads nothing.
    pub fn accept_raw(&self) -> TcpStream {
        let start = Instant::now();
        let stream = loop {
            match self.listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert!(start.elapsed() < TIMEOUT, "no request in time");
                    thread::sleep(Duration::from_millis(2));
                }
                Err(error) => panic!("{error}"),
            }
        };
        stream.set_nonblocking(false).expect("a socket");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a time");
        stream
    }

    /// Whether another connection has come in.
    pub fn is_asked(&self) -> bool {
        self.listener.accept().is_ok()
    }
}

/// Listens with room for a burst: beyond std's backlog of 128, clients would retry only after a second.
pub fn listen() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).expect("a port");
    socket.listen(4096).expect("a listener");
    socket.into()
}

/// A request that waits for its response.
pub struct Exchange {
    /// The connection.
    pub stream: TcpStream,
    /// The head of the request, in lower case.
    pub head: String,
    /// The body of the request.
    pub body: Vec<u8>,
}

impl Exchange {
    fn begin(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
                break end + 4;
            }
            read(&mut stream, &mut bytes);
        };
        let mut body = bytes.split_off(end);
        let head = String::from_utf8_lossy(&bytes).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().expect("a number"));
        while body.len() < length {
            read(&mut stream, &mut body);
        }
        Self { stream, head, body }
    }

    /// Writes a part of the response.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .expect("the runner reads");
    }

    /// Writes the head of a response whose body comes in chunks.
    pub fn begin_chunks(&mut self) {
        self.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    }

    /// Writes a chunk of the body.
    pub fn chunk(&mut self, chunk: &str) {
        self.write(format!("{:x}\r\n{chunk}\r\n", chunk.len()));
    }

    /// Responds without a body.
    pub fn answer(mut self, status: u16) {
        self.write(format!(
            "HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n\r\n"
        ));
    }

    /// Whether the runner closes the connection in time.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) {
    let mut buffer = [0; 65_536];
    let size = stream.read(&mut buffer).expect("a request in time");
    assert!(size > 0, "the request ends too early");
    bytes.extend_from_slice(&buffer[..size]);
}
