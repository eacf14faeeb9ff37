//! An app with two subprotocols (RFC 6455 §1.9): `echo.v1` echoes messages, `count.v1` counts them. A client that
//! offers neither is refused.

use wasocket::{Answer, Error, Message, Request, Response, Upgrade, WebSocket};

wasocket::export!(handle);

/// The preferred subprotocol first.
const SUPPORTED: &[&str] = &["count.v1", "echo.v1"];

fn handle(request: &Request) -> Answer {
    let mut offers = request.subprotocols();
    if request.wants_websocket() && !offers.any(|offer| SUPPORTED.contains(&offer)) {
        let supported = SUPPORTED.join(", ");
        let text = format!("Offer a supported subprotocol: {supported}.\n");
        return Response::text(400, text)
            .with_field("Connection", "close")
            .into();
    }
    Upgrade::new()
        .subprotocols(SUPPORTED)
        .converse(request, converse)
}

async fn converse(ws: WebSocket) -> Result<(), Error> {
    match ws.subprotocol() {
        Some("count.v1") => count(&ws).await,
        _ => echo(&ws).await,
    }
}

async fn echo(ws: &WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.receive::<Message>().await? {
        ws.send(message).await?;
    }
    Ok(())
}

async fn count(ws: &WebSocket) -> Result<(), Error> {
    let mut count = 0;
    while ws.receive::<Message>().await?.is_some() {
        count += 1;
        ws.send(count.to_string()).await?;
    }
    Ok(())
}
