//! `Turn` against the table of `tests/vectors/turns.json`.
#![allow(clippy::panic, reason = "how a test fails")]

use wasocket_host_core::turn::{Call, Ending, Next, Turn};

/// What the host does after an event, in the words of the table.
fn happen(turn: &mut Turn, event: &str) -> &'static str {
    let words: Vec<&str> = event.split(' ').collect();
    match words[..] {
        ["effects", next] => ending(turn.on_effects(parse_next(next), None)),
        ["effects", next, at] => ending(turn.on_effects(parse_next(next), at.parse().ok())),
        ["sent", unsent] => call(turn.on_sent(number(unsent))),
        ["eof"] => call(turn.on_eof()),
        ["time", now] => call(turn.on_time(number(now))),
        ["woken"] => call(turn.on_woken()),
        ["stop"] => call(turn.on_stop()),
        ["lost"] => call(turn.on_lost()),
        ["died"] => ending(turn.on_died()),
        ["report"] => call(turn.on_report()),
        ["arrival"] => call(turn.on_arrival()),
        ["suspended"] => {
            let may = turn.may_suspend();
            turn.on_suspended();
            if may { "suspend" } else { "" }
        }
        _ => panic!("no event: {event}"),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

fn parse_next(text: &str) -> Next {
    match text {
        "open" => Next::Open,
        "pause" => Next::Pause,
        "close" => Next::Close,
        "abort" => Next::Abort,
        _ => panic!("no `next`: {text}"),
    }
}

fn call(call: Option<Call>) -> &'static str {
    match call {
        None => "",
        Some(Call::ReceiveEof) => "receive-eof",
        Some(Call::Wake) => "wake",
        Some(Call::Shutdown) => "shutdown",
        Some(Call::Lost) => "lost",
        Some(Call::Report) => "report",
        Some(Call::Resume) => "resume",
    }
}

fn ending(ending: Option<Ending>) -> &'static str {
    match ending {
        None => "",
        Some(Ending::Close) => "close",
        Some(Ending::Abort) => "abort",
        Some(Ending::FinalBytes) => "final-bytes",
    }
}

fn state(turn: &Turn) -> &'static str {
    match (turn.is_open(), turn.may_deliver(), turn.may_receive()) {
        (true, true, true) => "reads",
        (true, true, false) => "delivers",
        (true, false, false) => "waits",
        (false, false, false) => "ended",
        other => panic!("no state: {other:?}"),
    }
}

#[test]
fn follows_the_table_of_transitions() {
    let all = wasocket_vectors::turns().all();
    assert!(all.len() > 150);
    for (name, before, steps) in all {
        let mut turn = Turn::new();
        for event in before {
            happen(&mut turn, &event);
        }
        for (event, does, then) in steps {
            let done = happen(&mut turn, &event);
            assert_eq!((done, state(&turn)), (&*does, &*then), "{name}: {event}");
        }
    }
}
