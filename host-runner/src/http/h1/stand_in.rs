//! The head that hyper gets in place of a request's.

use wasocket_host_core::http1::{BodyLength, Framing, Request, Version};

/// Builds the head for hyper: what it needs to frame the messages, and nothing that it could refuse.
pub(super) fn stand_in(request: &Request, framing: Framing) -> String {
    let method = &request.method;
    let minor = u8::from(request.version != Version::Http10);
    let length = match framing.body {
        BodyLength::Known(0) => String::new(),
        BodyLength::Known(length) => format!("Content-Length: {length}\r\n"),
        BodyLength::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
    };
    // The only option that concerns hyper.
    let close = if framing.is_last {
        "Connection: close\r\n"
    } else {
        ""
    };
    format!("{method} / HTTP/1.{minor}\r\n{length}{close}\r\n")
}
