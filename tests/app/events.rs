//! Apps of the event form, run natively: events in, actions out.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

mod host;

use std::cell::RefCell;
use std::rc::Rc;

use host::{Host, answer};
use wasocket::events::{
    Accept, Action, Closed, Context, Event, EventApp, EventHandler, MAX_ACTIONS, MAX_ANSWER,
    MAX_STATE, MAX_TOPIC_NAME, MAX_TOPICS, Settings, events,
};
use wasocket::topics::TopicEvent;
use wasocket::{
    Answer, App, CloseCode, Json, Message, Origins, Request, Response, ShutdownReason, Verdict,
};

/// An app that answers with prepared actions, and records its calls.
#[derive(Clone, Default)]
struct Script(Rc<RefCell<Scripted>>);

#[derive(Default)]
struct Scripted {
    /// The answers, the last one first; once they run out, an empty answer.
    answers: Vec<Vec<Action>>,
    calls: Vec<(String, Vec<u8>, Vec<Event>)>,
}

impl EventApp for Script {
    fn handle(&self, connection: &str, state: &[u8], events: Vec<Event>) -> Vec<Action> {
        let mut script = self.0.borrow_mut();
        script.calls.push((connection.into(), state.into(), events));
        script.answers.pop().unwrap_or_default()
    }
}

impl Script {
    fn answering(answers: impl IntoIterator<Item = Vec<Action>>) -> Self {
        let script = Self::default();
        script.0.borrow_mut().answers = answers.into_iter().collect();
        script.0.borrow_mut().answers.reverse();
        script
    }

    fn app(&self) -> impl App + use<> {
        events(self.clone())
    }

    /// The calls since the last time, except those of requests.
    fn take(&self) -> Vec<(Vec<u8>, Vec<Event>)> {
        let calls = std::mem::take(&mut self.0.borrow_mut().calls);
        let is_request = |event: &Event| matches!(event, Event::Request(_) | Event::Open(_));
        let calls = calls.into_iter().map(|(_, state, events)| (state, events));
        calls
            .filter(|(_, events)| !events.iter().any(is_request))
            .collect()
    }
}

fn accept() -> Action {
    Action::Accept(Accept::default())
}

fn send(text: &str) -> Action {
    Action::Send(text.into())
}

fn publish(channel: &str, text: &str) -> Action {
    Action::Publish {
        channel: channel.into(),
        message: text.into(),
    }
}

fn message(text: &str) -> Event {
    Event::Message(text.into())
}

fn closed(code: u16, reason: &str) -> Event {
    Event::Closed(Closed {
        code,
        reason: reason.into(),
    })
}

fn open(host: &mut Host, app: &impl App) -> usize {
    host.open_answer(|request| answer(app, request.clone()))
}

/// The response to a request without an upgrade.
fn respond(answers: Vec<Action>) -> Response {
    match answer(&Script::answering([answers]).app(), Request::default()) {
        Answer::Respond(response) => response,
        Answer::Takeover(_) => panic!("taken over"),
    }
}

#[test]
fn messages_of_one_read_share_a_call_and_state_is_kept() {
    let script = Script::answering([
        vec![accept(), Action::SetState(b"0".into())],
        vec![send("a"), Action::SetState(b"1".into()), send("b")],
    ]);
    let mut host = Host::default();
    let id = open(&mut host, &script.app());
    host.client(id, |client| {
        client.send_text("one").expect("open");
        client.send_binary(&[2]).expect("open");
        client.ping(b"not for the app").expect("open");
        client.send_text("three").expect("open");
    });
    let code = CloseCode::new(4000).expect("a code");
    host.client(id, |client| client.close(code, "bye").expect("open"));
    let two = Event::Message(Message::from(&[2][..]));
    let one_and_two = (b"0".to_vec(), vec![message("one"), two]);
    let three = (b"1".to_vec(), vec![message("three")]);
    let end = (b"1".to_vec(), vec![closed(4000, "bye")]);
    assert_eq!(script.take(), [one_and_two, three, end]);
    let sent = host.received(id);
    assert_eq!(sent[0], wasocket::Event::Message("a".into()));
    assert_eq!(sent[1], wasocket::Event::Message("b".into()));
    assert!(matches!(&sent[2], wasocket::Event::Pong(_)));
    assert_eq!(sent.len(), 4, "{sent:?}");
}

