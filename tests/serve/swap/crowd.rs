//! A crowd under traffic, made with independent clients, while versions come and go. Every message is numbered by the client
//! and by the app, in both directions, and so are publications.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use support::crowd::{Crowds, STAYING};
use support::engine::{Engine, Kind};
use support::operator::{admin, metric};
use support::{Site, app_behaviours, build_guest};

use crate::{Versions, another};

const SWAPS: u8 = 20;

/// Clients that happen to say and hear nothing for a second go to sleep.
const OPTIONS: &str = "--admin 127.0.0.1:0 --workers 2 --hibernate-after 1";

/// Swaps an app under a crowd. The engine through which it publishes is killed a few times, and restarts at once.
fn crowd_notices_nothing(language: &str, component: &Path, engine: Option<Engine>) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let component = fs::read(component).expect("a component");
    let takes_turns = [another(&component, 1), another(&component, 2)];
    let takes_turns = takes_turns.each_ref().map(Vec::as_slice);
    let bus = engine.as_ref().map(Engine::url);
    let mut options: Vec<_> = OPTIONS.split(' ').collect();
    options.extend(bus.iter().flat_map(|url| ["--bus", url]));
    let name = format!("crowd-{language}");
    let versions = Versions::serve_compiled(&name, takes_turns, &options);
    let url = format!("ws://{}", versions.server.address);
    let crowds = Crowds::start(&url);
    swap(&versions, takes_turns, engine);
    crowds.end();
    most_have_moved(&admin(&versions.server));
}

fn swap(versions: &Versions, takes_turns: [&[u8]; 2], mut engine: Option<Engine>) {
    for swap in 1..=SWAPS {
        versions.replace(takes_turns[usize::from(swap % 2)]);
        match &mut engine {
            Some(engine) if swap % 7 == 0 => engine.kill_and_restart(),
            _ => {}
        }
    }
}

fn most_have_moved(admin: &Site) {
    let count = |name| metric(admin, &format!("wasocket_{name}"));
    let (moved, slept) = (count("swap_moved_total"), count("hibernations_total"));
    println!("{moved} moves, {slept} times asleep");
    // On a busy machine, some are asked to move to the next version before they have moved to the last one.
    assert!(moved > STAYING * u64::from(SWAPS) / 2, "{moved}");
    assert!(slept > 100, "{slept}");
    for never in ["swap_kept_total{reason=\"failed\"}", "swap_closed_total"] {
        assert_eq!(count(never), 0, "{never}");
    }
}

#[test]
fn a_crowd_of_an_app_in_rust_notices_nothing() {
    let engine = Engine::start(Kind::Nats, "crowd");
    crowd_notices_nothing("rust", &build_guest("numbered", ""), Some(engine));
}

#[test]
fn a_crowd_of_an_app_in_python_notices_nothing() {
    app_behaviours::build();
    let component = app_behaviours::component("python", "numbered");
    crowd_notices_nothing("python", &component, None);
}
