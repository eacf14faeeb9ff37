//! Topics, for functions.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use wasocket::topics::{
    Gap, MemberChange, Receiver, Subscription, TopicError, TopicEvent, TopicOperation, TopicRefusal,
};
use wasocket::{Error, Limits, Message, MessageType, Published, TrySendError, WebSocket};

use super::host::{Host, outcome};

/// A member of a room, whom the others hear.
async fn room(ws: WebSocket) -> Result<(), Error> {
    ws.subscribe("room")?;
    while let Some(text) = ws.receive::<String>().await? {
        match &*text {
            "others" => ws.publish_to_others("room", "others")?,
            "leave" => ws.unsubscribe("room"),
            _ => ws.publish("room", text)?,
        }
    }
    ws.publish("room", "gone")
}

#[test]
fn members_of_a_room_hear_each_other() {
    let mut host = Host::default();
    let [ann, bob, eve] = [(); 3].map(|()| host.open(room));
    host.say(ann, "a");
    host.say(bob, "others");
    host.say(eve, "leave");
    host.say(ann, "b");
    assert_eq!(host.texts(ann), ["a", "others", "b"]);
    assert_eq!(host.texts(bob), ["a", "b"]);
    assert_eq!(host.texts(eve), ["a", "others"]);
    // Neither call had exceptions: all were sent the same form.
    assert_eq!((host.topics.forms.len(), host.topics.shared), (1, 2));
    // What is published after the end goes out.
    let code = wasocket::CloseCode::NORMAL;
    host.client(ann, |client| client.close(code, "").expect("open"));
    assert_eq!(host.texts(bob), ["gone"]);
}

/// Subscribes with all that there is, and sends what it is told.
async fn watcher(ws: WebSocket) -> Result<(), Error> {
    let subscribed = ws
        .subscribe_with(Subscription {
            member: Some(b"w".to_vec()),
            watch_members: true,
            receiver: Receiver::App,
            ..Subscription::to("room")
        })
        .await?;
    ws.send(format!("{}", subscribed.recovered)).await?;
    let members = ws.presence("room").await?;
    ws.send(format!("{} members", members.count)).await?;
    loop {
        let mut message = pin!(ws.receive::<String>());
        let mut published = pin!(ws.receive_published());
        let line = poll_fn(|context| {
            if let Poll::Ready(message) = message.as_mut().poll(context) {
                return Poll::Ready(
                    message.map(|message| message.map(|text| format!("said {text}"))),
                );
            }
            let published = published.as_mut().poll(context);
            published.map(|published| published.map(|own| own.map(|own| line(&own))))
        });
        match line.await? {
            Some(line) => ws.send(line).await?,
            None => return Ok(()),
        }
    }
}

