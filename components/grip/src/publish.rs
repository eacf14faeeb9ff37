//! Sends messages to the proxy, which passes them on to all subscribers.

use alloc::format;
use alloc::string::{String, ToString};

use wasi::http::outgoing_handler;
use wasi::http::types::{Fields, Method, OutgoingRequest, RequestOptions, Scheme};
use wasocket::grip::PublishRequest;

use crate::{log, serve};

/// Time limit to connect to an endpoint, and then for its response, in nanoseconds.
const TIMEOUT: u64 = 5_000_000_000;

/// Publishes. A failure is logged: the app cannot do anything about it.
pub(crate) fn send(request: &PublishRequest) {
    if let Err(error) = exchange(request) {
        log::line(&format!(
            "not published to {}{}: {error}",
            request.authority, request.path
        ));
    }
}

fn exchange(request: &PublishRequest) -> Result<(), String> {
    let outgoing = build(request).ok_or("the server does not accept this address")?;
    let body = outgoing
        .body()
        .map_err(|()| "the server accepts no request body")?;
    let options = RequestOptions::new();
    // A server that does not know these limits has its own.
    let _ = options.set_connect_timeout(Some(TIMEOUT));
    let _ = options.set_first_byte_timeout(Some(TIMEOUT));
    let _ = options.set_between_bytes_timeout(Some(TIMEOUT));
    let future = outgoing_handler::handle(outgoing, Some(options)).map_err(explain)?;
    let written = serve::write(body, request.body.as_bytes());
    let pollable = future.subscribe();
    pollable.block();
    drop(pollable);
    let response = match future.get() {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(error))) => return Err(explain(error)),
        _ => return Err("no response".into()),
    };
    match response.status() {
        200..300 if written.is_some() => Ok(()),
        200..300 => Err("the connection closed before the whole request was sent".into()),
        status => Err(format!("status {status}")),
    }
}

fn explain(error: wasi::http::types::ErrorCode) -> String {
    error.to_string().chars().take(200).collect()
}

fn build(request: &PublishRequest) -> Option<OutgoingRequest> {
    let fields = Fields::new();
    let append = |name: &str, value: &str| fields.append(&name.into(), &value.into()).ok();
    append("content-type", "application/json")?;
    append("content-length", &request.body.len().to_string())?;
    if let Some(authorization) = &request.authorization {
        append("authorization", authorization)?;
    }
    let scheme = if request.secure {
        Scheme::Https
    } else {
        Scheme::Http
    };
    let outgoing = OutgoingRequest::new(fields);
    outgoing.set_method(&Method::Post).ok()?;
    outgoing.set_scheme(Some(&scheme)).ok()?;
    outgoing.set_authority(Some(&request.authority)).ok()?;
    outgoing.set_path_with_query(Some(&request.path)).ok()?;
    Some(outgoing)
}
