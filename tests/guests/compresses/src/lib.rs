//! An app of the event form that compresses its output: it echoes every message, with its number in front.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

use alloc::format;
use alloc::string::String;

use wasocket::events::{Accept, Context, EventHandler};
use wasocket::{Message, Request, Response};

wasocket::export_events!(Numbers);

struct Numbers;

impl EventHandler for Numbers {
    /// One character for each message.
    type State = String;

    fn open(&self, _: &Request, _: &mut Context<'_, String>) -> Result<Accept, Response> {
        let mut accept = Accept::default();
        accept.settings.compress = true;
        Ok(accept)
    }

    fn message(&self, message: Message, cx: &mut Context<'_, String>) {
        cx.state.push('i');
        let number = cx.state.len();
        let text = String::from_utf8_lossy(message.as_bytes());
        cx.send(format!("{number}: {text}"));
    }
}
