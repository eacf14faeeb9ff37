//! A TCP port behind a WebSocket: clients that can only reach port 443, or only through a proxy, reach a server for
//! SSH, a database, or a remote desktop in a browser.
//!
//! ```text
//! wasocket serve tunnel.wasm --env TO=127.0.0.1:22 --allow-tcp 127.0.0.1:22
//! ssh -o ProxyCommand='wasocket connect --binary ws://localhost:1234/' localhost
//! ```
//!
//! Binary messages carry the bytes; message boundaries have no meaning.

use std::env;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use futures_util::future::{Either, select};
use futures_util::io::{AsyncReadExt, copy};
use wasocket::{CloseCode, Failure, WebSocket, tcp, websocket};

wasocket::export!(websocket(tunnel));

async fn tunnel(ws: WebSocket) -> Result<(), Broken> {
    let server = tcp::Stream::connect(to()?)
        .await
        .inspect_err(|error| eprintln!("{error}"))?;
    let (from_server, mut to_server) = server.split();
    let (from_client, mut to_client) = ws.into_byte_stream().split();
    // When one side has finished, so has the other.
    let up = copy(from_client, &mut to_server);
    let down = copy(from_server, &mut to_client);
    match select(up, down).await {
        Either::Left((end, _)) | Either::Right((end, _)) => end?,
    };
    Ok(())
}

/// The server that the operator has set.
fn to() -> Result<SocketAddr, Broken> {
    let to = env::var("TO").unwrap_or_default();
    to.parse().map_err(|_| {
        eprintln!(
            "TO must be an address such as 127.0.0.1:22 (wasocket serve --env TO=..), not {to:?}"
        );
        Broken
    })
}

/// The server cannot be reached, or the connection to it broke.
struct Broken;

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server cannot be reached, or the connection to it broke")
    }
}

impl Failure for Broken {
    /// "Bad gateway", in the IANA registry.
    fn close_code(&self) -> CloseCode {
        CloseCode::BAD_GATEWAY
    }
}
