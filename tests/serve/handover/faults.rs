//! Processes that fail to take over, and those that must not.

use std::fs::{self, Permissions};
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread;

use support::operator::{admin, metric, wait_for_metric};
use support::{Server, Site, TIMEOUT, target_folder, text, wasocket};

use crate::peer::Peer;
use crate::stand_in::{ACCEPTING, ROOM, StandIn, hello};
use crate::{GUEST, Service, private_folder, serve, signal};

const FAILED: &str = "wasocket_handovers_total{outcome=\"failed\"}";

fn echoes(service: &Service, clients: &mut [support::Client]) {
    for client in clients {
        client.send(&text("!echo still served"));
        assert_eq!(client.read_text(), "still served");
    }
    let mut new = service.server.websocket("/");
    new.send(&text("!echo new"));
    assert_eq!(new.read_text(), "new");
}

/// Whatever arrives over the socket, the old process keeps serving, and hands over to the next one that asks.
#[test]
fn what_makes_no_sense_is_refused() {
    let service = Service::start("garbage", &["--admin", "127.0.0.1:0"]);
    let admin = admin(&service.server);
    let mut clients: Vec<_> = (0..3).map(|_| service.server.websocket("/")).collect();
    let garbage: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xff\xff\xff\0",
        b"\0\0\0\x03\x01abc",
        b"\0\0\0\0\0",
        b"",
    ];
    for (number, bytes) in garbage.into_iter().enumerate() {
        let mut stranger = StandIn::connect(&service.post());
        stranger.send_raw(bytes);
        if bytes.is_empty() {
            drop(stranger);
        } else {
            stranger.finish();
            stranger.wait_for_end();
        }
        wait_for_metric(&admin, FAILED, number as u64 + 1);
    }
    // Records, but out of turn.
    let forged: [&[u8]; 6] = [ROOM, &[9], &[0, 0], &[2, 1], &[3, 1, 77], b"\xff\xff\xff"];
    for (number, record) in forged.into_iter().enumerate() {
        let mut stranger = StandIn::begin(&service.post());
        stranger.send(record);
        stranger.wait_for_end();
        wait_for_metric(&admin, FAILED, (garbage.len() + number) as u64 + 1);
    }
    echoes(&service, &mut clients);
    service.hand_over();
    echoes(&service, &mut clients);
}

#[test]
fn another_version_is_refused() {
    let service = Service::start("version", &[]);
    let mut stranger = StandIn::connect(&service.post());
    stranger.send(&hello(77));
    assert!(stranger.receive().starts_with(b"wasocket handover"));
    stranger.wait_for_end();
    service.wait_for(
        "the other process is wasocket 9.9.9, which does not understand",
        1,
    );
    service.server.websocket("/");
}

/// The new process is killed at each step.
#[test]
fn the_old_process_goes_on_if_the_new_one_dies() {
    let service = Service::start("dies", &["--admin", "127.0.0.1:0"]);
    let admin = admin(&service.server);
    let mut clients: Vec<_> = (0..3).map(|_| service.server.websocket("/")).collect();
    // Before it accepts.
    drop(StandIn::begin(&service.post()));
    wait_for_metric(&admin, FAILED, 1);
    echoes(&service, &mut clients);
    // Before it has room for connections.
    let mut successor = StandIn::begin(&service.post());
    successor.send(ACCEPTING);
    service.wait_for("another process takes over", 1);
    drop(successor);
    service.wait_for("handover failed", 2);
    echoes(&service, &mut clients);
    // With a connection that it has not answered for.
    let mut successor = StandIn::begin(&service.post());
    successor.send(ACCEPTING);
    successor.send(ROOM);
    assert_eq!(successor.receive()[..2], [2, 1], "a connection");
    drop(successor);
    service.wait_for("handover failed", 3);
    echoes(&service, &mut clients);
    assert_eq!(metric(&admin, "wasocket_handover_left_total"), 0);
    service.hand_over();
    echoes(&service, &mut clients);
}

