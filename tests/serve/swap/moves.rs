//! What moves with a connection, and what does not move.

use support::operator::{admin, metric, wait_for_metric};
use support::{Client, build_guest};
use wasocket_host::default_app::DEFAULT_APP;

use crate::peer::Peer;
use crate::{GUEST, Versions};

/// All that is in a connection comes along: its topic as the app's state, its subscription, its place among the members.
#[test]
fn a_connection_moves_with_its_state_and_its_topics() {
    let versions = Versions::serve("state", &GUEST, &["--admin", "127.0.0.1:0"]);
    let admin = admin(&versions.server);
    let mut watcher = Peer::join(&versions.server, "/room?watch");
    let mut first = Peer::join(&versions.server, "/room?member=first&position");
    assert_eq!(watcher.read(), "!joined first");
    versions.replace_by_same(&GUEST);
    first.send("one");
    assert_eq!(watcher.read(), "one");
    assert!(first.read().ends_with("\none"));
    let mut second = Peer::join(&versions.server, "/room?member=second");
    assert_eq!(watcher.read(), "!joined second", "the first has not left");
    second.send("!members");
    assert_eq!(second.read(), "!members 2 first,second");
    drop(first);
    assert_eq!(watcher.read(), "!left first");
    assert_eq!(metric(&admin, "wasocket_swap_moved_total"), 2);
}

/// A client that is in the middle of a message stays until it is not.
#[test]
fn a_connection_that_is_not_at_rest_moves_later() {
    let versions = Versions::serve("rest", &GUEST, &["--admin", "127.0.0.1:0"]);
    let admin = admin(&versions.server);
    let mut client = versions.server.websocket("/");
    // The first fragment of "!echo hello".
    client.send(b"\x01\x88\0\0\0\0!echo he");
    client.send(b"\x89\x80\0\0\0\0");
    assert_eq!(client.read_exactly(2), b"\x8a\0");
    versions.replace_by_same(&GUEST);
    // Half of the next frame.
    client.send(b"\x80\x83\0\0\0\0l");
    assert_eq!(metric(&admin, "wasocket_swap_moved_total"), 0);
    client.send(b"lo");
    assert_eq!(client.read_text(), "hello");
    wait_for_metric(&admin, "wasocket_swap_moved_total", 1);
    versions.replace_by_same(&GUEST);
    wait_for_metric(&admin, "wasocket_swap_moved_total", 2);
    client.assert_echo("again");
}

trait Commands {
    fn assert_echo(&mut self, text: &str);
}

impl Commands for Client {
    fn assert_echo(&mut self, text: &str) {
        self.send(&support::text(&format!("!echo {text}")));
        assert_eq!(self.read_text(), text);
    }
}

/// Functions that wait cannot be moved.
#[test]
fn a_function_that_waits_is_closed_when_its_time_is_over() {
    let options = ["--swap-grace", "4", "--admin", "127.0.0.1:0"];
    let versions = Versions::serve("waits", DEFAULT_APP, &options);
    let mut client = versions.server.websocket("/echo");
    let other = std::fs::read(build_guest("portable-echo", "")).expect("a component");
    versions.replace(&other);
    client.assert_echoes("still served");
    assert_eq!(client.read_exactly(4), b"\x88\x02\x03\xf4");
    let admin = admin(&versions.server);
    assert_eq!(metric(&admin, "wasocket_swap_closed_total"), 1);
    versions.server.websocket("/echo").assert_echoes("new");
}

/// An app with the same state, but another idea of the layout, gets none.
#[test]
fn a_connection_whose_state_is_refused_keeps_its_version() {
    let options = ["--swap-grace", "0", "--admin", "127.0.0.1:0"];
    let versions = Versions::serve("refused", &GUEST, &options);
    let admin = admin(&versions.server);
    let mut client = versions.server.websocket("/");
    client.assert_echo("before");
    versions.replace(DEFAULT_APP);
    let kept = "wasocket_swap_kept_total{reason=\"unsupported\"}";
    wait_for_metric(&admin, kept, 1);
    client.assert_echo("after");
    versions.replace_by_same(&GUEST);
    wait_for_metric(&admin, "wasocket_swap_moved_total", 1);
    client.assert_echo("moved");
}

#[test]
fn a_connection_whose_state_is_refused_is_closed_if_the_operator_wants_it() {
    let versions = Versions::serve("closed", &GUEST, &["--swap-refused", "close"]);
    let mut client = versions.server.websocket("/");
    client.assert_echo("before");
    versions.replace(DEFAULT_APP);
    assert_eq!(client.read_exactly(4), b"\x88\x02\x03\xf4");
}
