//! JSON-RPC 2.0, one request or response per message: `add` adds numbers, `sleep` responds after a number of
//! milliseconds. Requests are answered in order.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wasocket::{CodecError, Error, Json, WebSocket, websocket};

wasocket::export!(websocket(serve));

#[derive(Deserialize)]
struct Request {
    method: String,
    #[serde(default)]
    params: Value,
    /// A request without an id is a notification, which gets no response.
    id: Option<Value>,
}

#[derive(Serialize)]
struct Response {
    jsonrpc: &'static str,
    #[serde(flatten)]
    outcome: Outcome,
    id: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Result(Value),
    Error { code: i32, message: String },
}

impl Outcome {
    fn error(code: i32, message: impl Into<String>) -> Self {
        Self::Error {
            code,
            message: message.into(),
        }
    }
}

async fn serve(ws: WebSocket) -> Result<(), Error> {
    loop {
        let (outcome, id) = match ws.receive::<Json<Request>>().await {
            Ok(Some(Json(request))) => (call(&ws, &request).await, request.id),
            Ok(None) => return Ok(()),
            // JSON-RPC 2.0 §5.1: the response to an unreadable request has this text, and the id null. The decoder's
            // own text would reveal internals.
            Err(Error::Codec(CodecError::Decode(_))) => {
                (Outcome::error(-32700, "Parse error"), Some(Value::Null))
            }
            Err(error) => return Err(error),
        };
        if let Some(id) = id {
            let jsonrpc = "2.0";
            ws.send(Json(Response {
                jsonrpc,
                outcome,
                id,
            }))
            .await?;
        }
    }
}

async fn call(ws: &WebSocket, request: &Request) -> Outcome {
    match request.method.as_str() {
        "add" => match serde_json::from_value::<Vec<f64>>(request.params.clone()) {
            Ok(numbers) => Outcome::Result(json!(numbers.iter().sum::<f64>())),
            Err(error) => Outcome::error(-32602, error.to_string()),
        },
        "sleep" => match serde_json::from_value::<[u32; 1]>(request.params.clone()) {
            Ok([milliseconds]) => {
                ws.sleep(Duration::from_millis(milliseconds.into())).await;
                Outcome::Result(Value::Null)
            }
            Err(error) => Outcome::error(-32602, error.to_string()),
        },
        method => Outcome::error(-32601, format!("there is no method {method}")),
    }
}
