//! A chat: a page at `/`, and rooms at `/rooms/ROOM?name=NAME`. Members see each other's messages, the last 50 of those
//! before they came, and who is there.
//!
//! A room is a topic, so it reaches the whole service: all instances, workers and, with `--bus`, machines.

use serde::{Deserialize, Serialize};
use wasocket::events::{
    Accept, Context, EventHandler, Gap, History, MemberChange, Members, Start, Subscribed,
    Subscription, TopicOperation, TopicRefusal,
};
use wasocket::{CloseCode, Json, Message, Request, Response};

wasocket::export_events!(Chat);

struct Chat;

/// What is kept of a connection from event to event.
#[derive(Default, Serialize, Deserialize)]
struct Member {
    room: String,
    name: String,
}

/// What the page is sent.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Said { name: &'a str, text: &'a str },
    Here(Vec<String>),
    Missing,
}

type State<'a> = Context<'a, Json<Member>>;

impl EventHandler for Chat {
    type State = Json<Member>;

    fn request(&self, request: &Request, _: &mut State<'_>) -> Response {
        match request.path() {
            "/" => Response::new(200, "text/html; charset=utf-8", include_str!("page.html")),
            _ => Response::text(404, "Not Found\n"),
        }
    }

    fn open(&self, request: &Request, cx: &mut State<'_>) -> Result<Accept, Response> {
        let Some(room) = request.path().strip_prefix("/rooms/") else {
            return Err(Response::text(404, "Not Found\n"));
        };
        let Some(name) = request.query_value("name").filter(|name| !name.is_empty()) else {
            return Err(Response::text(400, "Who are you? /rooms/ROOM?name=NAME\n"));
        };
        cx.subscribe_with(Subscription {
            start: Start::Last(50),
            keep: Some(History {
                count: 50,
                seconds: 86_400,
            }),
            member: Some(name.as_bytes().into()),
            watch_members: true,
            ..Subscription::to(room)
        });
        cx.state = Json(Member {
            room: room.into(),
            name: name.into(),
        });
        Ok(Accept::default())
    }

    fn message(&self, message: Message, cx: &mut State<'_>) {
        let Message::Text(text) = message else {
            return cx.close(CloseCode::UNSUPPORTED_DATA, "text only");
        };
        let Member { room, name } = &cx.state.0;
        let said = Line::Said { name, text: &text };
        let (room, said) = (room.clone(), json(&said));
        cx.publish(room, said);
    }

    fn subscribed(&self, subscribed: Subscribed, cx: &mut State<'_>) {
        cx.list_members(subscribed.topic);
    }

    // In a room of thousands one would send the change, not the list.
    fn joined(&self, change: MemberChange, cx: &mut State<'_>) {
        cx.list_members(change.topic);
    }

    fn left(&self, change: MemberChange, cx: &mut State<'_>) {
        cx.list_members(change.topic);
    }

    fn members(&self, members: Members, cx: &mut State<'_>) {
        let names = members.members.iter();
        let names = names.map(|name| String::from_utf8_lossy(name).into_owned());
        cx.send(json(&Line::Here(names.collect())));
    }

    fn gap(&self, _: Gap, cx: &mut State<'_>) {
        cx.send(json(&Line::Missing));
    }

    fn refused(&self, refusal: TopicRefusal, cx: &mut State<'_>) {
        if refusal.operation == TopicOperation::Subscribe {
            cx.close(CloseCode::TRY_AGAIN_LATER, &refusal.reason);
        }
    }
}

fn json(line: &Line<'_>) -> String {
    serde_json::to_string(line).unwrap_or_default()
}