#[test]
fn a_message_that_arrives_with_the_close_is_answered() {
    let script = Script::answering([vec![accept()], vec![send("still")]]);
    let mut host = Host::default();
    let id = open(&mut host, &script.app());
    host.client(id, |client| {
        client.send_text("last").expect("open");
        client.close(CloseCode::NORMAL, "").expect("open");
    });
    let calls = script.take();
    assert_eq!(calls[0].1, [message("last")]);
    assert_eq!(calls[1].1, [closed(1000, "")]);
    assert!(matches!(&host.received(id)[0], wasocket::Event::Message(_)));
}

#[test]
fn a_request_gets_one_response_or_404() {
    let response = || Action::Respond(Response::text(201, "made"));
    assert_eq!(respond(vec![response()]).head.status, 201);
    assert_eq!(respond(vec![]).head.status, 404);
    for fault in [
        vec![response(), response()],
        vec![accept()],
        vec![response(), send("to nobody")],
        vec![Action::SetState(vec![])],
    ] {
        assert_eq!(respond(fault.clone()).head.status, 500);
        let app = Script::answering([fault]).app();
        assert!(
            matches!(app.handle(Request::default()), Verdict::Failed(rule) if !rule.is_empty())
        );
    }
}

#[test]
fn accept_settings_apply_to_the_handshake() {
    let accept = Accept {
        subprotocol: Some("chat".into()),
        settings: Settings {
            origins: Origins::SameOrListed(vec!["https://*.b.test".into()]),
            max_message_size: 4,
            ..Settings::default()
        },
        ..Accept::default()
    };
    let answers = [
        vec![Action::Accept(accept.clone()), publish("a", "lost")],
        vec![Action::Accept(accept)],
    ];
    let script = Script::answering(answers);
    let app = script.app();
    let mut host = Host::default();
    host.open_answer(|request| {
        let mut foreign = request.clone();
        foreign.fields.append("Origin", "https://c.test");
        match answer(&app, foreign) {
            Answer::Respond(response) => assert_eq!(response.head.status, 403),
            Answer::Takeover(_) => panic!("accepted"),
        }
        let mut listed = request.clone();
        listed.fields.append("Origin", "https://a.b.test");
        answer(&app, listed)
    });
    host.say(0, "12345");
    assert_eq!(host.close_frame(0).0, 1009);
}

#[test]
fn faults_close_with_1011_and_only_the_app_learns_why() {
    let long = "x".repeat(MAX_TOPIC_NAME + 1);
    let many = (0..=MAX_TOPICS).map(|i| Action::Subscribe(i.to_string()));
    let close = |code, reason: &str| Action::Close {
        code,
        reason: reason.into(),
    };
    for (fault, why) in [
        (vec![send(""); MAX_ACTIONS + 1], "1025 actions"),
        (vec![send(&"x".repeat(MAX_ANSWER + 1))], "8388609 bytes"),
        (vec![accept()], "accept"),
        (vec![Action::Respond(Response::text(200, ""))], "respond"),
        (vec![Action::SetState(vec![0; MAX_STATE + 1])], "2049 bytes"),
        (vec![Action::Subscribe(long)], "1 to 128"),
        (vec![publish("", "")], "1 to 128"),
        (many.collect(), "16 topics"),
        (vec![close(1005, "")], "1005"),
    ] {
        let script = Script::answering([vec![accept()], fault, vec![accept()]]);
        let mut host = Host::default();
        let id = open(&mut host, &script.app());
        host.say(id, "go wrong");
        assert_eq!(host.close_frame(id), (1011, String::new()));
        let calls = script.take();
        match &calls[1].1[..] {
            [Event::Closed(closed)] => {
                assert_eq!(closed.code, 1011);
                assert!(closed.reason.contains(why), "{closed:?}");
            }
            events => panic!("{events:?}"),
        }
        assert_eq!(calls.len(), 2, "{why}");
    }
}

