//! The pages of the admin endpoint.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;
use wasocket_host_core::http1::Request;

use super::access::Access;
use super::members::MemberLists;
use crate::http::h1::head_reader;
use crate::process::shared::Shared;
use crate::server::versions::swap::Swaps;

/// The content type that Prometheus expects.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long the body of a request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What the pages show and change.
pub(super) struct Pages {
    pub(super) shared: Arc<Shared>,
    pub(super) access: Access,
    pub(super) members: Rc<MemberLists>,
    pub(super) swaps: Swaps,
}

/// An answer to the operator.
pub(super) struct Answer {
    status: StatusCode,
    kind: &'static str,
    body: String,
    field: Option<(HeaderName, HeaderValue)>,
}

impl Pages {
    pub(super) async fn answer(
        &self,
        arrived: Option<head_reader::Outcome>,
        body: Incoming,
    ) -> Answer {
        let request = match arrived {
            Some(Ok((request, _))) => request,
            Some(Err(refused)) => {
                let status = StatusCode::from_u16(refused.refusal.status);
                let status = status.unwrap_or(StatusCode::BAD_REQUEST);
                return Answer::text(status, refused.refusal.reason);
            }
            None => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                return Answer::text(status, "no request has arrived");
            }
        };
        let path = request.target.split('?').next().unwrap_or_default();
        match path.strip_prefix("/topics") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                self.topics_page(&request, rest, body).await
            }
            _ if path == "/component" => self.component_page(&request, body).await,
            _ if !is_read(&request) => Answer::not_allowed("GET, HEAD"),
            _ => self.page(path),
        }
    }

    fn page(&self, path: &str) -> Answer {
        match path {
            "/metrics" => Answer {
                kind: METRICS,
                ..Answer::text(StatusCode::OK, "").with_body(self.shared.metrics_text())
            },
            "/healthz" => match self.shared.heartbeats.hanging() {
                Some(worker) => {
                    let text = format!("worker {worker} hangs");
                    Answer::text(StatusCode::SERVICE_UNAVAILABLE, &text)
                }
                None => Answer::text(StatusCode::OK, "alive"),
            },
            "/readyz" => match self.shared.unreadiness() {
                Some(reason) => Answer::text(StatusCode::SERVICE_UNAVAILABLE, reason),
                None => Answer::text(StatusCode::OK, self.shared.readiness()),
            },
            _ => Answer::text(
                StatusCode::NOT_FOUND,
                "see /metrics, /healthz, /readyz, /topics and /component",
            ),
        }
    }
}

/// The body of a request, of at most this number of bytes.
///
/// # Errors
///
/// The answer that refuses it.
pub(super) async fn collect(body: Incoming, most: usize) -> Result<Bytes, Answer> {
    let collected = timeout(BODY_TIMEOUT, Limited::new(body, most).collect()).await;
    let Ok(collected) = collected else {
        let status = StatusCode::REQUEST_TIMEOUT;
        return Err(Answer::text(status, "the body takes too long to arrive"));
    };
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(too_long(&format!("it has at most {most} bytes")))
        }
        Err(error) => {
            let text = format!("the body cannot be read: {error}");
            Err(Answer::text(StatusCode::BAD_REQUEST, &text))
        }
    }
}

pub(super) fn too_long(reason: &str) -> Answer {
    Answer::text(StatusCode::PAYLOAD_TOO_LARGE, reason)
}

/// Whether a request changes nothing.
pub(super) fn is_read(request: &Request) -> bool {
    matches!(&*request.method, "GET" | "HEAD")
}

impl Answer {
    /// A line of text.
    pub(super) fn text(status: StatusCode, text: &str) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body: format!("{text}\n"),
            field: None,
        }
    }

    /// A JSON value.
    pub(super) fn json(value: &serde_json::Value) -> Self {
        Self {
            kind: "application/json",
            ..Self::text(StatusCode::OK, &value.to_string())
        }
    }

    /// RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405 response".
    pub(super) fn not_allowed(methods: &'static str) -> Self {
        let text = format!("only {methods} here");
        Self {
            field: Some((ALLOW, HeaderValue::from_static(methods))),
            ..Self::text(StatusCode::METHOD_NOT_ALLOWED, &text)
        }
    }

    /// RFC 9110 §15.5.2: a 401 names the scheme that it wants, here that of RFC 6750.
    pub(super) fn unauthorized() -> Self {
        Self {
            field: Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            ..Self::text(
                StatusCode::UNAUTHORIZED,
                "the token of --admin-token-file is needed: Authorization: Bearer TOKEN",
            )
        }
    }

    /// For now; a second later it may be different.
    pub(super) fn unavailable(text: &str) -> Self {
        Self {
            field: Some((RETRY_AFTER, HeaderValue::from_static("1"))),
            ..Self::text(StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }

    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    fn with_body(self, body: String) -> Self {
        Self { body, ..self }
    }
}

impl From<Answer> for Response<Full<Bytes>> {
    fn from(answer: Answer) -> Self {
        let mut response = Self::new(Full::from(answer.body));
        *response.status_mut() = answer.status;
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(answer.kind));
        fields.extend(answer.field);
        response
    }
}
