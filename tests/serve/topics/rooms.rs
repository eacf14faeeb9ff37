//! One room: all hear all, once, in the order of each publisher.

use support::operator::{admin, metric};
use support::{Client, Server, opening_handshake, text};
use wasocket::Message;

use crate::peer::Peer;
use crate::serve;

/// Every member says something, twice; all hear all of it, once, in the order of each.
fn all_hear_all(server: &Server, members: usize, target: &str) {
    let mut peers: Vec<_> = (0..members).map(|_| Peer::join(server, target)).collect();
    for round in 0..2 {
        for (number, peer) in peers.iter_mut().enumerate() {
            peer.send(&format!("{number}: {round}"));
        }
    }
    for peer in &mut peers {
        let mut heard: Vec<_> = (0..2 * members).map(|_| peer.read()).collect();
        for number in 0..members {
            let of_one = |text: &&String| text.starts_with(&format!("{number}: "));
            let rounds: Vec<_> = heard.iter().filter(of_one).cloned().collect();
            assert_eq!(rounds, [format!("{number}: 0"), format!("{number}: 1")]);
        }
        heard.sort();
        heard.dedup();
        assert_eq!(heard.len(), 2 * members, "each once");
        // Nothing else has arrived.
        peer.send("!echo end");
        assert_eq!(peer.read(), "end");
    }
}

/// More members than an instance has connections.
#[test]
fn forty_members_of_a_room_hear_each_other_with_the_defaults() {
    all_hear_all(&serve(&[]), 40, "/room");
}

#[test]
fn six_members_of_a_room_hear_each_other_in_two_workers() {
    // The system distributes connections, so it is tried until both workers have some.
    for _ in 0..20 {
        let server = serve(&["--workers", "2", "--admin", "127.0.0.1:0"]);
        let admin = admin(&server);
        all_hear_all(&server, 6, "/room");
        assert_eq!(metric(&admin, "wasocket_deliveries_total"), 6 * 12);
        // Six connections fit on one instance.
        if metric(&admin, "wasocket_instances_total") == 2 {
            return;
        }
    }
    panic!("all connections went to one worker, every time");
}

#[test]
fn compressed_and_uncompressed_members_hear_each_other() {
    let server = serve(&["--connections-per-instance", "3"]);
    all_hear_all(&server, 5, "/room?compress");
    let mut peers: Vec<_> = (0..8)
        .map(|number| Peer::join(&server, ["/mix?compress", "/mix"][number % 2]))
        .collect();
    // Context takeover: the second is shorter on the wire, and must still be understood.
    let long = "the same again and again ".repeat(100);
    for _ in 0..3 {
        peers[0].send(&long);
        peers[1].send("short");
    }
    for peer in &mut peers {
        let mut heard: Vec<_> = (0..6).map(|_| peer.read()).collect();
        heard.sort();
        let expected = [&long, &long, &long].map(String::as_str);
        assert_eq!(heard[..3], ["short"; 3]);
        assert_eq!(heard[3..], expected);
    }
}

#[test]
fn texts_and_bytes_of_every_length_arrive_whole() {
    let server = serve(&["--connections-per-instance", "2"]);
    let mut peers: Vec<_> = (0..5)
        .map(|number| Peer::join(&server, ["/room", "/room?compress"][number % 2]))
        .collect();
    for length in [1, 125, 126, 65_535, 65_536, 1 << 20] {
        let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        let text = "x".repeat(length);
        peers[0].send_binary(&bytes);
        peers[1].send(&text);
        for peer in &mut peers {
            let mut heard = [peer.read_message(), peer.read_message()];
            if matches!(heard[0], Message::Text(_)) {
                heard.swap(0, 1);
            }
            assert!(
                heard[0] == Message::Binary(bytes.clone().into()),
                "{length} bytes"
            );
            assert!(
                heard[1] == Message::Text(text.as_str().into()),
                "{length} in text"
            );
        }
    }
}

