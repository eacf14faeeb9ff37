//! The gateway between a GRIP proxy and an app of the event form, as the proxy sees it.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod ends;
mod messages;
mod opening;

use std::cell::RefCell;

use wasocket::Request;
use wasocket::events::{Accept, Action, Closed, Event, EventApp};
use wasocket::grip::{Admitted, Config, Gateway, Reply, WireEvent};

const NOW: u64 = 1_700_000_000;

/// `{"alg":"HS256","typ":"JWT"}`, `{"iss":"pushpin","exp":1700003600}`, signed with `secret` by PyJWT.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJwdXNocGluIiwiZXhwIjoxNzAwMDAzNjAwfQ.lb8UT7ZJkScfq3ReMO3l6vEPx-ZDNt2WU0_QLg2an6M";

/// Answers with prepared actions, and records its calls.
#[derive(Default)]
struct App {
    answers: RefCell<Vec<Vec<Action>>>,
    asked: RefCell<Vec<Asked>>,
}

/// A call: the connection, its state, and the events.
type Asked = (String, Vec<u8>, Vec<Event>);

impl App {
    fn answering(answers: impl Into<Vec<Vec<Action>>>) -> Self {
        let mut answers = answers.into();
        answers.reverse();
        Self {
            answers: RefCell::new(answers),
            ..Self::default()
        }
    }

    /// The events of each call.
    fn events(&self) -> Vec<Vec<Event>> {
        let asked = self.asked.borrow();
        asked.iter().map(|(_, _, events)| events.clone()).collect()
    }
}

impl EventApp for App {
    fn handle(&self, connection: &str, state: &[u8], events: Vec<Event>) -> Vec<Action> {
        let asked = (connection.to_owned(), state.to_vec(), events);
        self.asked.borrow_mut().push(asked);
        self.answers.borrow_mut().pop().unwrap_or_default()
    }
}

fn gateway(variables: &[(&str, &str)]) -> Gateway {
    let config = Config::read(|name| {
        let mut own = variables.iter();
        own.find_map(|(own, value)| (*own == name).then(|| (*value).to_owned()))
    });
    Gateway::new(config.expect("a configuration"))
}

const VARIABLES: [(&str, &str); 2] = [
    ("GRIP_VERIFY_KEY", "secret"),
    ("GRIP_URL", "http://127.0.0.1:5561"),
];

/// A request as Pushpin makes it.
fn proxied(fields: &[(&str, &str)]) -> Request {
    let mut request = Request {
        method: "POST".into(),
        target: "/chat?x=1".into(),
        ..Request::default()
    };
    for (name, value) in [
        ("Host", "a.test"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Extensions", "grip"),
        ("Grip-Sig", TOKEN),
        ("Grip-Feature", "status, session, filter:skip-self"),
        ("Accept", "application/websocket-events"),
        ("Connection-Id", "1234"),
        ("Content-Type", "application/websocket-events"),
    ] {
        request.fields.append(name, value);
    }
    for (name, value) in fields {
        if value.is_empty() {
            request.fields.remove(name);
        } else {
            request.fields.set(*name, *value);
        }
    }
    request
}

fn ask(app: &App, request: Request, body: &[u8]) -> Reply {
    ask_of(&gateway(&VARIABLES), app, request, body)
}

fn ask_of(gateway: &Gateway, app: &App, request: Request, body: &[u8]) -> Reply {
    match gateway.admit(request, NOW) {
        Admitted::Plain(request) => gateway.plain(app, request, "name", NOW),
        Admitted::Events(request) => gateway.events(app, request, body, NOW),
        Admitted::Refused(reply) => reply,
    }
}

fn field<'a>(reply: &'a Reply, name: &'a str) -> Option<&'a str> {
    reply.response.head.fields.text(name)
}

fn events(reply: &Reply) -> Vec<WireEvent<'_>> {
    assert_eq!(reply.response.head.status, 200, "{reply:?}");
    let kind = field(reply, "Content-Type");
    assert_eq!(kind, Some("application/websocket-events"));
    WireEvent::decode_all(&reply.response.body).expect("events")
}

fn accept() -> Action {
    Action::Accept(Accept::default())
}

/// Opens a connection, and returns the state that the proxy keeps for it.
fn opened(actions: Vec<Action>) -> String {
    let mut answer = vec![accept()];
    answer.extend(actions);
    let reply = ask(&App::answering([answer]), proxied(&[]), b"OPEN\r\n");
    field(&reply, "Set-Meta-Wasocket").expect("kept").to_owned()
}

fn on(meta: &str) -> Request {
    proxied(&[("Meta-Wasocket", meta)])
}

fn closed(code: u16, reason: &str) -> Vec<Event> {
    let reason = reason.into();
    vec![Event::Closed(Closed { code, reason })]
}

trait Publishing {
    fn publish(channel: &str) -> Self;
}

impl Publishing for Action {
    fn publish(channel: &str) -> Self {
        Self::Publish {
            channel: channel.into(),
            message: "published".into(),
        }
    }
}
