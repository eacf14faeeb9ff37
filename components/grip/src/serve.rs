//! Answers requests.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use wasi::exports::http::incoming_handler::Guest;
use wasi::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam, Scheme,
};
use wasi::io::streams::{InputStream, OutputStream, StreamError};
use wasocket::component::ImportedApp;
use wasocket::grip::{Admitted, Config, Gateway, MAX_BODY, Reply};
use wasocket::{HttpVersion, Request, Response};

use crate::{log, publish};

struct Component;

wasi::http::proxy::export!(Component);

impl Guest for Component {
    fn handle(incoming: IncomingRequest, outparam: ResponseOutparam) {
        let reply = answer(&incoming);
        reply.log.iter().for_each(|line| log::line(line));
        // Before the response, so that it is done when the proxy sends the connection's next events.
        reply.publish.iter().for_each(publish::send);
        respond(outparam, &reply.response);
    }
}

fn answer(incoming: &IncomingRequest) -> Reply {
    let config = match Config::read(variable) {
        Ok(config) => config,
        Err(error) => return failure(error.to_string()),
    };
    let gateway = Gateway::new(config);
    let now = wasi::clocks::wall_clock::now().seconds;
    match gateway.admit(request(incoming), now) {
        Admitted::Refused(reply) => reply,
        Admitted::Plain(request) => gateway.plain(&ImportedApp, request, &unique_name(), now),
        Admitted::Events(request) => match read_body(incoming) {
            Some(body) => gateway.events(&ImportedApp, request, &body, now),
            None => failure("a request ended before its whole body was received".into()),
        },
    }
}

fn failure(line: String) -> Reply {
    let mut reply = Reply::from(Response::text(500, "Internal Server Error\n"));
    reply.log.push(line);
    reply
}

fn variable(name: &str) -> Option<String> {
    let variables = wasi::cli::environment::get_environment();
    let mut variables = variables.into_iter();
    variables.find_map(|(own, value)| (own == name).then_some(value))
}

fn request(incoming: &IncomingRequest) -> Request {
    let mut fields: wasocket::Fields = incoming.headers().entries().into();
    let authority = incoming.authority();
    // Some servers provide it only here.
    if let (Some(authority), false) = (&authority, fields.contains("Host")) {
        fields.append("Host", authority.as_bytes());
    }
    Request {
        method: method(incoming.method()),
        target: incoming.path_with_query().unwrap_or_else(|| "/".into()),
        // `wasi:http` does not say; its servers support at least what HTTP/1.1 does.
        version: HttpVersion::Http11,
        fields,
        secure: matches!(incoming.scheme(), Some(Scheme::Https)),
        ..Request::default()
    }
}

fn method(method: Method) -> String {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => return name,
    }
    .into()
}

/// A name for a request that is not on a WebSocket, unique across instances.
fn unique_name() -> String {
    let random = wasi::random::random::get_random_u64;
    format!("request-{:016x}{:016x}", random(), random())
}

/// Reads the body, up to one byte more than events may have, so that a longer one is noticed. `None` if the client is
/// gone.
fn read_body(incoming: &IncomingRequest) -> Option<Vec<u8>> {
    let body = incoming.consume().ok()?;
    let stream = body.stream().ok()?;
    let mut bytes = Vec::new();
    while let Some(part) = read(&stream, MAX_BODY.saturating_add(1) - bytes.len())? {
        bytes.extend_from_slice(&part);
        if bytes.len() > MAX_BODY {
            break;
        }
    }
    Some(bytes)
}

/// Reads some bytes; `Some(None)` at the end of the stream, `None` if the client is gone.
#[allow(clippy::option_option, reason = "end of stream and failure differ")]
pub(crate) fn read(stream: &InputStream, most: usize) -> Option<Option<Vec<u8>>> {
    let most = u64::try_from(most).ok()?.min(64 << 10);
    match stream.blocking_read(most) {
        Ok(part) => Some(Some(part)),
        Err(StreamError::Closed) => Some(None),
        Err(StreamError::LastOperationFailed(_)) => None,
    }
}

fn respond(outparam: ResponseOutparam, response: &Response) {
    // RFC 9110 §15.3.5, §15.3.6, §15.4.5: these statuses have no content.
    let body = match response.head.status {
        204 | 205 | 304 => &[][..],
        _ => &response.body,
    };
    let Some((outgoing, body_resource)) = head(response, body.len()) else {
        log::line("sending 500: the server does not accept a field of the app's response");
        return respond(outparam, &Response::text(500, "Internal Server Error\n"));
    };
    ResponseOutparam::set(outparam, Ok(outgoing));
    // The client may be gone; there is nothing left to do.
    let _ = write(body_resource, body);
}

fn head(response: &Response, length: usize) -> Option<(OutgoingResponse, OutgoingBody)> {
    let fields = Fields::new();
    for (name, value) in response.head.fields.iter() {
        fields.append(&name.into(), &value.into()).ok()?;
    }
    // RFC 9110 §8.6: no Content-Length in a 204; in a 304 it would be that of another response.
    if !matches!(response.head.status, 204 | 304) {
        let length = length.to_string().into_bytes();
        fields.append(&"content-length".into(), &length).ok()?;
    }
    let outgoing = OutgoingResponse::new(fields);
    outgoing.set_status_code(response.head.status).ok()?;
    let body = outgoing.body().ok()?;
    Some((outgoing, body))
}

/// Writes a body; `None` if it could not be written completely.
pub(crate) fn write(body: OutgoingBody, bytes: &[u8]) -> Option<()> {
    let stream = body.write().ok()?;
    write_all(&stream, bytes)?;
    drop(stream);
    OutgoingBody::finish(body, None).ok()
}

fn write_all(stream: &OutputStream, bytes: &[u8]) -> Option<()> {
    // `blocking-write-and-flush` takes at most 4,096 bytes.
    let mut parts = bytes.chunks(4096);
    parts.try_for_each(|part| stream.blocking_write_and_flush(part).ok())
}