#[test]
fn published_messages_reach_subscribers_in_order() {
    let join = || vec![accept(), Action::Subscribe("room".into())];
    let script = Script::answering([
        join(),
        join(),
        vec![accept()],
        vec![
            send("1"),
            publish("room", "2"),
            send("3"),
            publish("room", "4"),
        ],
        vec![Action::Unsubscribe("room".into()), publish("room", "5")],
    ]);
    let app = script.app();
    let mut host = Host::default();
    let [ann, bob, eve] = [0; 3].map(|_| open(&mut host, &app));
    host.say(ann, "go");
    // Its own publications come back to it as they come to all others: after what the answer sends.
    assert_eq!(host.texts(ann), ["1", "3", "2", "4"]);
    assert_eq!(host.texts(bob), ["2", "4"]);
    host.say(ann, "go");
    assert_eq!(host.texts(ann), [""; 0]);
    assert_eq!(host.texts(bob), ["5"]);
    assert_eq!(host.texts(eve), [""; 0]);
}

#[test]
fn a_subscriber_that_is_too_slow_for_the_host_is_closed_with_1013() {
    let join = vec![accept(), Action::Subscribe("room".into())];
    let script = Script::answering([join]);
    let mut host = Host::default();
    let slow = open(&mut host, &script.app());
    host.tell(slow, TopicEvent::TooSlow);
    assert_eq!(host.close_frame(slow), (1013, "too slow".into()));
    host.client(slow, |_| {});
    assert_eq!(script.take().len(), 1, "the app learns of the end only");
}

#[test]
fn the_app_learns_of_every_end() {
    for (end, code) in [
        (End::Eof, 1006),
        (End::Lost, 1006),
        (End::Violation, 1002),
        (End::Shutdown, 1001),
    ] {
        let script = Script::answering([vec![accept()]]);
        let mut host = Host::default();
        let id = open(&mut host, &script.app());
        let now = host.time();
        let session = &mut host.connections[id].session;
        match end {
            End::Eof => drop(session.receive_eof(now)),
            End::Lost => assert!(session.lost(now).is_empty()),
            End::Violation => drop(session.receive(now, vec![0xff, 0xff])),
            End::Shutdown => {
                let effects = session.shutdown(now, ShutdownReason::GoingAway);
                host.connections[id].take(now, effects);
                host.client(id, |_| {});
            }
        }
        let calls = script.take();
        assert!(
            matches!(&calls[..], [(_, events)] if matches!(&events[..], [Event::Closed(closed)] if closed.code == code)),
            "{calls:?}"
        );
    }
}

enum End {
    Eof,
    Lost,
    Violation,
    Shutdown,
}

/// Counts the messages of each connection.
struct Count;

impl EventHandler for Count {
    type State = Json<Counted>;

    fn open(
        &self,
        request: &Request,
        cx: &mut Context<'_, Self::State>,
    ) -> Result<Accept, Response> {
        cx.publish("log", format!("{} asks", cx.connection()));
        match request.query_value("room").as_deref() {
            Some("1") => Ok(Accept::default()),
            _ => {
                cx.send("dropped: there is no WebSocket");
                Err(Response::text(403, "no"))
            }
        }
    }

    fn message(&self, message: Message, cx: &mut Context<'_, Self::State>) {
        cx.state.0.said += 1;
        cx.send(format!("{}: {}", cx.state.0.said, message.as_bytes().len()));
    }
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Counted {
    said: u32,
}

#[test]
fn an_event_handler_keeps_state_per_connection() {
    let app = events(Count);
    let mut host = Host::default();
    let id = open(&mut host, &app);
    host.say(id, "abc");
    host.say(id, "de");
    assert_eq!(host.texts(id), ["1: 3", "2: 2"]);
    let other = open(&mut host, &app);
    host.say(other, "");
    assert_eq!(host.texts(other), ["1: 0"]);
}

#[test]
fn an_event_handler_can_refuse() {
    let mut request = Request::default();
    request.fields.append("Upgrade", "websocket");
    let actions = Count.handle("1", b"", vec![Event::Open(request)]);
    match &actions[..] {
        [Action::Publish { message, .. }, Action::Respond(response)] => {
            assert_eq!(*message, Message::from("1 asks"));
            assert_eq!(response.head.status, 403);
        }
        actions => panic!("{actions:?}"),
    }
    // A state the handler did not write.
    let actions = Count.handle("1", b"{", vec![message("a")]);
    assert!(matches!(&actions[..], [Action::Close { code: 1011, .. }]));
}
