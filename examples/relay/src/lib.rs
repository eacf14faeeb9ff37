//! Forwards questions to an HTTP backend, and streams the answers back, as between a browser and a language model.
//!
//! ```text
//! wasocket serve relay.wasm --env BACKEND=http://localhost:8080 --allow-http localhost:8080
//! ```
//!
//! - `/ask`: each message, `{"id": 1, "text": ".."}`, becomes a POST of the text to `BACKEND/answer`. The parts of
//!   the answer come back as `{"id": 1, "part": ".."}`, followed by `{"id": 1, "end": 200}` with the status. A client
//!   may ask several questions at once.
//! - `/members/ask`: the same for users that the backend knows: the app first sends a request to `BACKEND/user` with
//!   the client's `Authorization`. Other clients get 401 in place of a WebSocket.

use std::env;
use std::mem;

use futures_util::stream::{self, TryStreamExt};
use serde::{Deserialize, Serialize};
use wasocket::{
    Answer, Error, Json, Request, Response, Router, Upgrade, WebSocket, decide, http, websocket,
};

wasocket::export!(routes());

/// The most questions of one client that are answered at once; further ones wait in its socket.
const MAX_OPEN: usize = 16;

#[derive(Deserialize)]
struct Question {
    id: u64,
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Part(String),
    End(u16),
    Failed(String),
}

#[derive(Serialize)]
struct Reply {
    id: u64,
    #[serde(flatten)]
    said: Said,
}

fn routes() -> Router {
    Router::new()
        .get("/", page)
        .websocket("/ask", websocket(ask))
        .websocket("/members/ask", decide(enter))
}

fn page(_: &Request) -> Response {
    Response::new(200, "text/html; charset=utf-8", include_str!("page.html"))
}

fn backend(path: &str) -> String {
    env::var("BACKEND").unwrap_or_else(|_| "http://localhost:8080".to_owned()) + path
}

/// Accepts users that the backend knows.
async fn enter(request: Request) -> Answer {
    let authorization = request.fields.single("Authorization").unwrap_or_default();
    let question = http::get(backend("/user")).field("Authorization", authorization);
    match question.send().await {
        Ok(answer) if answer.is_success() => Upgrade::new().converse(&request, ask),
        Ok(_) => Response::text(401, "Log in first.\n")
            .with_field("WWW-Authenticate", "Bearer")
            .into(),
        Err(error) => {
            eprintln!("cannot ask the backend about the user: {error}");
            Response::text(502, "Try again later.\n").into()
        }
    }
}

/// Reads further questions while answers stream.
async fn ask(ws: WebSocket) -> Result<(), Error> {
    let questions = stream::try_unfold(&ws, async |ws| {
        let question = ws.receive::<Json<Question>>().await?;
        Ok::<_, Error>(question.map(|question| (question, ws)))
    });
    let answers =
        questions.try_for_each_concurrent(MAX_OPEN, |Json(question)| answer(&ws, question));
    answers.await
}

/// Asks the backend, and streams its answer.
async fn answer(ws: &WebSocket, question: Question) -> Result<(), Error> {
    let id = question.id;
    let said = match forward(ws, question).await {
        Ok(status) => Said::End(status),
        Err(Error::Http(error)) => Said::Failed(error.to_string()),
        Err(error) => return Err(error),
    };
    ws.send(Json(Reply { id, said })).await
}

async fn forward(ws: &WebSocket, question: Question) -> Result<u16, Error> {
    let request = http::post(backend("/answer")).body(question.text);
    let mut answer = request.send().await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        bytes.extend_from_slice(&chunk);
        let said = Said::Part(take_text(&mut bytes));
        ws.send(Json(Reply {
            id: question.id,
            said,
        }))
        .await?;
    }
    Ok(answer.status())
}

/// Takes the complete characters; an incomplete one at the end waits for the rest.
fn take_text(bytes: &mut Vec<u8>) -> String {
    let complete = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    };
    let rest = bytes.split_off(complete);
    let text = mem::replace(bytes, rest);
    String::from_utf8_lossy(&text).into_owned()
}
