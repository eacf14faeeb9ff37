//! The import `websocket-handler`: the component to serve. The only use of wit-bindgen.

#[allow(
    unsafe_code,
    missing_docs,
    clippy::all,
    reason = "generated: the canonical ABI reads and writes linear memory"
)]
mod bindings {
    wit_bindgen::generate!({
        inline: "package wasocket:server; world imports { import wasocket:websocket/websocket-handler@0.1.0; }",
        path: "../../wit",
        generate_all,
    });
}

use alloc::string::String;
use alloc::vec::Vec;

use bindings::wasocket::websocket::types;
use wasocket_host_core::{http1, turn};

pub(crate) use bindings::wasocket::websocket::types::{ConnectionId, Effects, Instant};
pub(crate) use bindings::wasocket::websocket::websocket_handler::{
    Answer, Connection, Initiator, PendingRequest, Takeover, Verdict, handle,
};

impl From<types::Next> for turn::Next {
    fn from(next: types::Next) -> Self {
        match next {
            types::Next::Open => Self::Open,
            types::Next::Pause => Self::Pause,
            types::Next::Close => Self::Close,
            types::Next::Abort => Self::Abort,
        }
    }
}

/// A request from a client at this address, as the handler sees it.
pub(crate) fn request(request: http1::Request, remote: String) -> types::Request {
    types::Request {
        method: request.method,
        target: request.target,
        version: match request.version {
            http1::Version::Http10 => types::HttpVersion::Http10,
            http1::Version::Http11 => types::HttpVersion::Http11,
        },
        authority: None,
        protocol: None,
        fields: request.fields,
        secure: false,
        remote: Some(remote),
    }
}

/// Checks and converts the handler's response.
///
/// # Errors
///
/// If it cannot be sent.
pub(crate) fn response(response: types::Response) -> Result<http1::Response, http1::BadAnswer> {
    let head = response.head;
    http1::check_response(head.status, &head.fields)?;
    Ok(http1::Response {
        status: head.status,
        fields: head.fields,
        body: response.body,
    })
}

/// Checks a takeover, and returns the head that it begins with. A takeover that fails drops the handler's connection.
///
/// # Errors
///
/// If it cannot be made.
pub(crate) fn takeover_head(
    takeover: &Takeover,
    framing: http1::Framing,
) -> Result<Vec<u8>, http1::BadAnswer> {
    framing.check_takeover()?;
    let head = takeover.response.as_ref();
    let head = head.map(|head| (head.status, &head.fields[..]));
    http1::takeover_head(head, &takeover.final_bytes, framing.expects_continue)
}
