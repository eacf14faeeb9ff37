//! States of suspended connections from anywhere: refused, or resumed. What is resumed can be suspended again,
//! and then there are two that do the same with whatever a peer sends.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use wasocket::events::{Action, Event, EventApp, events};
use wasocket::{App, Instant, ReadyList, Resumed, Suspension, resume, suspend};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    suspended_for: u64,
    answered: Option<u64>,
    pinged: Option<u64>,
    now: u64,
    bytes: &'a [u8],
    state: &'a [u8],
}

/// Answers each message with it, keeps it, and passes it on.
struct Echo;

impl EventApp for Echo {
    fn handle(&self, connection: &str, _: &[u8], events: Vec<Event>) -> Vec<Action> {
        assert!((1..=64).contains(&connection.len()));
        let actions = events.into_iter().flat_map(|event| match event {
            Event::Message(message) => vec![
                Action::SetState(message.as_bytes().to_vec()),
                Action::Publish {
                    channel: "room".into(),
                    message: message.clone(),
                },
                Action::Send(message),
            ],
            _ => vec![],
        });
        actions.collect()
    }
}

fuzz_target!(|input: Input| {
    let app = events(Echo);
    // The end of time is no instant at which deadlines can be told apart.
    let now = Instant::from_nanos(input.now >> 1);
    let suspension = Suspension {
        suspended_for: Duration::from_nanos(input.suspended_for),
        answered: input.answered.map(Duration::from_nanos),
        pinged: input.pinged.map(Duration::from_nanos),
    };
    let Some(mut first) = resumed(&app, now, suspension, input.state) else {
        return;
    };
    let state = suspend(&app, &*first.session, now);
    if let Some(state) = &state {
        // Where the first is not heard.
        let elsewhere = events(Echo);
        let again = resumed(&elsewhere, now, Duration::ZERO.into(), state);
        let mut second = again.expect("a suspended session can be resumed");
        let keepalive = first.session.keepalive();
        assert_eq!(keepalive, second.session.keepalive());
        if let Some(keepalive) = keepalive {
            assert_eq!(keepalive.answer.len(), keepalive.answer_mask.len());
        }
        assert_eq!(
            suspend(&elsewhere, &*second.session, now).as_ref(),
            Some(state)
        );
        let bytes = input.bytes.to_vec();
        assert_eq!(
            first.session.receive(now, bytes.clone()),
            second.session.receive(now, bytes)
        );
        let later = now.after(Duration::from_secs(40));
        assert_eq!(first.session.wake(later, 0), second.session.wake(later, 0));
    }
    first.session.lost(now);
});

fn resumed(
    app: &dyn App,
    now: Instant,
    suspension: Suspension,
    state: &[u8],
) -> Option<Resumed> {
    resume(app, now, 1, &ReadyList::default(), suspension, state).ok()
}
