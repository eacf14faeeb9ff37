//! `wasi:http` 0.2, without its blocking calls: if a pollable is not ready, the host wakes the connection
//! when it is.

use alloc::borrow::ToOwned;
use alloc::string::ToString;
use core::time::Duration;

use bytes::Bytes;
use wasi::http::outgoing_handler;
use wasi::http::types::{
    self, ErrorCode, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use wasi::io::poll::Pollable;
use wasi::io::streams::{InputStream, StreamError};

use super::{Error, RequestBuilder, Url};
use crate::head::Fields;
use crate::outside::pollable;

/// The most bytes requested at once. Hosts usually have fewer available.
const MAX_CHUNK: u64 = 64 * 1024;

/// The body of a response. Fields drop from first to last, as WASI requires: children before parents.
pub(super) struct Body {
    pollable: Pollable,
    stream: InputStream,
    _body: IncomingBody,
    _response: IncomingResponse,
}

pub(super) async fn send(
    request: &RequestBuilder,
    url: &Url,
) -> Result<(u16, Fields, Body), Error> {
    let (outgoing, body) = build(request, url)?;
    let options = request.timeout.map(options);
    let incoming = outgoing_handler::handle(outgoing, options).map_err(Error::from)?;
    if let Some(body) = body {
        write(body, &request.body)?;
    }
    pollable::ready(&incoming.subscribe()).await;
    let response = incoming.get().and_then(Result::ok).ok_or_else(broken)??;
    let fields = response.headers().entries();
    let body = response.consume().map_err(|()| broken())?;
    let stream = body.stream().map_err(|()| broken())?;
    let body = Body {
        pollable: stream.subscribe(),
        stream,
        _body: body,
        _response: response,
    };
    Ok((body._response.status(), fields.into(), body))
}

/// Makes a request, and its body if it has one.
fn build(
    request: &RequestBuilder,
    url: &Url,
) -> Result<(OutgoingRequest, Option<OutgoingBody>), Error> {
    let invalid = |what: &str| Error::InvalidRequest(what.to_owned());
    let mut fields = request.fields.clone();
    // RFC 9110 §8.6: a request with a body states its length. Otherwise the host would send chunks, which not
    // every backend reads.
    if !request.body.is_empty() || matches!(&*request.method, "POST" | "PUT" | "PATCH") {
        fields.append("content-length", request.body.len().to_string());
    }
    let entries: alloc::vec::Vec<_> = fields.into();
    let fields = types::Fields::from_list(&entries).map_err(|error| invalid(&error.to_string()))?;
    let outgoing = OutgoingRequest::new(fields);
    let scheme = if url.is_secure {
        Scheme::Https
    } else {
        Scheme::Http
    };
    outgoing
        .set_method(&method(&request.method))
        .and_then(|()| outgoing.set_scheme(Some(&scheme)))
        .map_err(|()| invalid("the method"))?;
    outgoing
        .set_authority(Some(&url.authority))
        .and_then(|()| outgoing.set_path_with_query(Some(&url.target)))
        .map_err(|()| Error::InvalidUrl)?;
    let body = (!request.body.is_empty())
        .then(|| outgoing.body().map_err(|()| broken()))
        .transpose()?;
    Ok((outgoing, body))
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn options(timeout: Duration) -> RequestOptions {
    let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    let options = RequestOptions::new();
    // A host that does not support it has its own limits.
    let _ = options.set_first_byte_timeout(Some(nanoseconds));
    let _ = options.set_connect_timeout(Some(nanoseconds));
    options
}

/// Writes the body in one go: a stream without room would have to be waited for.
fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), Error> {
    let stream = body.write().map_err(|()| broken())?;
    let room = stream.check_write().map_err(|_| broken())?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > room) {
        return Err(Error::RequestTooBig);
    }
    stream.write(bytes).map_err(|_| broken())?;
    drop(stream);
    Ok(OutgoingBody::finish(body, None)?)
}

/// The error for a host that breaks WASI's rules.
fn broken() -> Error {
    Error::Lost("the host's mistake".to_owned())
}

impl Body {
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.stream.read(MAX_CHUNK) {
                Ok(bytes) if bytes.is_empty() => pollable::ready(&self.pollable).await,
                Ok(bytes) => return Ok(Some(bytes.into())),
                Err(StreamError::Closed) => return Ok(None),
                // The host's details belong in its own log.
                Err(StreamError::LastOperationFailed(error)) => {
                    let code = types::http_error_code(&error);
                    let lost = || Error::Lost("within the body".to_owned());
                    return Err(code.map_or_else(lost, Into::into));
                }
            }
        }
    }
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => Self::Denied,
            ErrorCode::ConnectionLimitReached => Self::TooMany,
            ErrorCode::ConnectionTimeout
            | ErrorCode::ConnectionReadTimeout
            | ErrorCode::ConnectionWriteTimeout
            | ErrorCode::DnsTimeout
            | ErrorCode::HttpResponseTimeout => Self::TimedOut,
            ErrorCode::DnsError(_)
            | ErrorCode::DestinationNotFound
            | ErrorCode::DestinationUnavailable
            | ErrorCode::DestinationIpUnroutable
            | ErrorCode::ConnectionRefused
            | ErrorCode::TlsProtocolError
            | ErrorCode::TlsCertificateError
            | ErrorCode::TlsAlertReceived(_) => Self::Unreachable(code.to_string()),
            ErrorCode::HttpRequestMethodInvalid
            | ErrorCode::HttpRequestUriInvalid
            | ErrorCode::HttpRequestUriTooLong
            | ErrorCode::HttpRequestHeaderSectionSize(_)
            | ErrorCode::HttpRequestHeaderSize(_) => Self::InvalidRequest(code.to_string()),
            ErrorCode::HttpRequestBodySize(_) => Self::RequestTooBig,
            ErrorCode::HttpResponseBodySize(_) => Self::ResponseTooBig,
            _ => Self::Lost(code.to_string()),
        }
    }
}
