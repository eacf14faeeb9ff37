use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Fields;

/// The head of an HTTP response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status code, 100 to 599.
    pub status: u16,
    /// The fields.
    pub fields: Fields,
}

/// A whole HTTP response. The host frames the body: no `Content-Length` here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status and fields.
    pub head: ResponseHead,
    /// The body.
    pub body: Vec<u8>,
    /// Why it refuses the request, if it does, for the operator's log. Never sent.
    pub reason: Option<Box<str>>,
}

impl Response {
    /// A response with a body of this media type, such as `text/html; charset=utf-8`.
    #[must_use]
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut fields = Fields::new();
        fields.append("Content-Type", content_type);
        Self {
            head: ResponseHead { status, fields },
            body: body.into(),
            reason: None,
        }
    }

    /// A response with a body of plain text.
    #[must_use]
    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// The same response with one more field line.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.head.fields.append(name, value);
        self
    }

    /// The same response with a reason for the operator, who finds it in the log: what was compared with what, if the
    /// request is refused. It is never sent, so it may say more than the body; of secrets it must say nothing.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<Box<str>>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}
