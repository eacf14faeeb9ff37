//! Rooms under random schedules: every member hears everything, once and in order, however it is framed.

use proptest::prelude::*;
use wasocket::extension::{Agreed, DeflateOptions, PermessageDeflate, WindowBits};
use wasocket::topics::{Receiver, Subscription};
use wasocket::{Connection, Error, Limits, MaskingKeys, Message, MessageType, Upgrade, WebSocket};

use super::host::Host;

/// How a member compresses, if at all.
#[derive(Clone, Copy, Debug)]
struct Kind {
    /// The level, if compression is agreed on.
    level: Option<u8>,
    window: u8,
    takeover: bool,
    with_position: bool,
}

#[derive(Clone, Debug)]
enum Step {
    /// A member publishes a text of this length.
    Publish(usize, usize),
    /// A member begins, goes on with, or ends a message in fragments; between them publications wait.
    Write(usize),
    End(usize),
    /// A member takes no output for a while.
    Block(usize),
    Unblock(usize),
}

fn kind() -> impl Strategy<Value = Kind> {
    (
        prop::option::of(1_u8..=2),
        9_u8..=15,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(level, window, takeover, with_position)| Kind {
            level,
            window,
            takeover,
            with_position,
        })
}

fn step() -> impl Strategy<Value = Step> {
    let member = 0_usize..5;
    let length = prop_oneof![0_usize..200, 200_usize..5000, 60_000_usize..70_000];
    prop_oneof![
        4 => (member.clone(), length).prop_map(|(id, length)| Step::Publish(id, length)),
        2 => member.clone().prop_map(Step::Write),
        2 => member.clone().prop_map(Step::End),
        1 => member.clone().prop_map(Step::Block),
        1 => member.prop_map(Step::Unblock),
    ]
}

/// Publishes what it is sent, except for the words that have it write a message in fragments.
async fn member(ws: WebSocket, with_position: bool) -> Result<(), Error> {
    let receiver = match with_position {
        true => Receiver::PeerWithPosition,
        false => Receiver::Peer,
    };
    ws.subscribe_with(Subscription {
        receiver,
        ..Subscription::to("room")
    })
    .await?;
    let mut writer = None;
    while let Some(text) = ws.receive::<String>().await? {
        match &*text {
            "write" => {
                let own = match writer.take() {
                    Some(own) => own,
                    None => ws.message_writer(MessageType::Binary).await?,
                };
                let own = writer.insert(own);
                own.write(&b"fragment ".repeat(40)).await?;
            }
            "end" => drop(writer.take().map(|own| own.finish())),
            _ => ws.publish("room", text)?,
        }
    }
    Ok(())
}

fn open(host: &mut Host, kind: Kind) -> usize {
    let window = WindowBits::new(kind.window).expect("9 to 15");
    let options = DeflateOptions {
        level: kind.level.unwrap_or(1),
        server_no_context_takeover: !kind.takeover,
        client_no_context_takeover: true,
        server_max_window_bits: window,
        ..DeflateOptions::default()
    };
    let id = host.open_answer(|request| {
        let mut request = request.clone();
        if kind.level.is_some() {
            let offer = format!(
                "permessage-deflate; server_max_window_bits={window}",
                window = kind.window
            );
            request.fields.append("Sec-WebSocket-Extensions", offer);
        }
        let upgrade = Upgrade::new().compression(options);
        upgrade.converse(&request, |ws| {
            assert_eq!(ws.is_compressed(), kind.level.is_some());
            member(ws, kind.with_position)
        })
    });
    let keys = MaskingKeys::from_seed([7; 32]);
    let client = Connection::client(Limits::default(), keys);
    let agreed = Agreed {
        server_no_context_takeover: !kind.takeover,
        client_no_context_takeover: true,
        server_max_window_bits: window,
        ..Agreed::default()
    };
    host.connections[id].client = match kind.level {
        Some(_) => client.with_extensions(PermessageDeflate::client(agreed, &options).into()),
        None => client,
    };
    id
}

/// A text of about this length that repeats itself only after some kilobytes: windows of different sizes compress it
/// differently.
fn text(length: usize) -> String {
    let word = |i: usize| format!("{:x} ", (i % 400 + 1).wrapping_mul(0x9e37_79b9));
    (0..length / 10).map(word).collect()
}

/// What a member was sent of the room, without the positions, which must grow.
fn heard(host: &mut Host, id: usize, kind: Kind) -> Vec<String> {
    let mut last = 0;
    let mut heard = vec![];
    for event in host.received(id) {
        match event {
            wasocket::Event::Message(Message::Text(text)) if kind.with_position => {
                let (position, text) = text.split_once('\n').expect("a position");
                let offset = position.split_once('-').expect("an offset").1;
                let offset: u64 = offset.parse().expect("a number");
                assert!(offset > last, "{offset} after {last}");
                last = offset;
                heard.push(text.to_owned());
            }
            wasocket::Event::Message(Message::Text(text)) => heard.push(text.to_string()),
            wasocket::Event::Message(Message::Binary(bytes)) => {
                assert!(bytes.len() % 360 == 0, "only whole fragments");
            }
            wasocket::Event::Ping(_) => {}
            event => panic!("{event:?}"),
        }
    }
    heard
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_member_hears_everything_in_order(
        kinds in prop::collection::vec(kind(), 5),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut host = Host::default();
        let ids: Vec<usize> = kinds.iter().map(|kind| open(&mut host, *kind)).collect();
        let mut published = vec![];
        // A member whose output is stuck is not read from.
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Publish(id, length) => {
                    let text = format!("{number} {}", text(length));
                    if host.connections[id].stuck == 0 {
                        published.push(text.clone());
                        host.say(id, &text);
                    }
                }
                Step::Write(id) if host.connections[id].stuck == 0 => host.say(id, "write"),
                Step::End(id) if host.connections[id].stuck == 0 => host.say(id, "end"),
                Step::Block(id) => host.connections[id].takes_output = false,
                Step::Unblock(id) => host.let_through(id),
                _ => {}
            }
        }
        for id in &ids {
            host.let_through(*id);
            host.say(*id, "end");
        }
        for (id, kind) in ids.into_iter().zip(kinds) {
            prop_assert_eq!(heard(&mut host, id, kind), published.clone(), "{:?}", kind);
        }
    }
}
