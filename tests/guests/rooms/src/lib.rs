//! A component whose rooms live in the memory of its instance. A room counts what it is sent and answers with the number,
//! so that two rooms of one name give themselves away. The text `trap` ends the instance.

use std::cell::RefCell;
use std::collections::BTreeMap;

use wasocket::{Answer, Connection, Message, Request, Response, Router, Upgrade, UsageError};

wasocket::export!(routes());

thread_local! {
    static ROOMS: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
}

fn routes() -> Router {
    Router::new()
        .websocket("/rooms/{room}", enter)
        .post("/rooms/{room}", |request: &Request| {
            Response::text(200, count(&room(request)).to_string())
        })
        .get("/rooms/{room}/state", |request: &Request| {
            let number = ROOMS.with_borrow(|rooms| rooms.get(&room(request)).copied());
            Response::text(200, number.unwrap_or_default().to_string())
        })
        .get("/", |_: &Request| Response::text(200, "no room\n"))
}

fn room(request: &Request) -> String {
    request.param("room").unwrap_or_default().into_owned()
}

/// Counts in a room. Returns the number so far.
fn count(room: &str) -> u64 {
    ROOMS.with_borrow_mut(|rooms| {
        let number = rooms.entry(room.to_owned()).or_default();
        *number += 1;
        *number
    })
}

fn enter(request: &Request) -> Answer {
    let room = room(request);
    let on_message =
        move |connection: &mut Connection, message: Message| -> Result<(), UsageError> {
            assert!(!matches!(&message, Message::Text(text) if &**text == "trap"));
            connection.send(count(&room).to_string())
        };
    Upgrade::new().accept(request, on_message)
}
