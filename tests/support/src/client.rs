//! A client that knows just enough of HTTP and WebSocket to talk to a server byte by byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::TIMEOUT;

/// A valid opening handshake for `path`.
pub fn opening_handshake(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// A masked text frame with a payload of up to 65,535 bytes; the masking key is zero.
pub fn text(payload: &str) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a short payload");
    let mut frame = vec![0x81];
    match u8::try_from(length).ok().filter(|length| *length < 126) {
        Some(length) => frame.push(0x80 | length),
        None => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload.as_bytes());
    frame
}

/// Reads the head of a response byte by byte, so that what follows stays in the stream.
pub fn read_head(stream: &mut impl Read) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        head.extend(byte);
    }
    String::from_utf8(head).expect("ASCII")
}

/// The head of a response.
#[derive(Debug)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Names and values, in order.
    pub fields: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// The value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<String> {
        let (_, value) = self
            .fields
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

/// A client's socket.
pub struct Client {
    /// The socket.
    pub stream: TcpStream,
    /// Bytes read and not yet used.
    pub received: Vec<u8>,
}

impl Client {
    pub(crate) fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(TIMEOUT)).expect("a time");
        stream.set_write_timeout(Some(TIMEOUT)).expect("a time");
        Self {
            stream,
            received: vec![],
        }
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the runner reads");
    }

    /// Sends bytes that the server may no longer read.
    pub fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Closes the sending direction.
    pub fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("connected");
    }

    /// Whether the connection is open and nothing has arrived.
    pub fn has_nothing_to_read(&self) -> bool {
        self.stream.set_nonblocking(true).expect("connected");
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("connected");
        peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Reads the head of a response.
    pub fn read_head(&mut self) -> Head {
        let end = loop {
            if let Some(end) = self.received.windows(4).position(|end| end == b"\r\n\r\n") {
                break end;
            }
            assert!(self.read_more(), "the stream ends inside the head");
        };
        let head: Vec<u8> = self.received.drain(..end + 4).collect();
        let text = String::from_utf8_lossy(&head);
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1."));
        let status = status.and_then(|line| line.get(2..5)?.parse().ok());
        let field = |line: &str| {
            let (name, value) = line.split_once(':').expect("a field line");
            (name.to_owned(), value.trim().as_bytes().to_vec())
        };
        Head {
            status: status.unwrap_or_else(|| panic!("no status in {text:?}")),
            fields: lines.map(field).collect(),
        }
    }

    /// Reads a body with `Content-Length`.
    pub fn read_body(&mut self, head: &Head) -> String {
        let length = head.field("Content-Length").expect("a length");
        let body = self.read_exactly(length.parse().expect("a number"));
        String::from_utf8(body).expect("text")
    }

    /// Reads a text message sent in one frame.
    pub fn read_text(&mut self) -> String {
        let start = self.read_exactly(2);
        assert_eq!(start[0], 0x81, "a text message");
        let length = match start[1] {
            126 => {
                let length = self.read_exactly(2);
                let length = u16::from_be_bytes([length[0], length[1]]);
                assert!(length >= 126, "the shortest form (RFC 6455 5.2)");
                length.into()
            }
            length => {
                assert!(length < 126, "unmasked, and at most 65,535 bytes");
                length.into()
            }
        };
        String::from_utf8(self.read_exactly(length)).expect("text")
    }

    /// Sends a text message, and reads its echo.
    #[track_caller]
    pub fn assert_echoes(&mut self, message: &str) {
        self.send(&text(message));
        assert_eq!(self.read_text(), message);
    }

    /// Reads this number of bytes.
    pub fn read_exactly(&mut self, length: usize) -> Vec<u8> {
        while self.received.len() < length {
            let received = self.received.len();
            assert!(
                self.read_more(),
                "the stream ends after {received} bytes: {:?}",
                &self.received[..received.min(80)]
            );
        }
        self.received.drain(..length).collect()
    }

    /// Reads until the server closes its sending direction; panics on a reset.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        while self.read_more() {}
        std::mem::take(&mut self.received)
    }

    /// Waits until the connection is over, whether closed or reset.
    pub fn wait_for_end(&mut self) {
        let mut buffer = [0; 65_536];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => drop(result.expect("the stream ends in time")),
            }
        }
    }

    /// Reads what has arrived, or waits for it; returns `false` at the end of the stream.
    pub fn read_more(&mut self) -> bool {
        let mut buffer = [0; 65_536];
        let size = loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result.expect("data or the end of the stream, in time"),
            }
        };
        self.received.extend(&buffer[..size]);
        size > 0
    }
}

/// The configuration of a TLS client that trusts only the certificate in this file.
pub fn client_config(trusted: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(trusted).expect("a certificate");
    roots.add(certificate).expect("it is one");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the defaults are possible")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}
