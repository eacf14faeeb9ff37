//! The kit on components: what works as on native apps, and what only components have.
#![allow(clippy::expect_used, reason = "how a test fails")]

use std::panic::catch_unwind;
use std::time::Duration;

use wasocket_host::guest::Limits;
use wasocket_test::{Bus, Kit, build, get, websocket};

fn faults() -> Kit {
    Kit::component(build("faults"))
}

#[test]
fn a_component_converses() {
    let kit = faults();
    let ws = kit.connect(websocket("/"));
    ws.send("hello");
    ws.assert_text("hello");
    ws.block();
    ws.send("again");
    assert!(ws.unsent() > 0);
    ws.unblock();
    ws.assert_text("again");
    ws.close(1000, "");
    ws.assert_closed(1000);
    let raw = kit.take_over(get("/raw").residual(b"x"));
    assert_eq!(raw.output().len(), 8 << 20);
    assert!(raw.is_closed());
}

#[test]
fn the_test_controls_the_clock() {
    let ws_of = |kit: &Kit| kit.connect(websocket("/keepalive"));
    let kit = faults();
    let (here, gone) = (ws_of(&kit), ws_of(&kit));
    gone.hold();
    kit.pass(Duration::from_secs(3600));
    assert!(here.is_open());
    gone.assert_closed(1006);
    assert_eq!(here.events().len(), 18_000);
}

#[test]
fn a_trap_is_an_error_with_a_backtrace() {
    let kit = faults();
    let [one, other] = [(); 2].map(|()| kit.connect(websocket("/")));
    let fault = kit.attempt(|| one.send("trap")).expect_err("it traps");
    assert!(fault.reason.contains("the guest trapped"), "{fault}");
    let backtrace = fault.backtrace.expect("components have one");
    assert!(backtrace.contains("panic_for_the_test"), "{backtrace}");
    one.assert_closed(1011);
    other.assert_closed(1011);
    let refused = kit.attempt(|| kit.try_connect(websocket("/open")));
    assert!(refused.is_err());
    kit.connect(websocket("/")).send("the next instance serves");
}

#[test]
fn memory_and_call_time_are_limited() {
    let limits = Limits {
        memory: 8 << 20,
        call_time: Duration::from_millis(50),
        ..Limits::default()
    };
    let kit = Kit::component_within(build("faults"), limits);
    for (path, reason) in [("/eat", "memory"), ("/spin", "more than 50 ms of CPU time")] {
        let fault = kit.attempt(|| kit.get(path)).expect_err("a limit");
        assert!(fault.reason.contains(reason), "{fault}");
    }
}

#[test]
fn a_breach_of_the_contract_is_reported() {
    let told = catch_unwind(|| faults().get("/own-length")).expect_err("a breach");
    let told = told.downcast_ref::<String>().expect("a text");
    assert!(
        told.contains("\"Content-Length\" is for the host to set"),
        "{told}"
    );
}

/// The shared frames are the component's; what compresses is the same for both.
#[test]
fn rooms_reach_the_components_of_a_bus() {
    let bus = Bus::new();
    let kit = || Kit::component(build("portable-chat")).on(&bus);
    let (here, there) = (kit(), kit());
    let ann = here.connect(websocket("/rooms/blue?ann"));
    let bob = there.connect(websocket("/rooms/blue?bob"));
    let carl = there.connect(websocket("/rooms/blue?carl"));
    for member in [&ann, &bob, &carl] {
        let _ = member.texts();
    }
    ann.send("hi");
    for member in [&ann, &bob, &carl] {
        member.assert_text("ann (1): hi");
    }
    there.disconnect();
    ann.send("missed");
    there.reconnect();
    let texts = bob.texts();
    assert!(texts.contains(&"ann (2): missed".into()), "{texts:?}");
    assert_eq!(bus.members("blue").len(), 3);
    bob.lost();
    assert_eq!(bus.members("blue").len(), 2);
}

/// The kit has no backends: an app's requests are denied.
#[test]
fn backends_are_denied() {
    let kit = Kit::component(build("outgoing"));
    let response = kit.get("/enter?backend=http://localhost/");
    response.assert_status(502);
    assert_eq!(response.text(), "Denied\n");
    let ws = kit.connect(websocket("/"));
    ws.send("get http://localhost/");
    ws.assert_text("Denied");
}

#[test]
fn a_missing_component_is_reported() {
    let told = catch_unwind(|| Kit::component("no-such-file.wasm")).expect_err("no file");
    let told = told.downcast_ref::<String>().expect("a text");
    assert_eq!(
        told,
        "no-such-file.wasm cannot be tested: there is no such file"
    );
}