fn line(published: &Published) -> String {
    match published {
        Published::Message(delivery) => {
            format!(
                "published {:?} at {:?}",
                delivery.message,
                delivery.position.is_some()
            )
        }
        Published::Gap(gap) => format!("gap {}", gap.topic),
        Published::Joined(change) => format!("joined {:?}", change.member),
        Published::Left(change) => format!("left {:?}", change.member),
        Published::Refused(refusal) => format!("refused {}", refusal.reason),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_function_waits_for_messages_and_publications() {
    let mut host = Host::default();
    let id = host.open(watcher);
    assert_eq!(host.texts(id), ["true", "1 members"]);
    let other = host.open(room);
    host.say(other, "a");
    host.say(id, "b");
    let change = || MemberChange {
        topic: "room".into(),
        member: vec![7],
    };
    host.tell(id, TopicEvent::Joined(change()));
    host.tell(id, TopicEvent::Left(change()));
    let gap = |topic: &str| {
        TopicEvent::Gap(Gap {
            topic: topic.into(),
            position: None,
        })
    };
    host.tell(id, gap("room"));
    host.tell(id, gap("elsewhere"));
    host.settle();
    let text = Message::from("a");
    assert_eq!(
        host.texts(id),
        [
            format!("published {text:?} at true"),
            "said b".into(),
            "joined [7]".into(),
            "left [7]".into(),
            "gap room".into(),
        ]
    );
}

#[test]
fn rules_and_refusals_are_errors() {
    let mut host = Host::default();
    let (_, result) = outcome(&mut host, |ws| async move {
        let too_long = ws.subscribe("x".repeat(129));
        for i in 0..16 {
            ws.subscribe(i.to_string())?;
        }
        let too_many = ws.subscribe("one more");
        ws.unsubscribe("3");
        let member = ws.subscribe_with(Subscription {
            member: Some(vec![0; 257]),
            ..Subscription::to("room")
        });
        let member = member.await.map(drop);
        Ok::<_, Error>([too_long, too_many, member])
    });
    assert_eq!(
        result.take(),
        Some(Ok([
            TopicError::Name,
            TopicError::TooMany,
            TopicError::MemberTooLong
        ]
        .map(|error| Err(Error::Topic(error)))))
    );
}

#[test]
fn a_refused_subscription_is_told_once() {
    let mut host = Host::default();
    host.topics.refuses = true;
    let (_, result) = outcome(&mut host, |ws| async move {
        let refused = ws.subscribe_with(Subscription::to("room")).await;
        ws.subscribe("room")?;
        let news = ws.receive_published().await?;
        Ok::<_, Error>((refused.map(drop), news))
    });
    host.settle();
    let refusal = TopicRefusal {
        topic: "room".into(),
        operation: TopicOperation::Subscribe,
        reason: "no".into(),
    };
    let error = Error::Topic(TopicError::Refused(refusal.clone()));
    let news = Some(Published::Refused(refusal));
    assert_eq!(result.take(), Some(Ok((Err(error), news))));
}

#[test]
fn publications_wait_for_the_end_of_a_message() {
    let mut host = Host::default();
    let id = host.open(|ws: WebSocket| async move {
        ws.subscribe("room")?;
        let mut writer = ws.message_writer(MessageType::Text).await?;
        writer.write(b"begun ").await?;
        ws.receive::<String>().await?;
        writer.write(b"ended").await?;
        writer.finish()?;
        ws.send("after").await?;
        ws.receive::<String>().await.map(drop)
    });
    let other = host.open(room);
    host.say(other, "a");
    host.say(other, "b");
    assert_eq!(host.texts(id), [""; 0]);
    host.say(id, "end it");
    assert_eq!(host.texts(id), ["begun ended", "a", "b", "after"]);
}

#[test]
fn too_much_that_waits_for_the_end_of_a_message_closes() {
    let mut host = Host::default();
    let id = host.open(|ws: WebSocket| async move {
        ws.subscribe("room")?;
        let mut writer = ws.message_writer(MessageType::Text).await?;
        writer.write(b"begun ").await?;
        ws.receive::<String>().await.map(drop)
    });
    let other = host.open(room);
    let large = "x".repeat(600_000);
    host.say(other, &large);
    assert!(host.received(id).is_empty());
    host.say(other, &large);
    assert_eq!(host.close_frame(id), (1013, "too slow".into()));
}

#[test]
fn a_function_that_takes_no_publications_is_closed() {
    let mut host = Host::default();
    let id = host.open(|ws: WebSocket| async move {
        let subscription = Subscription {
            receiver: Receiver::App,
            ..Subscription::to("room")
        };
        ws.subscribe_with(subscription).await?;
        ws.receive::<String>().await.map(drop)
    });
    let other = host.open(room);
    for _ in 0..3 {
        host.say(other, &"x".repeat(600_000));
    }
    assert_eq!(host.close_frame(id), (1013, "too slow".into()));
}

/// A function that waits for room, or until all is sent, has to learn when the host has sent.
#[test]
fn a_function_that_waits_for_room_is_told_when_a_form_is_sent() {
    let mut host = Host::default();
    let limits = Limits {
        max_buffered_amount: 100,
        ..Limits::default()
    };
    let id = host.open_with(limits, |ws: WebSocket| async move {
        ws.subscribe("room")?;
        while let Some(text) = ws.receive::<String>().await? {
            assert!(matches!(
                ws.try_send(&*text),
                Ok(()) | Err(TrySendError::Full(_))
            ));
            ws.flush().await?;
            ws.send("flushed").await?;
        }
        Ok::<_, Error>(())
    });
    let other = host.open(room);
    host.say(other, &"x".repeat(200));
    // The connection has a frame of its own, since it has to be woken when the frame is sent.
    assert_eq!(host.topics.shared, 1);
    host.say(id, "go");
    let texts = host.texts(id);
    assert_eq!(texts[1..], ["go", "flushed"]);
}
