//! Topics of several instances, joined by a bus that can fail.

use wasocket::events::{
    Accept, Context, Delivery, EventHandler, Gap, History, MemberChange, Members, Receiver, Start,
    Subscribed, Subscription, TopicRefusal, events,
};
use wasocket::{Message, Request, Response};
use wasocket_test::{Bus, Connection, Kit, websocket};

/// A room with the last three messages. The query says how to subscribe; what the app is told, it sends in brackets.
struct Room;

impl EventHandler for Room {
    type State = ();

    fn request(&self, _: &Request, cx: &mut Context<'_, ()>) -> Response {
        cx.publish("room", "news");
        Response::text(202, "")
    }

    fn open(&self, request: &Request, cx: &mut Context<'_, ()>) -> Result<Accept, Response> {
        let value = |name| request.query_value(name);
        let keep = value("keep").and_then(|count| count.parse().ok());
        cx.subscribe_with(Subscription {
            start: match (value("after"), value("last")) {
                (Some(position), _) => Start::After(position.into_owned()),
                (None, Some(_)) => Start::Last(2),
                (None, None) => Start::Now,
            },
            keep: keep.map(|count| History { count, seconds: 60 }),
            member: value("name").map(|name| name.as_bytes().into()),
            watch_members: value("name").is_some(),
            receiver: match value("for").as_deref() {
                Some("app") => Receiver::App,
                Some("position") => Receiver::PeerWithPosition,
                _ => Receiver::Peer,
            },
            ..Subscription::to("room")
        });
        Ok(Accept::default())
    }

    fn message(&self, message: Message, cx: &mut Context<'_, ()>) {
        match message.as_bytes() {
            b"who" => cx.list_members("room"),
            b"leave" => cx.unsubscribe("room"),
            _ => cx.publish_to_others("room", message),
        }
    }

    fn subscribed(&self, subscribed: Subscribed, cx: &mut Context<'_, ()>) {
        if !subscribed.recovered {
            cx.send("[missed]");
        }
    }

    fn published(&self, delivery: Delivery, cx: &mut Context<'_, ()>) {
        let text = String::from_utf8_lossy(delivery.message.as_bytes()).into_owned();
        cx.send(format!("[{text}]"));
    }

    fn gap(&self, _: Gap, cx: &mut Context<'_, ()>) {
        cx.send("[gap]");
    }

    fn members(&self, members: Members, cx: &mut Context<'_, ()>) {
        let names = members
            .members
            .iter()
            .map(|name| String::from_utf8_lossy(name));
        cx.send(format!("[{}]", names.collect::<Vec<_>>().join(" ")));
    }

    fn joined(&self, change: MemberChange, cx: &mut Context<'_, ()>) {
        cx.send(format!("[+{}]", String::from_utf8_lossy(&change.member)));
    }

    fn left(&self, change: MemberChange, cx: &mut Context<'_, ()>) {
        cx.send(format!("[-{}]", String::from_utf8_lossy(&change.member)));
    }

    fn refused(&self, refusal: TopicRefusal, cx: &mut Context<'_, ()>) {
        cx.send(format!("[refused: {}]", refusal.reason));
    }
}

fn kits() -> (Bus, Kit, Kit) {
    let bus = Bus::new();
    let kit = || Kit::native(events(Room)).on(&bus);
    (bus.clone(), kit(), kit())
}

#[track_caller]
fn assert_texts(connection: &Connection, expected: &[&str]) {
    assert_eq!(connection.texts(), expected);
}

#[test]
fn publications_reach_all_kits_of_a_bus() {
    let (bus, here, there) = kits();
    let (ann, bob) = (here.connect(websocket("/")), there.connect(websocket("/")));
    let eve = there.connect(websocket("/?for=app"));
    ann.send("a");
    bob.send("b");
    here.get("/").assert_status(202);
    bus.publish("room", "from outside");
    assert_texts(&ann, &["b", "news", "from outside"]);
    assert_texts(&bob, &["a", "news", "from outside"]);
    assert_texts(&eve, &["[a]", "[b]", "[news]", "[from outside]"]);
    bob.send("leave");
    assert_eq!(bus.subscribers("room"), 2);
    eve.lost();
    assert_eq!(bus.subscribers("room"), 1);
    // A kit by itself has a bus of its own.
    let alone = Kit::native(events(Room));
    alone.connect(websocket("/")).send("alone");
    assert_texts(&ann, &[]);
}

