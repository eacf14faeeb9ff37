//! An app: a page at `/`, and the WebSocket that the page talks to.

use wasocket::{Error, Message, Request, Response, Router, WebSocket, websocket};

wasocket::export!(app());

fn app() -> Router {
    Router::new().get("/", page).websocket("/", websocket(echo))
}

fn page(_: &Request) -> Response {
    Response::new(200, "text/html; charset=utf-8", include_str!("page.html"))
}

/// Called for each connection. Its local variables live as long as the connection.
async fn echo(ws: WebSocket) -> Result<(), Error> {
    let mut count = 0;
    while let Some(message) = ws.receive::<Message>().await? {
        count += 1;
        if message.as_bytes() == b"count" {
            ws.send(format!("{count} messages")).await?;
        } else {
            ws.send(message).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use wasocket_test::{Kit, websocket};

    #[test]
    fn serves_the_page() {
        Kit::native(super::app()).get("/").assert_status(200);
    }

    #[test]
    fn echoes_and_counts_messages() {
        let kit = Kit::native(super::app());
        let ws = kit.connect(websocket("/"));
        ws.send("hello");
        ws.assert_text("hello");
        ws.send("count");
        ws.assert_text("2 messages");
    }
}
