//! What the servers have in common: where they listen, and that they say so.

use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// The longest message that a server takes whose limit can be set, in bytes.
pub const MAX_MESSAGE: usize = 16 << 20;

/// Prints `http://ADDRESS/`, for who started the server.
///
/// # Errors
///
/// When nobody reads it.
pub fn announce(address: SocketAddr) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "http://{address}/")?;
    stdout.flush()
}

/// Serves connections on a free port of the loopback interface, for ever, in one thread. That a connection
/// ends in an error is no news: the load generator resets them all.
///
/// # Errors
///
/// When there is no socket to be had.
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
