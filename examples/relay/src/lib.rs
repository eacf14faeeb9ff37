//! Passes questions on to an HTTP backend, and the answers back while they stream: what stands between a
//! browser and a language model, say.
//!
//! ```text
//! wasocket serve relay.wasm --env BACKEND=http://localhost:8080 --allow-http localhost:8080
//! ```
//!
//! - `/ask`: each message, `{"id": 1, "text": ".."}`, becomes a POST of the text to `BACKEND/answer`. The parts of
//!   the answer come back as `{"id": 1, "part": ".."}`, and `{"id": 1, "end": 200}` with the status behind them.
//!   Several questions may be on their way at once.
//! - `/members/ask`: the same for those whom the backend knows: `BACKEND/user` is asked first, with the
//!   client's `Authorization`. Others get 401, before there is a WebSocket.

use std::env;
use std::mem;

use futures_util::stream::{self, TryStreamExt};
use serde::{Deserialize, Serialize};
use wasocket::{
    Answer, Error, Json, Request, Response, Router, Upgrade, WebSocket, decide, http, websocket,
};

wasocket::export!(routes());

/// The questions of one client that are on their way at most; the next ones wait in its socket.
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

/// Lets in whom the backend knows.
async fn enter(request: Request) -> Answer {
    let authorization = request.fields.single("Authorization").unwrap_or_default();
    let question = http::get(backend("/user")).field("Authorization", authorization);
    match question.send().await {
        Ok(answer) if answer.is_success() => Upgrade::new().converse(&request, ask),
        Ok(_) => Response::text(401, "Log in first.\n")
            .with_field("WWW-Authenticate", "Bearer")
            .into(),
        Err(error) => {
            eprintln!("who the user is cannot be asked: {error}");
            Response::text(502, "Try again later.\n").into()
        }
    }
}

/// Reads on while answers stream.
async fn ask(ws: WebSocket) -> Result<(), Error> {
    let questions = stream::try_unfold(&ws, async |ws| {
        let question = ws.receive::<Json<Question>>().await?;
        Ok::<_, Error>(question.map(|question| (question, ws)))
    });
    let answers =
        questions.try_for_each_concurrent(MAX_OPEN, |Json(question)| answer(&ws, question));
    answers.await
}

/// Asks the backend, and passes on what it says.
async fn answer(ws: &WebSocket, question: Question) -> Result<(), Error> {
    let id = question.id;
    let said = match pass_on(ws, question).await {
        Ok(status) => Said::End(status),
        Err(Error::Http(error)) => Said::Failed(error.to_string()),
        Err(error) => return Err(error),
    };
    ws.send(Json(Reply { id, said })).await
}

async fn pass_on(ws: &WebSocket, question: Question) -> Result<u16, Error> {
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

/// Half a character at the end waits for its other half.
fn take_text(bytes: &mut Vec<u8>) -> String {
    let complete = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    };
    let rest = bytes.split_off(complete);
    let text = mem::replace(bytes, rest);
    String::from_utf8_lossy(&text).into_owned()
}
