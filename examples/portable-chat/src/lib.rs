//! A chat in the event form. The same app as `languages/{c,javascript,python}/chat.*` and `languages/go/chat`.
//!
//! A member connects to `/rooms/ROOM?NAME`. The name and the number of messages are the state of the connection; the
//! room is a channel. `/bye`, `/crash` and `/flood` show how an app ends a connection, and how it fails.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

use alloc::format;
use alloc::string::String;

use wasocket::events::{Accept, Closed, Context, EventHandler, MAX_ACTIONS, State, StateError};
use wasocket::{CloseCode, Message, Request, Response};

wasocket::export_events!(Chat);

struct Chat;

#[derive(Default)]
struct Member {
    room: String,
    name: String,
    said: u32,
}

impl EventHandler for Chat {
    type State = Member;

    fn request(&self, request: &Request, _: &mut Context<'_, Member>) -> Response {
        match request.path() {
            "/" => {
                let host = request.host().unwrap_or_default();
                Response::text(200, format!("Connect to {host}/rooms/ROOM?NAME\n"))
            }
            _ => Response::text(404, "Not Found\n"),
        }
    }

    fn open(&self, request: &Request, cx: &mut Context<'_, Member>) -> Result<Accept, Response> {
        let Some(room) = request.path().strip_prefix("/rooms/") else {
            return Err(Response::text(404, "Not Found\n"));
        };
        let Some(name) = request.query() else {
            return Err(Response::text(400, "Who are you? /rooms/ROOM?NAME\n"));
        };
        cx.state = Member {
            room: room.into(),
            name: name.into(),
            said: 0,
        };
        cx.subscribe(room);
        cx.publish(room, format!("{name} joined"));
        Ok(Accept::default())
    }

    fn message(&self, message: Message, cx: &mut Context<'_, Member>) {
        let Message::Text(text) = message else {
            return cx.close(CloseCode::UNSUPPORTED_DATA, "text only");
        };
        match &*text {
            "/bye" => cx.close(CloseCode::NORMAL, "bye"),
            "/crash" => crash(),
            "/flood" => (0..=MAX_ACTIONS).for_each(|_| cx.send("!")),
            text => {
                cx.state.said = cx.state.said.saturating_add(1);
                let Member { room, name, said } = &cx.state;
                let line = format!("{name} ({said}): {text}");
                cx.publish(room.clone(), line);
            }
        }
    }

    fn closed(&self, closed: Closed, cx: &mut Context<'_, Member>) {
        let line = format!("{} left ({})", cx.state.name, closed.code);
        cx.publish(cx.state.room.clone(), line);
    }
}

#[allow(clippy::panic, reason = "shows what happens when an app panics")]
fn crash() {
    panic!("the chat crashed");
}

/// The state as bytes, written by hand: room, name and number, a line each. With `std`, `Json` can do this.
impl State for Member {
    fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let text = core::str::from_utf8(bytes).map_err(|_| StateError)?;
        let mut lines = text.splitn(3, '\n');
        let mut line = || lines.next().ok_or(StateError);
        Ok(Self {
            room: line()?.into(),
            name: line()?.into(),
            said: line()?.parse().map_err(|_| StateError)?,
        })
    }

    fn to_bytes(&self) -> Result<alloc::vec::Vec<u8>, StateError> {
        Ok(format!("{}\n{}\n{}", self.room, self.name, self.said).into_bytes())
    }
}
