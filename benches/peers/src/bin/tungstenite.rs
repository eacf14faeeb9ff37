//! An echo made with tokio-tungstenite.

use std::io;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use wasocket_bench_peers::serve;

/// The read buffer of each connection. The default of 128 KiB would take a gigabyte for ten thousand connections.
const READ_BUFFER: usize = 16 << 10;

fn main() -> io::Result<()> {
    serve(converse)
}

async fn converse(stream: TcpStream) -> Result<(), Error> {
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
    let mut socket = accept_async_with_config(stream, Some(config)).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        // The library answers control frames.
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
