//! An echo with limits wide enough for the Autobahn test suite: messages of 16 MiB, and messages of 4 MiB in
//! fragments of 64 bytes.
#![cfg_attr(target_family = "wasm", no_std)]

use wasocket::extension::DeflateOptions;
use wasocket::{Answer, Connection, Limits, Message, Request, Upgrade};

wasocket::export!(handle);

fn handle(request: &Request) -> Answer {
    let limits = Limits {
        max_message_size: 16 << 20,
        max_frame_size: 16 << 20,
        max_fragments: 1 << 17,
        ..Limits::default()
    };
    Upgrade::new()
        .limits(limits)
        .compression(DeflateOptions::default())
        .accept(request, |ws: &mut Connection, message: Message| {
            ws.send(message)
        })
}
