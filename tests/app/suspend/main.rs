//! Connections saved as bytes and restored from them: `suspend` and `resume`.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

#[path = "../host/mod.rs"]
mod host;

mod continuation;
mod eligibility;
mod invalid_states;
mod time;

use std::time::Duration;

use host::{Host, answer};
use wasocket::events::{Accept, Context, EventHandler};
use wasocket::{
    App, Instant, Message, ReadyList, Request, Response, ResumeError, Resumed, WebSocket, resume,
    suspend,
};

/// Numbers the messages of each connection, and publishes them to everyone in the room.
struct Room;

impl EventHandler for Room {
    type State = String;

    fn open(&self, _: &Request, cx: &mut Context<'_, String>) -> Result<Accept, Response> {
        cx.subscribe("room");
        Ok(Accept::default())
    }

    fn message(&self, message: Message, cx: &mut Context<'_, String>) {
        cx.state.push('i');
        let said = String::from_utf8_lossy(message.as_bytes()).into_owned();
        let name = cx.connection().to_owned();
        match &*said {
            "who" => cx.send(name),
            _ => cx.publish("room", format!("{} {said}", cx.state)),
        }
    }
}

const SECOND: u64 = 1_000_000_000;

fn open(host: &mut Host, app: &dyn App) -> usize {
    host.open_answer(|request| answer(app, request.clone()))
}

fn suspended(host: &Host, app: &dyn App, id: usize) -> Option<Vec<u8>> {
    suspend(app, &*host.connections[id].session, host.time())
}

/// The state of a connection that has sent a message and is in a channel.
fn state(app: &dyn App) -> Vec<u8> {
    let mut host = Host::default();
    open(&mut host, app);
    host.say(0, "a");
    suspended(&host, app, 0).expect("it is at rest")
}

fn try_resume(app: &dyn App, state: &[u8]) -> Result<Resumed, ResumeError> {
    let now = Instant::from_nanos(SECOND);
    resume(app, now, 1, &ReadyList::default(), Duration::ZERO, state)
}

fn refusal(app: &dyn App, state: &[u8]) -> ResumeError {
    try_resume(app, state).expect_err("not a state")
}

/// Moves the first connection of one instance to another instance.
fn move_over(from: &mut Host, old: &dyn App, to: &mut Host, new: &dyn App) -> usize {
    let state = suspended(from, old, 0).expect("it is at rest");
    let peer = from.connections.remove(0);
    let id = to.connections.len();
    let resumed = resume(new, to.time(), id as u64, &to.ready, Duration::ZERO, &state);
    let resumed = resumed.expect("a state");
    let mut peer = host::Peer {
        session: resumed.session,
        ..peer
    };
    peer.take(to.time(), resumed.effects);
    to.connections.push(peer);
    // The host keeps the subscriptions.
    to.topics.adopt(id, &mut from.topics, 0);
    to.settle();
    id
}

/// The state, with one part of it replaced by another.
fn replaced(state: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = state.windows(old.len()).position(|part| part == old);
    let at = at.expect("it is there");
    [&state[..at], new, &state[at + old.len()..]].concat()
}

async fn listens(ws: WebSocket) {
    while let Ok(Some(Message::Text(_))) = ws.receive().await {}
}
