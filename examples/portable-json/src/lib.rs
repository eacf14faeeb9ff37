//! A JSON-RPC 2.0 service in the event form, one request or response per message: `add` adds numbers, `total` returns
//! the sum of all numbers that the connection has added.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wasocket::events::{Accept, Context, EventHandler};
use wasocket::{Json, Message, Request, Response};

wasocket::export_events!(Service);

const SUBPROTOCOL: &str = "jsonrpc-2.0";

struct Service;

/// The state of a connection.
#[derive(Default, Serialize, Deserialize)]
struct Session {
    total: f64,
}

impl EventHandler for Service {
    type State = Json<Session>;

    fn request(&self, _: &Request, _: &mut Context<'_, Self::State>) -> Response {
        let body = json!({ "subprotocol": SUBPROTOCOL, "methods": ["add", "total"] });
        Response::new(200, "application/json", body.to_string())
    }

    fn open(&self, _: &Request, _: &mut Context<'_, Self::State>) -> Result<Accept, Response> {
        Ok(Accept {
            subprotocol: Some(SUBPROTOCOL.into()),
            ..Accept::default()
        })
    }

    fn message(&self, message: Message, cx: &mut Context<'_, Self::State>) {
        let Some((outcome, id)) = answer(&message, &mut cx.state.0) else {
            return;
        };
        let (name, value) = match outcome {
            Ok(result) => ("result", result),
            Err((code, message)) => ("error", json!({ "code": code, "message": message })),
        };
        cx.send(json!({ "jsonrpc": "2.0", name: value, "id": id }).to_string());
    }
}

#[derive(Deserialize)]
struct Call {
    method: String,
    #[serde(default)]
    params: Value,
    /// A call without an id is a notification, which gets no response.
    id: Option<Value>,
}

type Outcome = Result<Value, (i32, String)>;

fn answer(message: &Message, session: &mut Session) -> Option<(Outcome, Value)> {
    let text = match message {
        Message::Text(text) => text.as_bytes(),
        Message::Binary(bytes) => bytes,
    };
    // JSON-RPC 2.0 §5.1: an unreadable call is answered, too, with the id null. The decoder's own text would reveal
    // internals.
    let Ok(call) = serde_json::from_slice::<Call>(text) else {
        return Some((Err((-32700, "Parse error".into())), Value::Null));
    };
    let outcome = perform(&call, session);
    Some((outcome, call.id?))
}

fn perform(call: &Call, session: &mut Session) -> Outcome {
    match call.method.as_str() {
        "add" => {
            let numbers = Vec::<f64>::deserialize(&call.params)
                .map_err(|error| (-32602, error.to_string()))?;
            let sum: f64 = numbers.iter().sum();
            session.total += sum;
            Ok(json!(sum))
        }
        "total" => Ok(json!(session.total)),
        method => Err((-32601, format!("there is no method {method}"))),
    }
}
