//! Servers and proxies that tests start.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use support::tls_file;
use tokio::io::copy_bidirectional;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use wasocket::accept_key;

/// Accepts a client's connection and its handshake, after an interim response (RFC 9110 §15.2); returns the key of the
/// handshake, too.
pub fn accept(listener: &TcpListener) -> (TcpStream, String) {
    let (mut client, _) = listener.accept().expect("a client");
    let head = read_head(&mut client);
    let key = head.split("Sec-WebSocket-Key: ").nth(1);
    let key = key.and_then(|key| key.lines().next()).expect("a key");
    let head = format!(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n\
         HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept_key(key.as_bytes())
    );
    client.write_all(head.as_bytes()).expect("it reads");
    (client, key.to_owned())
}

/// The first byte of a client's short frame, and its payload.
pub fn read_frame(client: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut header = [0; 6];
    client.read_exact(&mut header).expect("a frame");
    let [first, length, key @ ..] = header;
    let mut payload = vec![0; usize::from(length & 0x7f)];
    client.read_exact(&mut payload).expect("a payload");
    for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
    (first, payload)
}

/// A server that answers one request with these bytes, then closes the connection.
pub fn answering(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        read_head(&mut stream);
        let _ = stream.write_all(answer);
    });
    format!("ws://{address}/")
}

/// A `wss` server that closes the connection as soon as the client has sent something.
pub fn hanging_up() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let _ = stream.read(&mut [0; 4096]);
    });
    format!("wss://{address}/")
}

/// A server that answers one request with these bytes, and then nothing more; the head of the request.
pub fn pausing_after(answer: &'static [u8]) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (sender, head) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let _ = sender.send(read_head(&mut stream));
        let _ = stream.write_all(answer);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    (format!("ws://{address}/"), head)
}

/// A server of one WebSocket, in the hands of `serve`.
pub fn websocket(serve: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || serve(accept(&listener).0));
    format!("ws://{address}/")
}

/// Answers pings and the Close frame, but no message.
pub fn ignore_messages(mut client: TcpStream) {
    const PING: u8 = 0x89;
    const PONG: u8 = 0x8a;
    const CLOSE: u8 = 0x88;
    loop {
        let (first, payload) = read_frame(&mut client);
        let answer = match first {
            PING => PONG,
            CLOSE => CLOSE,
            _ => continue,
        };
        let length = u8::try_from(payload.len()).expect("short");
        let frame = [&[answer, length][..], &payload].concat();
        client.write_all(&frame).expect("it reads");
        if first == CLOSE {
            return;
        }
    }
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).expect("a request") == 0 {
            break;
        }
        head.extend(byte);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// A proxy that serves CONNECT requests with these credentials, after an interim response.
pub fn proxy(authorization: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || tunnel(stream, authorization));
        }
    });
    address
}

fn tunnel(mut client: TcpStream, authorization: Option<&str>) {
    let head = read_head(&mut client);
    let place = head.strip_prefix("CONNECT ").expect("CONNECT");
    let (place, _) = place.split_once(" HTTP/1.1\r\n").expect("a target");
    assert!(head.contains(&format!("\r\nHost: {place}\r\n")), "{head}");
    let given = head.lines().find_map(|line| {
        let value = line.strip_prefix("Proxy-Authorization: ")?;
        Some(value.to_owned())
    });
    if given.as_deref() != authorization {
        let _ = client.write_all(
            b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n\r\n",
        );
        return;
    }
    let Ok(server) = TcpStream::connect(place) else {
        let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        return;
    };
    let _ = client.write_all(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    let pump = |mut from: TcpStream, mut to: TcpStream| {
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        })
    };
    pump(
        client.try_clone().expect("a socket"),
        server.try_clone().expect("a socket"),
    );
    pump(server, client);
}

/// Starts a proxy that terminates TLS in front of a server.
pub fn tls_in_front_of(server: SocketAddr) -> SocketAddr {
    let certificate = CertificateDer::from_pem_file(tls_file("certificate.pem"));
    let key = PrivateKeyDer::from_pem_file(tls_file("key.pem"));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the defaults are possible")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.expect("a certificate")],
            key.expect("a key"),
        )
        .expect("the key is the certificate's");
    // This server requires ALPN, and prefers a protocol that the client does not offer.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || forward(listener, acceptor, server));
    address
}

fn forward(listener: TcpListener, acceptor: TlsAcceptor, server: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        listener.set_nonblocking(true).expect("possible");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let server = tokio::net::TcpStream::connect(server).await;
                let mut server = server.expect("the server accepts");
                let _ = copy_bidirectional(&mut stream, &mut server).await;
            });
        }
    });
}