#[test]
fn history_is_given_to_those_who_come_later() {
    let (_, here, there) = kits();
    let ann = here.connect(websocket("/?keep=3"));
    let seen = there.connect(websocket("/?for=position"));
    for text in ["1", "2", "3", "4"] {
        ann.send(text);
    }
    let texts = seen.texts();
    let position = |index: usize| texts[index].split_once('\n').expect("a position").0;
    let after = |position: &str| there.connect(websocket(&format!("/?after={position}")));
    assert_texts(&there.connect(websocket("/?last")), &["3", "4"]);
    assert_texts(&after(position(1)), &["3", "4"]);
    assert_texts(&after(position(0)), &["2", "3", "4"]);
    assert_texts(&after("0000000000000001-0"), &["[missed]"]);
    assert_texts(&after("nothing"), &["[missed]"]);
    here.pass(std::time::Duration::from_secs(61));
    ann.send("5");
    assert_texts(&there.connect(websocket("/?last")), &["5"]);
}

#[test]
fn members_are_seen_from_all_kits() {
    let (bus, here, there) = kits();
    let ann = here.connect(websocket("/?name=ann"));
    let bob = there.connect(websocket("/?name=bob"));
    ann.send("who");
    assert_texts(&ann, &["[+ann]", "[+bob]", "[ann bob]"]);
    there.disconnect();
    ann.send("who");
    bob.send("who");
    assert_texts(&ann, &["[-bob]", "[ann]"]);
    assert_texts(&bob, &["[+bob]", "[bob]"]);
    there.reconnect();
    ann.send("who");
    assert_texts(&ann, &["[+bob]", "[ann bob]"]);
    bob.lost();
    assert_texts(&ann, &["[-bob]"]);
    assert_eq!(bus.members("room"), [b"ann".to_vec()]);
}

#[test]
fn what_is_missed_while_the_bus_is_away_is_delivered_or_told() {
    for (query, missed) in [("/?keep=3", &["while", "away"][..]), ("/", &["[gap]"])] {
        let (_, here, there) = kits();
        let (ann, bob) = (
            here.connect(websocket(query)),
            there.connect(websocket(query)),
        );
        let near = there.connect(websocket(query));
        there.disconnect();
        ann.send("while");
        ann.send("away");
        bob.send("local");
        assert_texts(&near, &["local"]);
        assert_texts(&ann, &[]);
        there.reconnect();
        assert_texts(&bob, missed);
        assert_texts(&near, missed);
        assert_texts(&ann, &["local"]);
    }
    // History does not reach back that far.
    let (_, here, there) = kits();
    let (ann, bob) = (
        here.connect(websocket("/?keep=3")),
        there.connect(websocket("/")),
    );
    there.disconnect();
    (0..4).for_each(|_| ann.send("one of too many"));
    there.reconnect();
    assert_texts(&bob, &["[gap]"]);
}

#[test]
fn a_bus_that_forgets_tells_of_a_gap() {
    let (bus, here, _) = kits();
    let ann = here.connect(websocket("/?keep=3&for=position"));
    bus.publish("room", "1");
    let position = ann.texts()[0]
        .split_once('\n')
        .expect("a position")
        .0
        .to_owned();
    bus.restart();
    assert_texts(&ann, &["[gap]"]);
    let back = here.connect(websocket(&format!("/?after={position}")));
    assert_texts(&back, &["[missed]"]);
}

#[test]
fn a_refusal_ends_subscriptions() {
    let (bus, here, there) = kits();
    let ann = here.connect(websocket("/"));
    bus.refuse("room", "full");
    assert_texts(&ann, &["[refused: full]"]);
    assert_texts(&there.connect(websocket("/")), &["[refused: full]"]);
    bus.publish("room", "to nobody");
    assert_texts(&ann, &[]);
}

#[test]
fn publications_wait_for_a_blocked_peer_until_it_is_too_slow() {
    let (bus, here, _) = kits();
    let [slow, quick] = [(); 2].map(|()| here.connect(websocket("/")));
    slow.block();
    for text in ["1", "2", "3"] {
        bus.publish("room", text);
    }
    assert_texts(&quick, &["1", "2", "3"]);
    slow.unblock();
    assert_texts(&slow, &["1", "2", "3"]);
    slow.block();
    for _ in 0..4 {
        bus.publish("room", "x".repeat(500_000));
    }
    slow.unblock();
    slow.assert_closed(1013);
    assert_eq!(quick.texts().len(), 4);
}
