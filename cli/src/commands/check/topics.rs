//! Checks of `deliver` and `tell`, for components whose connections subscribe as soon as they are open.

use wasocket_host::bindings::{
    Gap, MemberChange, Members, Subscribed, TopicEvent, TopicOperation, TopicRefusal,
};
use wasocket_vectors::Frame;

use super::contract::{PING, answers, works};
use super::delivery::Forms;
use super::report::{Case, Failure, Group, Outcome};
use super::subject::Subject;
use super::trial::{Connection, Trial, listed, shown};

type Check = fn(&mut Trial<'_>, Subscribers) -> Result<(), Failure>;

/// Each check with its rule.
const CHECKS: [(&str, &str, Check); 7] = [
    (
        "every subscriber is sent whole frames, in the order of the publications",
        "types.wit, publication",
        in_order,
    ),
    (
        "a delivery to several is what deliveries to each would be",
        "websocket-handler.wit, deliver",
        several_as_each,
    ),
    (
        "forms that the host has are not made again",
        "websocket-handler.wit, deliver",
        known_forms,
    ),
    (
        "forms have the same numbers in all instances",
        "websocket-handler.wit, form",
        same_in_all_instances,
    ),
    (
        "a publication may arrive in the middle of a message",
        "websocket-handler.wit, deliver",
        in_a_message,
    ),
    (
        "events of topics leave the connection open",
        "websocket-handler.wit, connection.tell",
        events,
    ),
    (
        "a connection that is too slow is closed with 1013",
        "types.wit, topic-event",
        too_slow,
    ),
];

/// Connections that subscribe to the same topic. The second offers compression.
struct Subscribers {
    connections: Vec<Connection>,
    topic: String,
}

/// Runs all checks.
pub(crate) fn cases(subject: &mut Subject) -> Vec<Case> {
    let case = |(name, rule, check): (&str, &str, Check)| {
        let mut trial = Trial::new(subject);
        Case {
            group: Group::Contract,
            name: name.to_owned(),
            rule: rule.to_owned(),
            outcome: outcome(&mut trial, check).unwrap_or_else(Outcome::Failed),
        }
    };
    CHECKS.map(case).into()
}

fn outcome(trial: &mut Trial<'_>, check: Check) -> Result<Outcome, Failure> {
    let Some(subscribers) = subscribers(trial)? else {
        let reason = "its connections do not subscribe to a topic when they are opened";
        return Ok(Outcome::Skipped(reason.to_owned()));
    };
    check(trial, subscribers)?;
    Ok(Outcome::Passed)
}

/// Three connections; `None` if they do not subscribe to the same topic.
fn subscribers(trial: &mut Trial<'_>) -> Result<Option<Subscribers>, Failure> {
    const DEFLATE: (&str, &str) = ("Sec-WebSocket-Extensions", "permessage-deflate");
    let mut connections = Vec::new();
    for fields in [&[][..], &[DEFLATE], &[]] {
        connections.push(trial.open_with(fields, b"")?.0);
    }
    let topic = connections[0].topics.first().cloned();
    let all_subscribe = |topic: &String| connections.iter().all(|one| one.topics.contains(topic));
    let Some(topic) = topic.filter(all_subscribe) else {
        close(trial, connections)?;
        return Ok(None);
    };
    // What an app does at this moment is not part of a delivery.
    for connection in &mut connections {
        let event = TopicEvent::Subscribed(Subscribed {
            topic: topic.clone(),
            position: None,
            recovered: true,
        });
        trial.tell_event(connection, &event)?;
    }
    Ok(Some(Subscribers { connections, topic }))
}

fn close(trial: &mut Trial<'_>, connections: Vec<Connection>) -> Result<(), Failure> {
    let mut connections = connections.into_iter();
    connections.try_for_each(|connection| trial.close(connection))
}

fn in_order(trial: &mut Trial<'_>, subscribers: Subscribers) -> Result<(), Failure> {
    let Subscribers {
        mut connections,
        topic,
    } = subscribers;
    let texts = ["first", "second"];
    let mut sent = vec![Vec::new(); connections.len()];
    for text in texts {
        let outputs = trial.deliver(&mut connections, &topic, text, &mut Forms::new())?;
        for (sent, output) in sent.iter_mut().zip(outputs) {
            sent.extend(output);
        }
    }
    // The second may compress, and frames of the others have to be readable without.
    for sent in [&sent[0], &sent[2]] {
        let frames = trial.frames(sent)?;
        let place = |text: &str| {
            let is_of = |frame: &Frame| frame.payload.ends_with(text.as_bytes());
            frames.iter().position(is_of)
        };
        let places = texts.map(place);
        // An app may give its peer something else, or nothing.
        let is_swapped = matches!(places, [Some(first), Some(second)] if second < first);
        trial.expect(!is_swapped, "'first' before 'second'", || listed(&frames))?;
    }
    for connection in &mut connections {
        answers(trial, connection)?;
    }
    close(trial, connections)
}

fn several_as_each(trial: &mut Trial<'_>, subscribers: Subscribers) -> Result<(), Failure> {
    let Subscribers {
        mut connections,
        topic,
    } = subscribers;
    let together = trial.deliver(&mut connections, &topic, "news", &mut Forms::new())?;
    close(trial, connections)?;
    trial.renew();
    let Some(Subscribers {
        mut connections, ..
    }) = self::subscribers(trial)?
    else {
        return Err(trial.failure("the same subscriptions", "others"));
    };
    // The other way round, so that the order in which they are named does not matter.
    for (connection, together) in connections.iter_mut().zip(&together).rev() {
        let one = std::slice::from_mut(connection);
        let alone = trial.deliver(one, &topic, "news", &mut Forms::new())?;
        trial.expect(
            alone.as_slice() == [together.clone()],
            &shown(together),
            || shown(&alone.concat()),
        )?;
    }
    close(trial, connections)
}

fn known_forms(trial: &mut Trial<'_>, subscribers: Subscribers) -> Result<(), Failure> {
    let Subscribers {
        mut connections,
        topic,
    } = subscribers;
    let mut forms = Forms::new();
    let (first, rest) = connections.split_at_mut(1);
    trial.deliver(first, &topic, "news", &mut forms)?;
    let others = rest.split_at_mut(1).1;
    // `deliver` checks that no known form comes again.
    let count = forms.len();
    trial.deliver(others, &topic, "news", &mut forms)?;
    trial.expect(
        forms.len() == count,
        "no new form for another alike",
        || format!("{} new forms", forms.len() - count),
    )?;
    close(trial, connections)
}

fn same_in_all_instances(trial: &mut Trial<'_>, subscribers: Subscribers) -> Result<(), Failure> {
    let Subscribers {
        mut connections,
        topic,
    } = subscribers;
    let mut here = Forms::new();
    trial.deliver(&mut connections, &topic, "news", &mut here)?;
    close(trial, connections)?;
    trial.renew();
    let Some(Subscribers {
        mut connections, ..
    }) = self::subscribers(trial)?
    else {
        return Err(trial.failure("the same subscriptions", "others"));
    };
    let mut there = Forms::new();
    trial.deliver(&mut connections, &topic, "news", &mut there)?;
    for (number, bytes) in &there {
        let is_other = here.get(number).is_some_and(|here| here != bytes);
        trial.expect(!is_other, "the same bytes under a number", || {
            format!("form {number} as {}", shown(bytes))
        })?;
    }
    close(trial, connections)
}

fn in_a_message(trial: &mut Trial<'_>, subscribers: Subscribers) -> Result<(), Failure> {
    let Subscribers {
        mut connections,
        topic,
    } = subscribers;
    let (head, tail) = PING.split_at(PING.len() / 2);
    for connection in &mut connections {
        trial.receive(connection, head)?;
    }
    trial.deliver(&mut connections, &topic, "news", &mut Forms::new())?;
    for connection in &mut connections {
        let output = trial.receive(connection, tail)?;
        let frames = trial.frames(&output)?;
        let has_pong = frames.iter().any(|frame| frame.opcode == "pong");
        trial.expect(has_pong, "a pong", || listed(&frames))?;
    }
    close(trial, connections)
}

fn events(trial: &mut Trial<'_>, subscribers: Subscribers) -> Result<(), Failure> {
    let Subscribers {
        mut connections,
        topic,
    } = subscribers;
    let member = b"member".to_vec();
    let change = || MemberChange {
        topic: topic.clone(),
        member: member.clone(),
    };
    for event in [
        TopicEvent::Gap(Gap {
            topic: topic.clone(),
            position: None,
        }),
        TopicEvent::Members(Members {
            topic: topic.clone(),
            count: 1,
            members: vec![member.clone()],
        }),
        TopicEvent::Joined(change()),
        TopicEvent::Left(change()),
        TopicEvent::Refused(TopicRefusal {
            topic: topic.clone(),
            operation: TopicOperation::ListMembers,
            reason: "a test".to_owned(),
        }),
    ] {
        let output = trial.tell_event(&mut connections[0], &event)?;
        trial.frames(&output)?;
        answers(trial, &mut connections[0])?;
    }
    close(trial, connections)
}

fn too_slow(trial: &mut Trial<'_>, subscribers: Subscribers) -> Result<(), Failure> {
    let mut connections = subscribers.connections;
    let output = trial.tell_event(&mut connections[0], &TopicEvent::TooSlow)?;
    let frames = trial.frames(&output)?;
    let is_close = |frame: &Frame| (frame.opcode, &frame.payload[..]) == ("close", b"\x03\xf5");
    trial.expect(frames.iter().any(is_close), "close 1013", || {
        listed(&frames)
    })?;
    close(trial, connections)?;
    works(trial)
}
