//! An echo for messages of up to 16 MiB.
#![cfg_attr(target_family = "wasm", no_std)]

use wasocket::{Answer, Connection, Limits, Message, Request, Upgrade};

wasocket::export!(handle);

fn handle(request: &Request) -> Answer {
    Upgrade::new()
        .limits(Limits::for_messages(16 << 20))
        .accept(request, |connection: &mut Connection, message: Message| {
            connection.send(message)
        })
}