/// The first clients of the new process may publish before it has said that it accepts.
#[test]
fn a_process_may_publish_before_it_accepts() {
    let service = Service::start("early", &[]);
    let mut peer = Peer::join(&Site::at(service.server.address), "/room");
    let mut successor = StandIn::begin(&service.post());
    // "Topics", "publish": the topic, a text, and no subscriber that is left out.
    successor.send(b"\x05\0\x04room\0\x05early\0");
    assert_eq!(peer.read(), "early");
    successor.send(ACCEPTING);
    service.wait_for("another process takes over", 1);
}

/// The new process dies when it is ready for a connection that subscribes.
#[test]
fn a_subscriber_stays_if_the_new_process_dies() {
    let service = Service::start("subscriber", &[]);
    let mut peer = Peer::join(&Site::at(service.server.address), "/room");
    for times in 1..=5 {
        let mut successor = StandIn::begin(&service.post());
        successor.send(ACCEPTING);
        successor.send(ROOM);
        while successor.receive()[..2] != [2, 1] {}
        // "Ready", and the end at once.
        successor.send(&[2, 1]);
        drop(successor);
        service.wait_for("handover failed", times);
        peer.send("still here");
        assert_eq!(peer.read(), "still here");
    }
}

/// A process that the old one does not hand over to any more ends, if that lives on: there cannot be two.
#[test]
fn a_process_that_is_forsaken_ends() {
    let folder = private_folder("forsaken");
    let post = folder.join("handover.sock");
    let listener = UnixListener::bind(&post).expect("a socket");
    let place = format!("unix:{}", post.display());
    let mut command = serve(&["--take-over-from", &place]);
    let mut new = command
        .arg(&*GUEST)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // This test is the old process.
    let mut old = StandIn::accept(&listener);
    assert!(old.receive().starts_with(b"wasocket handover"));
    old.send(&hello(1));
    old.send_socket(b"\0\x02\0", &listener);
    old.send(&[1]);
    assert_eq!(old.receive(), ACCEPTING);
    drop(old);
    let mut log = String::new();
    let mut stderr = new.stderr.take().expect("piped");
    stderr.read_to_string(&mut log).expect("text");
    assert!(!new.wait().expect("it is ours").success());
    assert!(log.contains("goes on serving, so this one ends"), "{log}");
    UnixStream::connect(&post).expect("the file is still there");
}

