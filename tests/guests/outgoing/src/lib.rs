//! A component that sends requests to HTTP backends on command. A message is a command, often with a URL: see
//! [`execute`]. Messages report the results.

use std::time::Duration;

use wasocket::{
    Answer, Error, Request, Response, Router, Upgrade, WebSocket, decide, http, websocket,
};

wasocket::export!(
    Router::new()
        .websocket("/", websocket(serve))
        .any("/enter", decide(enter))
);

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3600);

async fn serve(ws: WebSocket) -> Result<(), Error> {
    while let Some(command) = ws.receive::<String>().await? {
        let (name, url) = command.split_once(' ').unwrap_or((&command, ""));
        match execute(&ws, name, url).await {
            Err(Error::Http(error)) => ws.send(format!("{error:?}")).await?,
            result => result?,
        }
    }
    Ok(())
}

async fn execute(ws: &WebSocket, name: &str, url: &str) -> Result<(), Error> {
    match name {
        // Reports the status, each chunk as it arrives, and the end.
        "get" => say(ws, http::get(url)).await,
        "post" => say(ws, http::post(url).body("the question")).await,
        "too-big" => {
            say(
                ws,
                http::post(url).body(vec![0; http::MAX_REQUEST_BODY + 1]),
            )
            .await
        }
        "biggest" => say(ws, http::post(url).body(vec![0; http::MAX_REQUEST_BODY])).await,
        // Both give the backend a tenth of a second for the head.
        "impatient" => say(ws, http::get(url).timeout(Duration::from_millis(100))).await,
        "give-up" => match ws
            .timeout(Duration::from_millis(100), http::get(url).send())
            .await
        {
            Ok(_) => ws.send("answered").await,
            Err(_) => ws.send("given up").await,
        },
        // Holds a response without reading it.
        "hold" => {
            let _answer = http::get(url).send().await?;
            ws.send("held").await?;
            ws.receive::<String>().await.map(drop)
        }
        // Holds two unread responses, and requests another.
        "third" => {
            let _first = http::get(url).send().await?;
            let _second = http::get(url).send().await?;
            say(ws, http::get(url)).await
        }
        "count" => {
            let mut answer = http::get(url).send().await?;
            let mut size = 0;
            while let Some(chunk) = answer.chunk().await? {
                size += chunk.len();
            }
            ws.send(size.to_string()).await
        }
        "trap" => {
            let _answer = http::get(url).send().await?;
            panic!("a panic for the test")
        }
        // A guest must not do this.
        "block" => {
            wasi::clocks::monotonic_clock::subscribe_duration(LONG.as_nanos() as u64).block();
            Ok(())
        }
        _ => ws.send(format!("echo {name}")).await,
    }
}

async fn say(ws: &WebSocket, request: http::RequestBuilder) -> Result<(), Error> {
    let mut answer = request.send().await?;
    ws.send(format!("status {}", answer.status())).await?;
    while let Some(chunk) = answer.chunk().await? {
        ws.send(format!("chunk {}", String::from_utf8_lossy(&chunk)))
            .await?;
    }
    ws.send("end").await
}

/// Lets the backend named in the query decide.
async fn enter(request: Request) -> Answer {
    let url = request.query_value("backend").unwrap_or_default();
    match http::get(url).send().await {
        Ok(answer) if answer.status() == 500 => panic!("a panic for the test"),
        Ok(answer) if answer.is_success() => Upgrade::new().converse(&request, serve),
        Ok(answer) => Response::text(answer.status(), "No.\n").into(),
        Err(error) => Response::text(502, format!("{error:?}\n")).into(),
    }
}
