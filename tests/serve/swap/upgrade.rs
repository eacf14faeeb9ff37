//! An app whose second version changes the layout of its state (`examples/portable-tally`, `languages/python/tally_*`).

use std::fs;
use std::path::Path;

use support::operator::{admin, metric, wait_for_metric};
use support::{app_behaviours, build_guest};

use crate::Versions;
use crate::peer::Peer;

fn is_upgraded(language: &str, first: &Path, second: &Path) {
    let read = |version| fs::read(version).expect("a component");
    let (first, second) = (read(first), read(second));
    let options = ["--admin", "127.0.0.1:0", "--swap-grace", "0"];
    let name = format!("upgrade-{language}");
    let versions = Versions::serve_compiled(&name, [&first, &second], &options);
    let admin = admin(&versions.server);
    let mut used = Peer::open(&versions.server, "/");
    let mut other = Peer::open(&versions.server, "/");
    assert_eq!(told(&mut used, "one"), "messages: 1");
    versions.replace(&second);
    assert_eq!(told(&mut used, "four!"), "messages: 2, bytes: 5");
    assert_eq!(told(&mut other, "hi"), "messages: 1, bytes: 2");
    assert_eq!(metric(&admin, "wasocket_swap_moved_total"), 2);

    // The first version cannot read what the second one has written, so the connections stay.
    versions.replace(&first);
    wait_for_metric(&admin, "wasocket_swap_kept_total{reason=\"invalid\"}", 2);
    assert_eq!(told(&mut used, "x"), "messages: 3, bytes: 6");
    assert_eq!(
        told(&mut Peer::open(&versions.server, "/"), "x"),
        "messages: 1"
    );
    versions.replace(&second);
    wait_for_metric(&admin, "wasocket_swap_moved_total", 4);
    assert_eq!(told(&mut used, "x"), "messages: 4, bytes: 7");
}

fn told(client: &mut Peer, message: &str) -> String {
    client.send(message);
    client.read()
}

#[test]
fn the_second_version_reads_the_state_of_the_first_in_rust() {
    let first = build_guest("portable-tally", "");
    is_upgraded("rust", &first, &build_guest("portable-tally", "v2"));
}

#[test]
fn the_second_version_reads_the_state_of_the_first_in_python() {
    app_behaviours::build();
    let version = |app| app_behaviours::component("python", app);
    is_upgraded("python", &version("tally_v1"), &version("tally_v2"));
}
