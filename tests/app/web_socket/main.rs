//! An app's function on a connection, run natively, driven as a host would drive it.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

#[path = "../host/mod.rs"]
mod host;

mod conversation;
mod ends;
mod limits;
mod pings;
mod rooms;
mod sending;
mod streaming;
mod timers;
mod topics;

use wasocket::{Error, WebSocket};

async fn echo(ws: WebSocket) -> Result<(), Error> {
    while let Some(text) = ws.receive::<String>().await? {
        ws.send(format!("Received:  {text}")).await?;
    }
    Ok(())
}
