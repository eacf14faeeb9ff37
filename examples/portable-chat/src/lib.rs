//! A chat in the event form. The same app as `languages/{c,javascript,python}/chat.*` and `languages/go/chat`.
//!
//! A member connects to `/rooms/ROOM?NAME`. The name and the number of messages are the state of the connection. The
//! room is a topic that keeps 50 messages, and knows who is there. `/bye`, `/crash` and `/flood` show how an app ends a connection, and how it fails.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use wasocket::events::{
    Accept, Closed, Context, EventHandler, Gap, History, MAX_ACTIONS, MemberChange, Members, Start,
    State, StateError, Subscribed, Subscription, TopicOperation, TopicRefusal,
};
use wasocket::{CloseCode, Message, Request, Response};

wasocket::export_events!(Chat);

struct Chat;

#[derive(Default)]
struct Member {
    room: String,
    name: String,
    said: u32,
    /// Whether the room is joined without history and members.
    is_plain: bool,
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
            ..Member::default()
        };
        cx.subscribe_with(Subscription {
            start: Start::Last(50),
            keep: Some(History {
                count: 50,
                seconds: 86_400,
            }),
            member: Some(name.into()),
            watch_members: true,
            ..Subscription::to(room)
        });
        Ok(Accept::default())
    }

    fn subscribed(&self, subscribed: Subscribed, cx: &mut Context<'_, Member>) {
        say_joined(cx);
        cx.list_members(subscribed.topic);
    }

    // In a room of thousands one would send the change, not the list.
    fn joined(&self, change: MemberChange, cx: &mut Context<'_, Member>) {
        cx.list_members(change.topic);
    }

    fn left(&self, change: MemberChange, cx: &mut Context<'_, Member>) {
        cx.list_members(change.topic);
    }

    fn members(&self, members: Members, cx: &mut Context<'_, Member>) {
        let names = members.members.iter();
        let names: Vec<_> = names.map(|name| String::from_utf8_lossy(name)).collect();
        cx.send(format!("here: {}", names.join(", ")));
    }

    fn gap(&self, _: Gap, cx: &mut Context<'_, Member>) {
        cx.send("some messages may be missing here");
    }

    /// Not every place where an app runs has history and members: the messages alone will do.
    fn refused(&self, refusal: TopicRefusal, cx: &mut Context<'_, Member>) {
        if refusal.operation != TopicOperation::Subscribe {
            return;
        }
        if cx.state.is_plain {
            return cx.close(CloseCode::TRY_AGAIN_LATER, &refusal.reason);
        }
        cx.state.is_plain = true;
        cx.subscribe(refusal.topic);
        say_joined(cx);
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
                let Member {
                    room, name, said, ..
                } = &cx.state;
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

fn say_joined(cx: &mut Context<'_, Member>) {
    let line = format!("{} joined", cx.state.name);
    cx.publish(cx.state.room.clone(), line);
}

#[allow(clippy::panic, reason = "shows what happens when an app panics")]
fn crash() {
    panic!("the chat crashed");
}

/// The state as bytes, written by hand: room, name, number, and whether it is plain, a line each. With `std`, `Json` can do this.
impl State for Member {
    fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let text = core::str::from_utf8(bytes).map_err(|_| StateError)?;
        let mut lines = text.splitn(4, '\n');
        let mut line = || lines.next().ok_or(StateError);
        Ok(Self {
            room: line()?.into(),
            name: line()?.into(),
            said: line()?.parse().map_err(|_| StateError)?,
            is_plain: line()?.parse().map_err(|_| StateError)?,
        })
    }

    fn to_bytes(&self) -> Result<Vec<u8>, StateError> {
        let Self {
            room,
            name,
            said,
            is_plain,
        } = self;
        Ok(format!("{room}\n{name}\n{said}\n{is_plain}").into_bytes())
    }
}
