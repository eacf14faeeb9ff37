//! The app's answers, checked as the runner checks them.

use wasocket::Request;
use wasocket_host_core::http1::{BadAnswer, check_response, expects_continue, takeover_head};

use super::breach::Breach;
use crate::contract::{Field, Response, Takeover};

/// The runner's text if the app failed.
pub(super) const FAILED: &str = "The application failed.\n";

/// The runner's text for a takeover in a version other than HTTP/1.1.
pub(super) const NEEDS_HTTP_11: &str = "This needs HTTP/1.1.\n";

pub(super) fn name(request: &Request) -> String {
    format!("{} {}", request.method, request.target)
}

/// Checks a response as the runner does. The response to HEAD has no body.
pub(super) fn respond(request: &Request, mut response: Response) -> Result<Response, Breach> {
    let checked = check_response(response.head.status, &response.head.fields);
    checked.map_err(|bad| Breach::Answer(name(request), bad))?;
    if request.method == "HEAD" {
        response.body = Vec::new();
    }
    Ok(response)
}

pub(super) fn check_takeover(request: &Request, takeover: &Takeover) -> Result<Vec<u8>, Breach> {
    let breach = |bad| Breach::Answer(name(request), bad);
    if has_body(request) {
        return Err(breach(BadAnswer::RequestBody));
    }
    let fields: Vec<Field> = request.fields.clone().into();
    let head = takeover.response.as_ref();
    let head = head.map(|head| (head.status, &head.fields[..]));
    takeover_head(head, &takeover.final_bytes, expects_continue(&fields)).map_err(breach)
}

/// RFC 9112 §6.3: the fields tell whether a request has a body.
fn has_body(request: &Request) -> bool {
    let is_zero = |length: &[u8]| length.iter().all(|digit| *digit == b'0');
    let has_length = request
        .fields
        .values("Content-Length")
        .any(|length| !is_zero(length));
    has_length || request.fields.contains("Transfer-Encoding")
}

/// The host's own response.
pub(super) fn plain(status: u16, text: &str) -> Response {
    wasocket::Response::new(status, "text/plain", text)
        .with_field("Connection", "close")
        .into()
}
