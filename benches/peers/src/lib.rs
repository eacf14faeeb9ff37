//! Code that the servers share: they listen, and print their address.

use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use wasocket::accept_key;

/// The longest message that servers with a configurable limit accept, in bytes.
pub const MAX_MESSAGE: usize = 16 << 20;

/// Prints `http://ADDRESS/`, for the program that started the server.
///
/// # Errors
///
/// When standard output is closed.
pub fn announce(address: SocketAddr) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "http://{address}/")?;
    stdout.flush()
}

/// The response to an opening handshake, made of the head of its request; `None` if that has no key.
#[must_use]
pub fn switching_protocols(head: &str) -> Option<String> {
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))?;
    let accept = accept_key(key.as_bytes());
    let response = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade";
    Some(format!(
        "{response}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
}

/// Serves connections on a free port of the loopback interface, forever, in one thread. Errors on connections are
/// expected: the load generator resets them all.
///
/// # Errors
///
/// When there is no free socket.
pub fn serve<F: Future + 'static>(converse: impl Fn(TcpStream) -> F) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        announce(listener.local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let conversation = converse(stream);
            tokio::task::spawn_local(async {
                conversation.await;
            });
        }
    })
}
