//! A visitor of the public site: another address than the proxy's, TLS, and lies about both.

use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use support::{Server, Site, TIMEOUT, client_config, read_head, text};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::proxy::Proxy;

/// The visitor's address; the proxy's own is 127.0.0.1.
const ADDRESS: [u8; 4] = [127, 0, 0, 2];

/// What the visitor claims to be.
const LIES: &str = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\nForwarded: for=203.0.113.9;proto=http\r\n";

pub type Tls = StreamOwned<ClientConnection, TcpStream>;

pub struct Visitor {
    port: u16,
    config: Arc<ClientConfig>,
}

impl Visitor {
    pub fn new(port: u16, trusted: &Path) -> Self {
        Self {
            port,
            config: client_config(trusted),
        }
    }

    /// Sends the head of a request, with the visitor's lies; returns the stream, and the head of the response.
    pub fn ask(&self, host: &str, path: &str, fields: &str) -> (Tls, String) {
        let site = Site::at(([127, 0, 0, 1], self.port).into());
        let name = ServerName::try_from("chat.example").expect("a name");
        let tls = ClientConnection::new(Arc::clone(&self.config), name).expect("a client");
        let mut stream = StreamOwned::new(tls, site.connect_from(ADDRESS).stream);
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{LIES}{fields}\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let head = read_head(&mut stream);
        (stream, head)
    }

    /// Asks for a WebSocket at this path, as a page of this origin.
    pub fn open(&self, path: &str, origin: &str) -> (Tls, String) {
        let fields = format!(
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {origin}\r\n"
        );
        self.ask(&self.host(), path, &fields)
    }

    /// The public host.
    pub fn host(&self) -> String {
        format!("chat.example:{}", self.port)
    }

    /// What holds behind every proxy.
    pub fn is_served(&self, server: &Server, proxy: &Proxy) {
        let said = || format!("{}{}", proxy.log(), server.log());
        let host = self.host();
        let (mut page, head) = self.ask(&host, "/", "Connection: close\r\n");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}{}", said());
        let mut body = String::new();
        // Some proxies end without TLS's own end.
        let _ = page.read_to_string(&mut body);
        assert!(body.contains("</html>"), "{body}{}", said());

        let (mut websocket, head) = self.open("/echo", &format!("https://{host}"));
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}{}", said());
        for message in ["hello".to_owned(), "x".repeat(60_000)] {
            assert_echoes(&mut websocket, &message);
        }
        // A Close frame, and its echo.
        websocket
            .write_all(b"\x88\x82\0\0\0\0\x03\xe8")
            .expect("it reads");
        let mut close = [0; 4];
        websocket.read_exact(&mut close).expect("a Close frame");
        assert_eq!(&close, b"\x88\x02\x03\xe8");

        // The client came over TLS, so a page that did not is foreign.
        let foreign = [format!("http://{host}"), "https://evil.example".to_owned()];
        let refused = foreign.map(|origin| self.open("/echo", &origin));
        for (_, head) in &refused {
            assert!(head.starts_with("HTTP/1.1 403 "), "{head}{}", said());
        }

        let clients = clients(server, 4);
        let is_visitor = |remote: &String| remote.split(':').next() == Some("127.0.0.2");
        assert!(
            clients.len() == 4 && clients.iter().all(is_visitor),
            "{clients:?}{}",
            said()
        );
        // Not before: one that left its answer unread would have a line more, which says so.
        drop(refused);
    }
}

fn assert_echoes(stream: &mut Tls, message: &str) {
    stream.write_all(&text(message)).expect("it reads");
    let mut start = [0; 2];
    stream.read_exact(&mut start).expect("a frame");
    if start[1] == 126 {
        stream.read_exact(&mut [0; 2]).expect("its length");
    }
    let mut echo = vec![0; message.len()];
    stream.read_exact(&mut echo).expect("an echo");
    assert_eq!((start[0], &*echo), (0x81, message.as_bytes()));
}

/// The clients in the access lines, once there are this many.
fn clients(server: &Server, count: usize) -> Vec<String> {
    let remote = |line: &str| {
        let (_, line) = line.split_once(" access: ")?;
        let (_, rest) = line.split_once(" remote=")?;
        rest.split(' ').next().map(str::to_owned)
    };
    let start = Instant::now();
    loop {
        let clients: Vec<_> = server.log().lines().filter_map(remote).collect();
        if clients.len() >= count || start.elapsed() > TIMEOUT {
            return clients;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
