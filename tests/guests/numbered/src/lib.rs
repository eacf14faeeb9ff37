//! Numbers what each connection is told, what it says and what it publishes, so that the app or its client notices
//! whatever is lost, doubled or reordered. A connection at `/ROOM?NAME` hears what is published in the room.
//!
//! | A client sends | and the app | |
//! |---|---|---|
//! | `NUMBER e`, a line feed, a payload | sends | `SENT NUMBER`, a line feed, the payload |
//! | `NUMBER p`, a line feed, a payload | publishes | `NAME PUBLISHED NUMBER`, a line feed, the payload |
//!
//! `NUMBER` begins with 1. If it is not the next one, the app closes with 4000. The same app as
//! `languages/python/numbered.py`.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use wasocket::events::{Accept, Context, EventHandler, State, StateError};
use wasocket::{CloseCode, Message, Request, Response};

wasocket::export_events!(Numbered);

struct Numbered;

/// The state of a connection: as text, with a space between the parts.
#[derive(Default)]
struct Counted {
    room: String,
    name: String,
    told: u64,
    sent: u64,
    published: u64,
}

impl EventHandler for Numbered {
    type State = Counted;

    fn open(&self, request: &Request, cx: &mut Context<'_, Counted>) -> Result<Accept, Response> {
        let target = request.target.trim_start_matches('/');
        let (room, name) = target.split_once('?').unwrap_or((target, "nobody"));
        cx.state.room = room.into();
        cx.state.name = name.into();
        cx.subscribe(room);
        let mut accept = Accept::default();
        accept.settings.compress = true;
        Ok(accept)
    }

    fn message(&self, message: Message, cx: &mut Context<'_, Counted>) {
        cx.state.told += 1;
        let (head, payload) = split(message.as_bytes());
        let told = cx.state.told;
        if head == format!("{told} e") {
            cx.state.sent += 1;
            let head = format!("{} {told}\n", cx.state.sent);
            cx.send(joined(&head, payload, &message));
        } else if head == format!("{told} p") {
            cx.state.published += 1;
            let Counted {
                room,
                name,
                published,
                ..
            } = &cx.state;
            let (room, head) = (room.clone(), format!("{name} {published} {told}\n"));
            cx.publish(room, joined(&head, payload, &message));
        } else if let Ok(code) = CloseCode::new(4000) {
            cx.close(code, format!("expected {told}, got {head}"));
        }
    }
}

/// The first line, and what follows it.
fn split(bytes: &[u8]) -> (&str, &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (head, payload) = bytes.split_at(end.unwrap_or(bytes.len()));
    let head = str::from_utf8(head).unwrap_or_default();
    (head, payload.get(1..).unwrap_or_default())
}

/// A message of the kind of another one.
fn joined(head: &str, payload: &[u8], like: &Message) -> Message {
    match like {
        Message::Text(_) => {
            let payload = str::from_utf8(payload).unwrap_or_default();
            Message::from(format!("{head}{payload}"))
        }
        Message::Binary(_) => Message::from([head.as_bytes(), payload].concat()),
    }
}

impl State for Counted {
    fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let text = str::from_utf8(bytes).map_err(|_| StateError)?;
        let mut parts = text.split(' ');
        let mut part = || parts.next().ok_or(StateError);
        Ok(Self {
            room: part()?.to_string(),
            name: part()?.to_string(),
            told: part()?.parse().map_err(|_| StateError)?,
            sent: part()?.parse().map_err(|_| StateError)?,
            published: part()?.parse().map_err(|_| StateError)?,
        })
    }

    fn to_bytes(&self) -> Result<Vec<u8>, StateError> {
        let Self {
            room,
            name,
            told,
            sent,
            published,
        } = self;
        Ok(format!("{room} {name} {told} {sent} {published}").into_bytes())
    }
}
