//! A new version of the component, from the operator.

use bytes::Bytes;
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};
use wasocket_host_core::http1::Request;

use super::access;
use super::pages::{Answer, Pages, collect};
use crate::server::versions::swap::{Outcome, Source};

/// The longest component, in bytes. Those of apps in Python have 40 MiB.
const MAX_COMPONENT: usize = 256 << 20;

/// The longest path, and what may be around it.
const MAX_PATH: usize = 8 << 10;

impl Pages {
    pub(super) async fn component_page(&self, request: &Request, body: Incoming) -> Answer {
        if let Err(refused) = self.access.check(request) {
            return refused;
        }
        if request.method != "POST" {
            return Answer::not_allowed("POST");
        }
        let source = match source(request, body).await {
            Ok(source) => source,
            Err(refused) => return refused,
        };
        let outcome = self.swaps.replace(source).await;
        outcome.log("POST /component");
        answer(&outcome)
    }
}

/// The component itself, or its path, by the content type.
async fn source(request: &Request, body: Incoming) -> Result<Source, Answer> {
    let kind = access::value(request, "content-type").unwrap_or_default();
    let kind = String::from_utf8_lossy(kind).to_ascii_lowercase();
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/wasm" => collect(body, MAX_COMPONENT).await.map(Source::Bytes),
        "text/plain" => path(collect(body, MAX_PATH).await?, |text| {
            Some(text.trim().to_owned())
        }),
        "application/json" => path(collect(body, MAX_PATH).await?, |text| {
            let value: Value = serde_json::from_str(text).ok()?;
            value.get("path")?.as_str().map(str::to_owned)
        }),
        _ => Err(Answer::text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the Content-Type says what the body is: application/wasm for a component, text/plain for the path of one, or \
             application/json for {\"path\": ..}",
        )),
    }
}

fn path(body: Bytes, read: impl FnOnce(&str) -> Option<String>) -> Result<Source, Answer> {
    let path = std::str::from_utf8(&body).ok().and_then(read);
    match path.filter(|path| !path.is_empty()) {
        Some(path) => Ok(Source::File(path.into())),
        None => Err(Answer::text(
            StatusCode::BAD_REQUEST,
            "the body is to have the path of a component",
        )),
    }
}

fn answer(outcome: &Outcome) -> Answer {
    let (status, name) = match outcome {
        Outcome::Done { .. } => (StatusCode::OK, "done"),
        Outcome::Unchanged => (StatusCode::OK, "unchanged"),
        Outcome::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, "refused"),
        Outcome::Returned { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "returned"),
        Outcome::Busy => return Answer::unavailable(&outcome.to_string()),
    };
    let mut value = json!({ "outcome": name, "message": outcome.to_string() });
    match outcome {
        Outcome::Done {
            connections,
            moved,
            refused,
        } => {
            value["connections"] = json!(connections);
            value["moved"] = json!(moved);
            value["refused"] = json!(refused);
        }
        Outcome::Returned { faults } => value["faults"] = json!(faults),
        _ => {}
    }
    Answer::json(&value).with_status(status)
}
