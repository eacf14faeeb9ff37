//! The answers of `tests/vectors/actions.json`, natively.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

mod host;

use std::cell::RefCell;
use std::rc::Rc;

use host::{Host, answer};
use wasocket::events::{Accept, Action, Closed, Event, EventApp, Subscription, events};
use wasocket::{Answer, App, Message, Request, Response};
use wasocket_vectors::ActionVector;

/// An app that answers one event as a vector says, and records the fault that it is told of.
#[derive(Clone)]
struct Script(Rc<ActionVector>, Rc<RefCell<Option<String>>>);

impl EventApp for Script {
    fn handle(&self, _: &str, _: &[u8], events: Vec<Event>) -> Vec<Action> {
        let (name, otherwise) = match events.first() {
            Some(Event::Request(_)) => ("request", vec![]),
            Some(Event::Open(_)) => ("open", vec![Action::Accept(Accept::default())]),
            Some(Event::Message(_)) => ("message", vec![]),
            Some(Event::Closed(Closed { code: 1011, reason })) => {
                *self.1.borrow_mut() = Some(reason.clone());
                return vec![];
            }
            _ => return vec![],
        };
        if name == self.0.answers {
            self.0.actions().into_iter().map(to_action).collect()
        } else {
            otherwise
        }
    }
}

fn to_action(action: wasocket_vectors::Action) -> Action {
    use wasocket_vectors::Action as Line;
    match action {
        Line::Respond(status, body) => Action::Respond(Response::text(status, body)),
        Line::Accept => Action::Accept(Accept::default()),
        Line::Send(text) => Action::Send(text.into()),
        Line::Close(code, reason) => Action::Close { code, reason },
        Line::SetState(state) => Action::SetState(state.into_bytes()),
        Line::Subscribe(channel) => Action::Subscribe(channel),
        Line::Unsubscribe(channel) => Action::Unsubscribe(channel),
        Line::Publish(channel, text) => Action::Publish {
            channel,
            message: text.into(),
        },
        Line::PublishToOthers(channel, text) => Action::PublishToOthers {
            channel,
            message: text.into(),
        },
        Line::SubscribeWith(topic, member) => Action::SubscribeWith(Subscription {
            topic,
            member: Some(member.into_bytes()),
            ..Subscription::default()
        }),
        Line::ListMembers(topic) => Action::ListMembers(topic),
        Line::Fail(reason) => Action::Fail(reason),
    }
}

/// The texts that the client receives if the app accepts the handshake; otherwise the status.
fn outcome(app: &impl App, vector: &ActionVector) -> (Vec<String>, Option<u16>) {
    let name = &vector.name;
    let open = |request: &Request| answer(app, request.clone());
    let refusal = match &*vector.answers {
        "request" => Some(answer(app, Request::default())),
        _ => Some(host::handshake(open)).filter(|answer| matches!(answer, Answer::Respond(_))),
    };
    match refusal {
        Some(Answer::Respond(response)) => return (vec![], Some(response.head.status)),
        Some(Answer::Takeover(_)) => panic!("{name}: a request is taken over"),
        None => {}
    }
    let mut host = Host::default();
    let id = host.open_answer(open);
    if vector.answers == "message" {
        host.say(id, "go");
    }
    let text = |event| match event {
        wasocket::Event::Message(Message::Text(text)) => Some(text.to_string()),
        _ => None,
    };
    let received = host.received(id).into_iter().filter_map(text);
    (received.collect(), None)
}

#[test]
fn answers_match_the_vectors() {
    let vectors = wasocket_vectors::actions();
    assert!(vectors.len() > 50);
    for vector in vectors {
        let fault = Rc::default();
        let app = events(Script(Rc::new(vector.clone()), Rc::clone(&fault)));
        let outcome = outcome(&app, &vector);
        let expected = (vector.received.clone(), vector.status);
        let name = &vector.name;
        assert_eq!((outcome, fault.take()), (expected, vector.fault), "{name}");
    }
}
