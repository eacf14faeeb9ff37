//! Versions that fail, and the ways to bring them.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::Value;
use support::operator::{admin, metric, wait_for_metric};
use support::{Server, Site, build_guest, temporary_folder, wasocket, with_small_disk};

use crate::peer::Peer;
use crate::{GUEST, Versions, another};

const OPTIONS: &[&str] = &["--admin", "127.0.0.1:0"];

/// Posts a component, or the path of one. Returns the status and the answer.
fn post(admin: &Site, kind: &str, body: &[u8]) -> (u16, Value) {
    let mut client = admin.connect();
    let head = format!(
        "POST /component HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(head.as_bytes());
    client.send(body);
    let head = client.read_head();
    let body = client.read_body(&head);
    (
        head.status,
        serde_json::from_str(&body).unwrap_or(Value::Null),
    )
}

fn bytes(guest: &Path) -> Vec<u8> {
    fs::read(guest).expect("a component")
}

fn echoes(peer: &mut Peer, text: &str) {
    peer.send(&format!("!echo {text}"));
    assert_eq!(peer.read(), text);
}

#[test]
fn the_operator_posts_a_component_or_its_path() {
    let server = Server::serving(&build_guest("topics", ""), OPTIONS);
    let admin = admin(&server);
    let mut peer = Peer::join(&server, "/room");
    let (status, answer) = post(&admin, "application/wasm", &another(&GUEST, 1));
    assert_eq!(
        (status, &answer["outcome"]),
        (200, &"done".into()),
        "{answer}"
    );
    assert_eq!(
        (&answer["connections"], &answer["moved"]),
        (&0.into(), &1.into())
    );
    let file = support::target_folder("swap-post").join("app.wasm");
    fs::write(&file, another(&GUEST, 2)).expect("written");
    let path = file.to_str().expect("UTF-8");
    let (status, _) = post(&admin, "text/plain", path.as_bytes());
    assert_eq!(status, 200);
    let json = serde_json::json!({ "path": path }).to_string();
    assert_eq!(post(&admin, "application/json", json.as_bytes()).0, 200);
    wait_for_metric(&admin, "wasocket_swap_moved_total", 3);
    echoes(&mut peer, "moved");
    assert_eq!(post(&admin, "image/png", b"x").0, 415);
    assert_eq!(post(&admin, "text/plain", b" ").0, 400);
    assert_eq!(post(&admin, "text/plain", b"/no/such/file").0, 422);
    assert_eq!(
        metric(&admin, "wasocket_swaps_total{outcome=\"refused\"}"),
        1
    );
    assert_eq!(metric(&admin, "wasocket_swaps_total{outcome=\"done\"}"), 3);
}

/// What is no component, is one of another world, or does not start, is not tried on any connection.
#[test]
fn a_version_that_cannot_be_served_leaves_the_old_one_serving() {
    let server = Server::serving(&build_guest("topics", ""), OPTIONS);
    let admin = admin(&server);
    let mut peers: Vec<_> = (0..4).map(|_| Peer::join(&server, "/room")).collect();
    let broken = bytes(&build_guest("faults", "bare,start-trap"));
    let client = bytes(&build_guest("client", ""));
    for component in [b"no component".to_vec(), client, broken] {
        let (status, answer) = post(&admin, "application/wasm", &component);
        assert_eq!(
            (status, &answer["outcome"]),
            (422, &"refused".into()),
            "{answer}"
        );
        for peer in &mut peers {
            echoes(peer, "still served");
        }
    }
    assert_eq!(metric(&admin, "wasocket_swap_moved_total"), 0);
}

/// The connection that it is tried on goes on where it was.
#[test]
fn a_version_that_traps_when_it_resumes_costs_nothing() {
    let server = Server::serving(&build_guest("topics", ""), OPTIONS);
    let admin = admin(&server);
    let mut peers: Vec<_> = (0..20).map(|_| Peer::join(&server, "/room")).collect();
    let traps = bytes(&build_guest("topics", "resume-trap"));
    let (status, answer) = post(&admin, "application/wasm", &traps);
    assert_eq!(
        (status, &answer["outcome"]),
        (422, &"returned".into()),
        "{answer}"
    );
    for peer in &mut peers {
        echoes(peer, "still served");
    }
    Peer::join(&server, "/room");
    assert_eq!(
        metric(&admin, "wasocket_swaps_total{outcome=\"returned\"}"),
        1
    );
    // The next version is not judged by it.
    let (status, answer) = post(&admin, "application/wasm", &another(&GUEST, 1));
    assert_eq!(status, 200, "{answer}");
}

/// It costs the connection that it is tried on, and no other one.
#[test]
fn a_version_that_traps_at_the_first_message_costs_one_connection() {
    let server = Server::serving(&build_guest("topics", ""), OPTIONS);
    let admin = admin(&server);
    let mut peers: Vec<_> = (0..20).map(|_| Peer::join(&server, "/room")).collect();
    let traps = bytes(&build_guest("topics", "receive-trap"));
    let answer = std::thread::scope(|scope| {
        let posted = scope.spawn(|| post(&admin, "application/wasm", &traps));
        wait_for_metric(&admin, "wasocket_swap_moved_total", 1);
        for peer in &mut peers {
            peer.send("!echo hello");
        }
        posted.join().expect("an answer")
    });
    assert_eq!((answer.0, &answer.1["outcome"]), (422, &"returned".into()));
    let closed = "wasocket_takeovers_ended_total{how=\"guest_fault\"}";
    wait_for_metric(&admin, closed, 1);
    let mut served = Peer::join(&server, "/room");
    echoes(&mut served, "hello");
}

/// Has clients send until the fate of a version is decided. Returns that, and the number of clients that it has cost.
fn posted_under_traffic(component: &Path) -> (Value, u64) {
    let server = Server::serving(&build_guest("topics", ""), OPTIONS);
    let admin = admin(&server);
    let mut peers: Vec<_> = (0..20).map(|_| Peer::join(&server, "/room")).collect();
    let component = bytes(component);
    let is_decided = AtomicBool::new(false);
    let answer = std::thread::scope(|scope| {
        for peer in &mut peers {
            let is_decided = &is_decided;
            scope.spawn(
                move || {
                    while !is_decided.load(Relaxed) && peer.is_echoed("hello") {}
                },
            );
        }
        let answer = post(&admin, "application/wasm", &component).1;
        is_decided.store(true, Relaxed);
        answer
    });
    let mut lost = 0;
    for peer in &mut peers {
        lost += u64::from(!peer.is_echoed("still served"));
    }
    let mut new = Peer::join(&server, "/room");
    echoes(&mut new, "hello");
    (answer, lost)
}

/// It costs the connections that it has been tried on by then.
#[test]
fn a_version_that_traps_on_every_tenth_message_is_taken_back() {
    let (answer, lost) = posted_under_traffic(&build_guest("topics", "tenth-trap"));
    assert_eq!(answer["outcome"], "returned", "{answer}");
    assert!((1..=11).contains(&lost), "{lost}");
}

/// In a language with exceptions the instance survives, but its connections do not.
#[test]
fn a_version_whose_app_fails_is_taken_back() {
    let (answer, lost) = posted_under_traffic(&build_guest("topics", "message-fail"));
    assert_eq!(answer["outcome"], "returned", "{answer}");
    assert!((1..=11).contains(&lost), "{lost}");
}

#[test]
fn a_file_that_is_not_whole_is_not_served() {
    let versions = Versions::serve("partial", &GUEST, OPTIONS);
    let (server, file) = (&versions.server, &versions.file);
    let mut peer = Peer::join(server, "/room");
    let next = another(&GUEST, 1);
    // As a full disk would leave it.
    fs::write(file, &next[..next.len() / 2]).expect("written");
    server.wait_for_log("app.wasm has changed: the new version cannot be served");
    echoes(&mut peer, "half a file");
    fs::remove_file(file).expect("a file");
    server.signal("HUP");
    server.wait_for_log("SIGHUP: the new version cannot be served, the previous one still is: there is no such file");
    fs::create_dir(file).expect("a folder");
    server.wait_for_log("Is a directory");
    echoes(&mut peer, "no file");
    fs::remove_dir(file).expect("a folder");
    versions.replace(&next);
    echoes(&mut peer, "the whole file");
    let admin = admin(server);
    wait_for_metric(&admin, "wasocket_swap_moved_total", 1);
    assert_eq!(metric(&admin, "wasocket_swaps_total{outcome=\"done\"}"), 1);
}

/// ENOSPC in the cache of compiled components.
#[test]
fn a_full_disk_of_the_cache_does_not_stop_a_new_version() {
    let folder = temporary_folder("swap-disk");
    let file = support::target_folder("swap-disk").join("app.wasm");
    fs::write(&file, &*GUEST).expect("written");
    let mut command = wasocket(&["serve", "--listen", "127.0.0.1:0", "--allow-host", "*"]);
    command
        .arg(&file)
        .arg("--watch")
        .env("XDG_CACHE_HOME", &folder);
    if let Some(mut command) = with_small_disk(&command, &folder, 64) {
        let server = Server::run(&mut command);
        let mut peer = Peer::join(&server, "/room");
        fs::write(&file, another(&GUEST, 1)).expect("written");
        server.wait_for_log("the new version is served");
        assert_eq!(server.log().matches("could not cache").count(), 2);
        echoes(&mut peer, "moved");
    }
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn a_hangup_brings_a_changed_file() {
    let versions = Versions::serve_unwatched("hangup", &GUEST, OPTIONS);
    let admin = admin(&versions.server);
    let mut peer = Peer::join(&versions.server, "/room");
    versions.server.signal("HUP");
    versions
        .server
        .wait_for_log("SIGHUP: the file has not changed");
    fs::write(&versions.file, another(&GUEST, 1)).expect("written");
    versions.server.signal("HUP");
    wait_for_metric(&admin, "wasocket_swap_moved_total", 1);
    echoes(&mut peer, "moved");
    versions
        .server
        .wait_for_log("SIGHUP: the new version is served");
}
