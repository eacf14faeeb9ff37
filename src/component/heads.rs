//! The heads of HTTP requests and responses, to and from the WIT types.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::bindings::handler::wasocket::websocket::types as wit_types;
use crate::head::{HttpVersion, Request, Response, ResponseHead};

impl From<wit_types::Request> for Request {
    fn from(request: wit_types::Request) -> Self {
        Self {
            method: request.method,
            target: request.target,
            version: match request.version {
                wit_types::HttpVersion::Http10 => HttpVersion::Http10,
                wit_types::HttpVersion::Http11 => HttpVersion::Http11,
                wit_types::HttpVersion::Http2 => HttpVersion::Http2,
                wit_types::HttpVersion::Http3 => HttpVersion::Http3,
            },
            authority: request.authority,
            protocol: request.protocol,
            fields: request.fields.into(),
            secure: request.secure,
            remote: request.remote,
            params: Vec::new(),
        }
    }
}

/// The target without the host that an absolute one has (RFC 9112 §3.2.1).
fn origin_form(request: &Request) -> String {
    match request.query() {
        _ if request.target.starts_with('/') => request.target.clone(),
        Some(query) => format!("{}?{query}", request.path()),
        None => request.path().to_owned(),
    }
}

/// A request as an app is given it: the host is in `authority` alone.
impl From<Request> for wit_types::Request {
    fn from(request: Request) -> Self {
        Self {
            authority: request.host().map(ToOwned::to_owned),
            target: origin_form(&request),
            method: request.method,
            version: match request.version {
                HttpVersion::Http10 => wit_types::HttpVersion::Http10,
                HttpVersion::Http11 => wit_types::HttpVersion::Http11,
                HttpVersion::Http2 => wit_types::HttpVersion::Http2,
                HttpVersion::Http3 => wit_types::HttpVersion::Http3,
            },
            protocol: request.protocol,
            fields: request.fields.into(),
            secure: request.secure,
            remote: request.remote,
        }
    }
}

impl From<wit_types::Response> for Response {
    fn from(response: wit_types::Response) -> Self {
        Self {
            head: ResponseHead {
                status: response.head.status,
                fields: response.head.fields.into(),
            },
            body: response.body,
            reason: None,
        }
    }
}

impl From<ResponseHead> for wit_types::ResponseHead {
    fn from(head: ResponseHead) -> Self {
        let fields: Vec<(String, Vec<u8>)> = head.fields.into();
        Self {
            status: head.status,
            fields,
        }
    }
}

impl From<Response> for wit_types::Response {
    fn from(response: Response) -> Self {
        Self {
            head: response.head.into(),
            body: response.body,
        }
    }
}
