//! The kit on native apps.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails, and what the apps do wrong"
)]

mod bus;
mod channels;
mod failures;
mod messages;
mod requests;
mod time;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use wasocket::extension::DeflateOptions;
use wasocket::{Message, Request, Upgrade};

const SECOND: Duration = Duration::from_secs(1);

/// An echo that supports everything that can be negotiated.
fn echo(request: &Request) -> wasocket::Answer {
    Upgrade::new()
        .subprotocols(&["chat"])
        .compression(DeflateOptions::default())
        .accept(
            request,
            |ws: &mut wasocket::Connection, message: Message| ws.send(message),
        )
}

/// The message with which the test of an app would fail.
fn failure(test: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(test)).expect_err("the kit finds it");
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).into()))
        .expect("a text")
}