/// What is published while a client is in the middle of a message is not mixed up with it.
#[test]
fn a_client_in_the_middle_of_a_message_hears_the_others() {
    let server = serve(&["--connections-per-instance", "1"]);
    let mut other = Peer::join(&server, "/room");
    let mut client: Client = server.connect();
    client.send(&opening_handshake("/room"));
    assert_eq!(client.read_head().status, 101);
    assert!(client.read_text().starts_with("!subscribed"));
    let mut first = text("to ");
    first[0] = 0x01;
    client.send(&first);
    other.send("in between");
    assert_eq!(client.read_text(), "in between");
    assert_eq!(other.read(), "in between");
    let mut last = text("others");
    last[0] = 0x80;
    client.send(&last);
    assert_eq!(other.read(), "to others");
    assert_eq!(client.read_text(), "to others");
}

#[test]
fn a_publication_to_others_leaves_out_its_publisher() {
    let server = serve(&["--connections-per-instance", "2"]);
    let mut peers: Vec<_> = (0..4).map(|_| Peer::join(&server, "/room")).collect();
    peers[0].send("!others hello");
    peers[0].send("all");
    assert_eq!(peers[0].read(), "all");
    for peer in &mut peers[1..] {
        assert_eq!([peer.read(), peer.read()], ["hello", "all"]);
    }
}

#[test]
fn a_request_publishes() {
    let server = serve(&["--connections-per-instance", "1"]);
    let mut peers: Vec<_> = (0..2).map(|_| Peer::join(&server, "/room")).collect();
    let request = "GET /room?news HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    assert_eq!(server.request(request).0.status, 200);
    for peer in &mut peers {
        assert_eq!(peer.read(), "news");
    }
}

#[test]
fn a_subscription_ends_when_it_is_left_and_begins_again() {
    let server = serve(&["--connections-per-instance", "1"]);
    let mut publisher = Peer::join(&server, "/room");
    let mut peer = Peer::join(&server, "/room");
    peer.send("!unsubscribe room");
    peer.send("!echo left");
    assert_eq!(peer.read(), "left");
    publisher.send("unheard");
    assert_eq!(publisher.read(), "unheard");
    peer.send("!subscribe room");
    peer.wait_until_subscribed();
    // Subscribing twice is the same as once.
    peer.send("!subscribe room");
    peer.wait_until_subscribed();
    publisher.send("heard");
    assert_eq!(peer.read(), "heard");
    peer.send("!echo once");
    assert_eq!(peer.read(), "once");
}

/// An app that is given what is published decides for each of its connections.
#[test]
fn an_app_is_given_what_is_published() {
    let server = serve(&["--connections-per-instance", "3"]);
    let targets = ["/room", "/room?app", "/room?position"];
    let mut peers: Vec<_> = (0..6)
        .map(|number| Peer::join(&server, targets[number % 3]))
        .collect();
    peers[0].send("hello");
    for (number, peer) in peers.iter_mut().enumerate() {
        let expected = ["hello", "!published hello", "\nhello"][number % 3];
        assert_eq!(peer.read(), expected);
    }
    peers[0].send("leave");
    for (number, peer) in peers.iter_mut().enumerate() {
        match number % 3 {
            0 => assert_eq!(peer.read(), "leave"),
            1 => assert_eq!(peer.read_close(), 1000),
            _ => assert_eq!(peer.read(), "\nleave"),
        }
    }
    peers[0].send("after");
    assert_eq!([peers[0].read(), peers[3].read()], ["after", "after"]);
}

/// A trap ends the instances that the publication has trapped, with all their connections, and no other.
#[test]
fn an_instance_that_traps_in_a_delivery_ends_alone() {
    let server = serve(&["--connections-per-instance", "2"]);
    let targets = ["/room?app", "/room", "/room", "/room"];
    let mut peers: Vec<_> = targets
        .iter()
        .map(|target| Peer::join(&server, target))
        .collect();
    peers[2].send("trap");
    assert_eq!(peers[0].read_close(), 1011);
    assert_eq!(peers[1].read_close(), 1011);
    assert_eq!([peers[2].read(), peers[3].read()], ["trap", "trap"]);
    server.wait_for_log("guest instance failed");
    // The room goes on.
    let mut new = Peer::join(&server, "/room");
    new.send("on");
    for peer in [&mut peers[2], &mut new] {
        assert_eq!(peer.read(), "on");
    }
}
