//! What the random schedules do not reach, or do not look at.

use std::time::Duration;

use super::world::World;
use crate::limits::Limits;
use crate::message::{Start, SubscriberId};
use crate::topic::Topic;
use crate::{Arrival, EngineState};

fn world(runners: usize) -> (World, Topic) {
    let mut world = World::new(runners, &Limits::default());
    for runner in 0..runners {
        world.connect(runner);
    }
    (world, Topic::new("room").unwrap())
}

/// Who came and left, of what arrives from now on.
fn presence(world: &mut World, at: usize) -> Vec<String> {
    let arrivals = std::mem::take(&mut world.arrivals[at]);
    let told = arrivals.iter().filter_map(|arrival| match arrival {
        Arrival::Joined { member, .. } => Some(("joined", &member.info)),
        Arrival::Left { member, .. } => Some(("left", &member.info)),
        _ => None,
    });
    told.map(|(what, info)| format!("{what} {}", String::from_utf8_lossy(info)))
        .collect()
}

#[test]
fn an_engine_that_has_lost_the_last_publications_and_gives_their_offsets_again_leaves_a_gap() {
    let (mut world, topic) = world(2);
    world.subscribe(0, &topic, Start::Now, Some(50));
    world.settle();
    for _ in 0..5 {
        world.publish(0, &topic, None);
    }
    world.settle();
    world.server.forget_last(&topic, 3);
    world.notice_cuts();
    assert_eq!(world.checker.gaps, 0);
    world.settle();
    assert_eq!(world.checker.gaps, 1);
}

#[test]
fn a_subscriber_waits_for_an_engine_that_is_away_for_a_moment_but_not_for_long() {
    let mut world = World::new(1, &Limits::default());
    let topic = Topic::new("room").unwrap();
    world.subscribe(0, &topic, Start::Now, None);
    world.pass(Duration::from_millis(1900));
    assert!(!world.checker.is_answered());
    world.pass(Duration::from_millis(200));
    assert!(world.checker.is_answered());
    world.subscribe(0, &topic, Start::Now, None);
    assert!(world.checker.is_answered());
    world.publish(0, &topic, None);
    assert!(world.checker.is_complete());
}

#[test]
fn a_topic_without_history_has_a_gap_after_every_loss_of_the_connection() {
    let (mut world, topic) = world(1);
    world.subscribe(0, &topic, Start::Now, None);
    world.settle();
    for gaps in 1..4 {
        world.cut(0);
        world.settle();
        assert_eq!(world.checker.gaps, gaps);
    }
}

#[test]
fn an_engine_that_does_not_answer_is_given_up() {
    let (mut world, topic) = world(1);
    world.subscribe(0, &topic, Start::Now, None);
    for _ in 0..6 {
        world.pass(Duration::from_secs(1));
    }
    let status = world.status(0);
    assert!(
        matches!(status.engine, EngineState::Away { .. }),
        "{status:?}"
    );
}

#[test]
fn more_than_has_room_is_refused_while_the_engine_is_slow_and_stays_here_while_it_is_away() {
    let limits = Limits {
        unconfirmed: 600,
        ..Limits::default()
    };
    let mut world = World::new(1, &limits);
    world.connect(0);
    let topic = Topic::new("room").unwrap();
    let subscriber = world.subscribe(0, &topic, Start::Now, None);
    world.settle();
    for expected in [true, true, false] {
        assert_eq!(world.publish(0, &topic, None), expected);
    }
    world.cut(0);
    assert!(!world.publish(0, &topic, None));
    assert_eq!(
        world.checker.contents((0, 0), subscriber),
        ["0.0:1", "0.0:2", "0.0:4"]
    );
    world.settle();
    assert!(world.publish(0, &topic, None));
    world.settle();
    assert_eq!(world.status(0).unconfirmed_bytes, 0);
}

#[test]
fn the_excluded_subscriber_does_not_get_it_also_when_it_comes_from_the_engine() {
    let (mut world, topic) = world(2);
    let one = world.subscribe(0, &topic, Start::Now, None);
    let two = world.subscribe(0, &topic, Start::Now, None);
    let far = world.subscribe(1, &topic, Start::Now, None);
    world.settle();
    world.publish(0, &topic, Some(one));
    world.settle();
    world.cut(0);
    world.publish(0, &topic, Some(one));
    world.settle();
    let nothing: [&str; 0] = [];
    assert_eq!(world.checker.contents((0, 0), one), nothing);
    assert_eq!(world.checker.contents((0, 0), two), ["0.0:1", "0.0:2"]);
    assert_eq!(world.checker.contents((1, 0), far), ["0.0:1", "0.0:2"]);
}

#[test]
fn those_who_watch_learn_once_who_came_and_left_also_while_the_engine_was_away() {
    let (mut world, topic) = world(2);
    world.subscribe_as(0, &topic, Start::Now, None, Some("ann"));
    world.settle();
    let bob = world.subscribe_as(1, &topic, Start::Now, None, Some("bob"));
    world.settle();
    assert_eq!(presence(&mut world, 0), ["joined ann", "joined bob"]);
    world.cut(0);
    world.unsubscribe(1, bob, &topic);
    world.subscribe_as(1, &topic, Start::Now, None, Some("eve"));
    while world.carry_out(1) {}
    world.settle();
    assert_eq!(presence(&mut world, 0), ["left bob", "joined eve"]);
    world.cut(0);
    world.settle();
    assert_eq!(presence(&mut world, 0), [""; 0]);
}

#[test]
fn a_member_that_leaves_while_the_engine_is_away_does_not_stay_listed() {
    let (mut world, topic) = world(2);
    let ann: SubscriberId = world.subscribe_as(0, &topic, Start::Now, None, Some("ann"));
    world.subscribe_as(1, &topic, Start::Now, None, Some("bob"));
    world.settle();
    world.cut(0);
    world.unsubscribe(0, ann, &topic);
    world.settle();
    assert_eq!(world.server.listed(&topic), ["bob"]);
    assert!(presence(&mut world, 1).contains(&"left ann".to_owned()));
}
