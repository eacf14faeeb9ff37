//! A chat: a page at `/`, and rooms at `/rooms/NAME`, whose members see each other's messages.
//!
//! Rooms do not span instances. With `wasocket serve chat.wasm --connections-per-instance 1000` up to a thousand
//! members share them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use wasocket::{
    CloseCode, Error, Request, Response, Router, Sender, TrySendError, WebSocket, websocket,
};

wasocket::export!(routes());

fn routes() -> Router {
    let rooms = Rc::new(Rooms::default());
    let chat = move |ws| chat(Rc::clone(&rooms), ws);
    Router::new()
        .get("/", page)
        .websocket("/rooms/{room}", websocket(chat))
}

fn page(_: &Request) -> Response {
    const PAGE: &str = include_str!("page.html");
    Response::new(200, "text/html; charset=utf-8", PAGE)
}

async fn chat(rooms: Rc<Rooms>, ws: WebSocket) -> Result<(), Error> {
    let member = Member::join(&rooms, &ws);
    while let Some(text) = ws.receive::<String>().await? {
        rooms.tell(&member.room, &text);
    }
    Ok(())
}

/// The members of each room.
#[derive(Default)]
struct Rooms(RefCell<HashMap<String, Vec<Sender>>>);

impl Rooms {
    /// Sends a text to all members of a room. A member that does not keep up is disconnected, so that the others need
    /// not wait.
    fn tell(&self, room: &str, text: &str) {
        let rooms = self.0.borrow();
        for member in rooms.get(room).into_iter().flatten() {
            if let Err(TrySendError::Full(_)) = member.try_send(text) {
                let _ = member.start_close(CloseCode::TRY_AGAIN_LATER, "too slow");
            }
        }
    }
}

/// Membership of a room. Dropping it leaves the room, however the conversation ends.
struct Member {
    rooms: Rc<Rooms>,
    room: String,
    sender: Sender,
}

impl Member {
    fn join(rooms: &Rc<Rooms>, ws: &WebSocket) -> Self {
        let room = ws.request().param("room").unwrap_or_default().into_owned();
        let sender = ws.sender();
        let mut all = rooms.0.borrow_mut();
        all.entry(room.clone()).or_default().push(sender.clone());
        Self {
            rooms: Rc::clone(rooms),
            room,
            sender,
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut rooms = self.rooms.0.borrow_mut();
        let Some(members) = rooms.get_mut(&self.room) else {
            return;
        };
        members.retain(|member| *member != self.sender);
        if members.is_empty() {
            rooms.remove(&self.room);
        }
    }
}
