//! An app of the event form for the tests of topics. A connection at `/TOPIC` subscribes to this topic, as the query
//! says, and publishes there what its client sends. A text that begins with `!` is a command. What happens is told to the
//! client as a text that begins with `!`, too.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use wasocket::events::{
    Accept, Context, Delivery, EventHandler, Gap, History, MemberChange, Members, Receiver, Start,
    Subscribed, Subscription, TopicRefusal,
};
use wasocket::{CloseCode, Message, Request, Response};

#[cfg(not(any(feature = "resume-trap", feature = "message-fail")))]
wasocket::export_events!(Topics);
#[cfg(feature = "message-fail")]
wasocket::export_events!(Failing);
#[cfg(feature = "resume-trap")]
wasocket::export!(Unresumable(alloc::boxed::Box::new(
    wasocket::events::events(Topics)
)));

/// An app that serves well, and traps when it is to resume a connection.
#[cfg(feature = "resume-trap")]
struct Unresumable(alloc::boxed::Box<dyn wasocket::App>);

#[cfg(feature = "resume-trap")]
impl wasocket::App for Unresumable {
    fn handle(&self, request: Request) -> wasocket::Verdict {
        self.0.handle(request)
    }

    fn resumer(&self, _: &str) -> Option<&dyn wasocket::Resumer> {
        Some(self)
    }
}

#[cfg(feature = "resume-trap")]
impl wasocket::Resumer for Unresumable {
    fn resume(
        &self,
        _: wasocket::Instant,
        _: wasocket::ConnectionId,
        _: &wasocket::ReadyList,
        _: wasocket::Suspended,
    ) -> Result<alloc::boxed::Box<dyn wasocket::Session>, wasocket::ResumeError> {
        trap();
        Err(wasocket::ResumeError::Unsupported)
    }
}

/// An app that fails on the first message of a connection.
#[cfg(feature = "message-fail")]
struct Failing;

#[cfg(feature = "message-fail")]
impl wasocket::events::EventApp for Failing {
    fn handle(
        &self,
        connection: &str,
        state: &[u8],
        events: alloc::vec::Vec<wasocket::events::Event>,
    ) -> alloc::vec::Vec<wasocket::events::Action> {
        use wasocket::events::{Action, Event};

        if matches!(events.first(), Some(Event::Message(_))) {
            return [Action::Fail("for the test".into())].into();
        }
        Topics.handle(connection, state, events)
    }
}

struct Topics;

impl EventHandler for Topics {
    /// The topic.
    type State = String;

    /// Publishes the query on the topic of the path.
    fn request(&self, request: &Request, cx: &mut Context<'_, String>) -> Response {
        let target = request.target.trim_start_matches('/');
        let (topic, text) = target.split_once('?').unwrap_or((target, ""));
        cx.publish(topic, text.to_string());
        Response::text(200, "published\n")
    }

    fn open(&self, request: &Request, cx: &mut Context<'_, String>) -> Result<Accept, Response> {
        let target = request.target.trim_start_matches('/');
        let (topic, query) = target.split_once('?').unwrap_or((target, ""));
        cx.state = topic.to_string();
        let mut accept = Accept::default();
        accept.settings.compress = query.split('&').any(|part| part == "compress");
        accept.settings.max_message_size = 2 << 20;
        if !topic.is_empty() {
            cx.subscribe_with(subscription(topic, query));
        }
        Ok(accept)
    }

    fn message(&self, message: Message, cx: &mut Context<'_, String>) {
        if cfg!(feature = "receive-trap") || cfg!(feature = "tenth-trap") && is_tenth() {
            trap();
        }
        let text = match &message {
            Message::Text(text) => text,
            Message::Binary(_) => "",
        };
        match text.strip_prefix('!') {
            Some(command) => carry_out(command, cx),
            None => cx.publish(cx.state.clone(), message),
        }
    }

    fn subscribed(&self, subscribed: Subscribed, cx: &mut Context<'_, String>) {
        let position = subscribed.position.unwrap_or_default();
        let recovered = subscribed.recovered;
        cx.send(format!(
            "!subscribed {} {position} {recovered}",
            subscribed.topic
        ));
    }

    fn published(&self, delivery: Delivery, cx: &mut Context<'_, String>) {
        let text = String::from_utf8_lossy(delivery.message.as_bytes());
        match &*text {
            "trap" => trap(),
            "leave" => cx.close(CloseCode::NORMAL, "left"),
            _ => cx.send(format!("!published {text}")),
        }
    }

    fn gap(&self, gap: Gap, cx: &mut Context<'_, String>) {
        let position = gap.position.unwrap_or_default();
        cx.send(format!("!gap {} {position}", gap.topic));
    }

    fn members(&self, members: Members, cx: &mut Context<'_, String>) {
        let mut names: alloc::vec::Vec<_> = members
            .members
            .iter()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        names.sort();
        cx.send(format!("!members {} {}", members.count, names.join(",")));
    }

    fn joined(&self, member: MemberChange, cx: &mut Context<'_, String>) {
        cx.send(format!(
            "!joined {}",
            String::from_utf8_lossy(&member.member)
        ));
    }

    fn left(&self, member: MemberChange, cx: &mut Context<'_, String>) {
        cx.send(format!("!left {}", String::from_utf8_lossy(&member.member)));
    }

    fn refused(&self, refusal: TopicRefusal, cx: &mut Context<'_, String>) {
        cx.send(format!("!refused {} {}", refusal.topic, refusal.reason));
    }
}

/// Whether this is every tenth call in the instance.
fn is_tenth() -> bool {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    CALLS.fetch_add(1, Relaxed) % 10 == 9
}

/// Carries out a command.
fn carry_out(command: &str, cx: &mut Context<'_, String>) {
    let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
    match word {
        "subscribe" => {
            let (topic, query) = rest.split_once('?').unwrap_or((rest, ""));
            cx.subscribe_with(subscription(topic, query));
        }
        "unsubscribe" => cx.unsubscribe(rest),
        "others" => cx.publish_to_others(cx.state.clone(), rest.to_string()),
        "publish" => {
            let (topic, text) = rest.split_once(' ').unwrap_or((rest, ""));
            cx.publish(topic, text.to_string());
        }
        // Publishes the numbers up to one.
        "count" => {
            for number in 1..=rest.parse().unwrap_or(0) {
                cx.publish(cx.state.clone(), format!("{number}"));
            }
        }
        "members" => cx.list_members(cx.state.clone()),
        "echo" => cx.send(rest.to_string()),
        _ => trap(),
    }
}

/// Reads `last=5&keep=10&member=me&watch&position&app`.
fn subscription(topic: &str, query: &str) -> Subscription {
    let mut wanted = Subscription::to(topic);
    for part in query.split('&') {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name {
            "last" => wanted.start = Start::Last(value.parse().unwrap_or(0)),
            "after" => wanted.start = Start::After(value.to_string()),
            "keep" => {
                wanted.keep = Some(History {
                    count: value.parse().unwrap_or(0),
                    seconds: 600,
                });
            }
            "member" => wanted.member = Some(value.as_bytes().to_vec()),
            "watch" => wanted.watch_members = true,
            "position" => wanted.receiver = Receiver::PeerWithPosition,
            "app" => wanted.receiver = Receiver::App,
            _ => {}
        }
    }
    wanted
}

#[allow(clippy::panic, reason = "it is what the tests want")]
fn trap() {
    panic!("for the test");
}
