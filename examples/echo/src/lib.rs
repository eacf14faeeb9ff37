//! The default app of the runner: two echoes, a page to try them on, and a raw takeover.
//!
//! - `/`: for a WebSocket the classic example of Go's x/net/websocket, `Received:  ` and the message; for a browser
//!   a page to connect, type and send.
//! - `/echo`: every message comes back unchanged, compressed if the client offers it.
//! - `/hijack`: the `http.Hijacker` example of Go's documentation: raw TCP, without an HTTP response.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

mod hijack;

use alloc::format;

use hijack::SayHi;
use wasocket::extension::DeflateOptions;
use wasocket::{Answer, Connection, Message, Request, Response, Upgrade, UsageError};

const PAGE: &str = include_str!("page.html");

wasocket::export!(handle);

fn handle(request: &Request) -> Answer {
    match request.path() {
        "/" if request.wants_websocket() => Upgrade::new().accept(request, reply),
        "/" => page(request).into(),
        "/echo" => Upgrade::new()
            .subprotocols(&["chat", "superchat"])
            .compression(DeflateOptions::default())
            .accept(request, echo),
        "/hijack" => hijack(request),
        _ => Response::text(404, "nothing here; try /\n").into(),
    }
}

fn reply(connection: &mut Connection, message: Message) -> Result<(), UsageError> {
    match message {
        Message::Text(text) => connection.send_text(&format!("Received:  {text}")),
        Message::Binary(_) => Ok(()),
    }
}

fn echo(connection: &mut Connection, message: Message) -> Result<(), UsageError> {
    connection.send(message)
}

fn hijack(request: &Request) -> Answer {
    match only(request, &["GET"]) {
        Ok(()) => Answer::takeover(SayHi::default()),
        Err(refusal) => refusal.into(),
    }
}

fn page(request: &Request) -> Response {
    match only(request, &["GET", "HEAD"]) {
        Ok(()) => Response::new(200, "text/html; charset=utf-8", PAGE),
        Err(refusal) => refusal,
    }
}

/// Refuses methods that a resource does not allow (RFC 9110 §15.5.6).
fn only(request: &Request, allowed: &[&str]) -> Result<(), Response> {
    if allowed.contains(&request.method.as_str()) {
        return Ok(());
    }
    let allowed = allowed.join(", ");
    let text = format!("only {allowed} here\n");
    Err(Response::text(405, text).with_field("Allow", allowed))
}
