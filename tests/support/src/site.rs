//! Where an app is served, and how to reach it.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::{Client, Head, opening_handshake, root};

/// Where an app is served.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// The address of the server.
    pub address: SocketAddr,
    /// The longest it may take until others reach a client that has joined a channel; zero where subscribing
    /// is part of the answer.
    pub settling: Duration,
}

impl Site {
    /// A server that subscribes its clients before it answers them.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            settling: Duration::ZERO,
        }
    }

    /// Opens a connection.
    pub fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("the runner accepts");
        Client::on(stream)
    }

    /// Opens a connection whose client takes at most a few kilobytes before it reads them, in small segments.
    pub fn connect_narrow(&self) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(2048).expect("a size");
        socket.set_tcp_mss(536).expect("a size");
        socket
            .connect(&self.address.into())
            .expect("the runner accepts");
        Client::on(socket.into())
    }

    /// Opens a connection from another address of this machine, such as 127.0.0.2.
    pub fn connect_from(&self, address: [u8; 4]) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let own = SocketAddr::from((address, 0));
        socket.bind(&own.into()).expect("all of 127/8 is ours");
        socket
            .connect(&self.address.into())
            .expect("the runner accepts");
        Client::on(socket.into())
    }

    /// Opens a WebSocket at `path`.
    pub fn websocket(&self, path: &str) -> Client {
        let mut client = self.connect();
        client.send(&opening_handshake(path));
        let head = client.read_head();
        assert_eq!(head.status, 101, "{head:?}");
        client
    }

    /// Sends a whole request on a connection of its own, and reads the response.
    pub fn request(&self, request: &str) -> (Head, String) {
        let mut client = self.connect();
        client.send(request.as_bytes());
        let head = client.read_head();
        let body = client.read_body(&head);
        (head, body)
    }

    /// Runs a third-party client from `tests/peers`, such as Chromium, against this server; it exits on its own
    /// within a minute. `scheme`: `ws` or `wss`.
    ///
    /// # Errors
    ///
    /// The peer's output, if it fails.
    pub fn serves(&self, peer: &str, scheme: &str) -> Result<(), String> {
        let output = Command::new(root().join("tests/peers/run"))
            .args([peer, &format!("{scheme}://{}", self.address)])
            .output()
            .expect("tests/peers/run runs");
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy;
        Err(format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }
}