/// sd_notify(3): the main process of a unit is the old one until it ends.
#[test]
fn the_service_manager_is_told_which_process_goes_on() {
    let folder = private_folder("notify");
    let manager = UnixDatagram::bind(folder.join("notify.sock")).expect("a socket");
    manager.set_read_timeout(Some(TIMEOUT)).expect("a time");
    let told = || {
        let mut message = [0; 64];
        let length = manager.recv(&mut message).expect("a message");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let post = format!("unix:{}", folder.join("handover.sock").display());
    let mut command = serve(&["--take-over-from", &post]);
    command
        .arg(&*GUEST)
        .env("NOTIFY_SOCKET", folder.join("notify.sock"));
    let service = Service {
        server: Server::run(&mut command),
        folder,
    };
    assert_eq!(told(), "READY=1");
    service.hand_over();
    assert_eq!(told(), "READY=1");
    assert_eq!(told(), format!("MAINPID={}", service.current()));
}

/// A connection that is refused stays, by default, and leaves for the next process if that takes it.
#[test]
fn a_connection_that_is_refused_is_served_on() {
    let service = Service::start("refused", &["--admin", "127.0.0.1:0"]);
    let mut client = service.server.websocket("/");
    let mut successor = StandIn::begin(&service.post());
    successor.send(ACCEPTING);
    successor.send(ROOM);
    assert_eq!(successor.receive()[..2], [2, 1], "a connection");
    // "Invalid", as for the state of another component.
    successor.send(&[3, 1, 2]);
    client.send(&text("!echo still served"));
    assert_eq!(client.read_text(), "still served");
    // A second answer for the same one.
    successor.send(&[2, 1]);
    assert_eq!(successor.receive(), [4, 1], "it stays");
    drop(successor);
    service.wait_for("handover failed", 1);
    service.hand_over();
    client.send(&text("!echo moved"));
    assert_eq!(client.read_text(), "moved");
}

#[test]
fn a_process_that_does_not_start_changes_nothing() {
    let folder = private_folder("start");
    let config = folder.join("wasocket.toml");
    let write = |rest: &str| {
        let text = format!(
            "component = \"{}\"\nlisten = [\"127.0.0.1:0\", \"unix:{folder}/app.sock\"]\nallow-host = [\"*\"]\n\
             take-over-from = \"unix:{folder}/handover.sock\"\n{rest}\n",
            GUEST.display(),
            folder = folder.display()
        );
        fs::write(&config, text).expect("written");
    };
    write("");
    let file = config.to_str().expect("UTF-8");
    let service = Service {
        server: Server::run(&mut wasocket(&["serve", "--config", file])),
        folder: folder.clone(),
    };
    let mut clients: Vec<_> = (0..3).map(|_| service.server.websocket("/")).collect();
    // Another program listens on an address of the new options.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = format!("admin = \"{}\"", listener.local_addr().expect("bound"));
    let broken = ["no-such-option = 1", "dir = [\"/no/such::/data\"]", &taken];
    for (times, broken) in broken.iter().enumerate() {
        write(broken);
        signal(service.server.id(), "USR2");
        service.wait_for("the process that was to take over has ended", times + 1);
        echoes(&service, &mut clients);
        UnixStream::connect(folder.join("app.sock")).expect("the file is still there");
    }
    write("");
    service.hand_over();
    echoes(&service, &mut clients);
}

#[test]
fn without_the_option_the_signal_says_what_to_do() {
    let server = Server::serving(&GUEST, &[]);
    server.signal("USR2");
    server.wait_for_log("--take-over-from unix:PATH");
    server.websocket("/");
}

fn assert_refused(place: &std::path::Path, reason: &str) {
    let place = format!("unix:{}", place.display());
    let output = wasocket(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--take-over-from",
        &place,
    ])
    .output()
    .expect("it runs");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains(reason), "{log}");
}

#[test]
fn what_is_no_runner_is_not_taken_over_from() {
    let folder = private_folder("other");
    let path = folder.join("handover.sock");
    let other = UnixListener::bind(&path).expect("a socket");
    let answers = thread::spawn(move || drop(other.accept()));
    assert_refused(&path, "does not answer like a runner");
    answers.join().expect("it came");
    // It left its file.
    let options = ["--take-over-from", &format!("unix:{}", path.display())];
    Server::serving(&GUEST, &options).websocket("/");
    let file = folder.join("file");
    fs::write(&file, "x").expect("written");
    assert_refused(&file, "cannot use the socket");
    assert_refused(&folder.join("no/such/folder"), "cannot use the socket");
}

#[test]
fn the_socket_must_be_out_of_reach_of_others() {
    let folder = target_folder("handover-public");
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("it is ours");
    assert_refused(&folder.join("handover.sock"), "others may write to");
    let service = Service::start("mode", &[]);
    let mode = fs::metadata(service.post())
        .expect("a socket")
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

/// Even if the file's mode lets them connect.
#[test]
fn another_user_is_turned_away() {
    let service = Service::start("user", &[]);
    let path = service.post();
    fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("it is ours");
    fs::set_permissions(&service.folder, Permissions::from_mode(0o755)).expect("it is ours");
    let connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])";
    let mut stranger = Command::new("python3");
    stranger.args(["-c", connect]).arg(&path).uid(65_534);
    match stranger.output() {
        Ok(output) if output.status.success() => {
            service.wait_for("the other process is that of another user (65534)", 1);
        }
        // Only root can become another user, and the folders above may be closed to it.
        other => eprintln!("skipped: {other:?}"),
    }
    service.hand_over();
}
