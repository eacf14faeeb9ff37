//! Apps of the event form, run natively: events in, actions out.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

mod host;

use std::cell::RefCell;
use std::rc::Rc;

use host::{Host, answer};
use wasocket::events::{
    Accept, Action, Closed, Context, Delivery, Event, EventApp, EventHandler, Gap, MAX_ACTIONS,
    MAX_ANSWER, MAX_STATE, MAX_TOPIC_NAME, MAX_TOPICS, Members, Receiver, Settings, Subscribed,
    Subscription, TopicOperation, TopicRefusal, events,
};
use wasocket::topics::{TopicAction, TopicEvent};
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

/// An app that subscribes as told, and answers what it is told of topics by sending it.
#[derive(Clone)]
struct Member(Subscription);

impl EventHandler for Member {
    type State = ();

    fn open(&self, _: &Request, cx: &mut Context<'_, ()>) -> Result<Accept, Response> {
        cx.subscribe_with(self.0.clone());
        let mut accept = Accept::default();
        accept.settings.compress = true;
        Ok(accept)
    }

    fn message(&self, message: Message, cx: &mut Context<'_, ()>) {
        match message.as_bytes() {
            b"who" => cx.list_members("room"),
            b"others" => cx.publish_to_others("room", "others"),
            b"leave" => cx.unsubscribe("room"),
            _ => cx.publish("room", message),
        }
    }

    fn subscribed(&self, subscribed: Subscribed, cx: &mut Context<'_, ()>) {
        cx.send(format!("subscribed {}", subscribed.recovered));
    }

    fn published(&self, delivery: Delivery, cx: &mut Context<'_, ()>) {
        cx.send(format!("published {:?}", delivery.position));
    }

    fn members(&self, members: Members, cx: &mut Context<'_, ()>) {
        cx.send(format!("{} members", members.count));
    }

    fn gap(&self, gap: Gap, cx: &mut Context<'_, ()>) {
        cx.send(format!("gap {}", gap.topic));
    }

    fn refused(&self, refusal: TopicRefusal, cx: &mut Context<'_, ()>) {
        cx.send(refusal.reason);
    }
}

fn member(receiver: Receiver) -> impl App {
    events(Member(Subscription {
        member: Some(b"me".to_vec()),
        receiver,
        ..Subscription::to("room")
    }))
}

#[test]
fn each_receiver_is_given_what_is_published() {
    let mut host = Host::default();
    let receivers = [
        Receiver::Peer,
        Receiver::PeerWithPosition,
        Receiver::App,
        Receiver::Peer,
    ];
    let ids = receivers.map(|receiver| open(&mut host, &member(receiver)));
    for id in ids {
        assert_eq!(host.texts(id), ["subscribed true"]);
    }
    host.say(ids[0], "a");
    let position = "0000000000000007-1";
    assert_eq!(host.texts(ids[0]), ["a"]);
    assert_eq!(host.texts(ids[1]), [format!("{position}\na")]);
    assert_eq!(
        host.texts(ids[2]),
        [format!("published Some({position:?})")]
    );
    assert_eq!(host.texts(ids[3]), ["a"]);
    // The first and the last share a form; the second has its own.
    assert_eq!((host.topics.forms.len(), host.topics.shared), (2, 2));
    host.say(ids[0], "others");
    assert_eq!(
        (host.texts(ids[0]), host.texts(ids[3])),
        (vec![], vec!["others".into()])
    );
    host.say(ids[3], "who");
    assert_eq!(host.texts(ids[3]), ["4 members"]);
    host.say(ids[3], "leave");
    host.say(ids[3], "who");
    assert_eq!(host.texts(ids[3]), ["3 members"]);
}

#[test]
fn the_app_is_told_of_topics_that_it_has_not_left() {
    let mut host = Host::default();
    let id = open(&mut host, &member(Receiver::Peer));
    let gap = || {
        TopicEvent::Gap(Gap {
            topic: "room".into(),
            position: None,
        })
    };
    host.tell(id, gap());
    assert_eq!(host.texts(id), ["subscribed true", "gap room"]);
    // A subscription that the host has ended is no more.
    host.tell(
        id,
        TopicEvent::Refused(TopicRefusal {
            topic: "room".into(),
            operation: TopicOperation::Subscribe,
            reason: "full".into(),
        }),
    );
    host.tell(id, gap());
    assert_eq!(host.texts(id), ["full"]);
    host.say(id, "a");
    assert_eq!(host.texts(id), [""; 0], "it is not subscribed");
}

#[test]
fn sending_a_form_counts_as_a_message_and_moves_no_deadline() {
    let mut host = Host::default();
    let [one, other] = [(); 2].map(|()| open(&mut host, &member(Receiver::Peer)));
    let due = host.connections[other].effects.wake_at;
    assert!(due.is_some());
    host.now += 1;
    host.say(one, "a");
    assert_eq!(host.topics.shared, 2);
    let report = host.connections[other].session.report();
    assert_eq!(report.messages_sent, 2, "`subscribed` and the publication");
    let now = host.time();
    assert_eq!(host.connections[other].session.wake(now, 0).wake_at, due);
}

#[test]
fn a_closing_connection_is_sent_nothing() {
    let mut host = Host::default();
    let [one, other] = [(); 2].map(|()| open(&mut host, &member(Receiver::Peer)));
    let now = host.time();
    let effects = host.connections[other]
        .session
        .shutdown(now, ShutdownReason::GoingAway);
    host.take(other, effects);
    host.say(one, "a");
    assert_eq!(host.close_frame(other).0, 1001);
    assert_eq!(host.topics.shared, 1);
}

#[test]
fn requests_and_ends_publish() {
    let gone = || vec![publish("room", "gone")];
    let script = Script::answering([
        vec![
            Action::Respond(Response::text(200, "")),
            publish("room", "asked"),
        ],
        vec![accept()],
        vec![accept()],
        gone(),
        gone(),
    ]);
    let app = script.app();
    let (published, verdict) = app.handle(Request::default()).into_parts();
    assert!(matches!(verdict, Verdict::Answer(Answer::Respond(_))));
    assert_eq!(published[0].message, Message::from("asked"));
    let mut host = Host::default();
    let [lost, closed] =
        [(); 2].map(|()| host.open_answer(|request| answer(&app, request.clone())));
    let now = host.time();
    assert_eq!(
        host.connections[lost].session.lost(now)[0].message,
        Message::from("gone")
    );
    let effects = host.connections[closed].session.receive_eof(now);
    assert_eq!(effects.next, wasocket::Disposition::Close);
    assert!(matches!(&effects.topics[..], [TopicAction::Publish(_)]));
}

#[test]
fn a_function_publishes_with_its_response() {
    let app = |_: &Request| Response::text(202, "").publish("a", "1").publish("b", "2");
    let (published, verdict) = app.handle(Request::default()).into_parts();
    assert!(matches!(verdict, Verdict::Answer(_)));
    let topics: Vec<_> = published.iter().map(|own| own.topic.as_str()).collect();
    assert_eq!(topics, ["a", "b"]);
    let bad = |_: &Request| Response::text(202, "").publish("", "1");
    assert!(matches!(bad.handle(Request::default()), Verdict::Failed(_)));
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
    assert!(matches!(&actions[..], [Action::Fail(_)]));
}
