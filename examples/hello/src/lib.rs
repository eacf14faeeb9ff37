//! The smallest app: every message comes back.

use wasocket::{Error, Message, WebSocket, websocket};

async fn echo(ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.receive::<Message>().await? {
        ws.send(message).await?;
    }
    Ok(())
}

wasocket::export!(websocket(echo));
