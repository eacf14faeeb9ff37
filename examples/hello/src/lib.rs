//! The smallest app: every message comes back.

use wasocket::{Answer, Connection, Message, Request, Upgrade};

fn handle(request: &Request) -> Answer {
    Upgrade::new().accept(request, |ws: &mut Connection, message: Message| {
        ws.send(message)
    })
}

wasocket::export!(handle);
