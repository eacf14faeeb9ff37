//! What goes wrong: a bus that forgets, and kits that are cut off from it.

use std::collections::BTreeMap;
use std::mem;

use wasocket::topics::{Delivery, Gap, MemberChange, TopicEvent};

use super::state::State;
use super::topic::{Mark, Topic};
use super::{NodeId, PeerId};

impl State {
    pub(super) fn restart(&mut self) {
        self.epoch += 1;
        let epoch = self.epoch + 1;
        self.topics
            .values_mut()
            .for_each(|topic| topic.restart(epoch));
        for node in 0..self.nodes.len() {
            if !self.is_away(node) {
                let names: Vec<String> = self.topics.keys().cloned().collect();
                names.iter().for_each(|name| self.tell_gap(node, name));
            }
        }
    }

    /// Tells the subscribers of a node that publications may have been lost.
    fn tell_gap(&mut self, node: NodeId, name: &str) {
        let Some(topic) = self.topics.get(name) else {
            return;
        };
        let gap = Gap {
            topic: name.into(),
            position: topic.position(),
        };
        let subscribers = topic.subscribers.iter().filter(|own| own.node == node);
        let peers: Vec<PeerId> = subscribers.map(|own| own.peer).collect();
        for peer in peers {
            self.tell(node, peer, TopicEvent::Gap(gap.clone()));
        }
    }

    pub(super) fn set_away(&mut self, node: NodeId, is_away: bool) {
        match (self.nodes[node].away.take(), is_away) {
            (None, true) => {
                self.announce_all(node, false);
                let topics = self.topics.iter();
                let marks = topics.map(|(name, topic)| (name.clone(), topic.mark()));
                self.nodes[node].away = Some(marks.collect());
            }
            (Some(seen), false) => {
                self.announce_all(node, true);
                self.catch_up(node, &seen);
            }
            (away, _) => self.nodes[node].away = away,
        }
    }

    /// Tells the others of the members of a node, which are gone from their sight, or back.
    fn announce_all(&mut self, node: NodeId, are_back: bool) {
        let names: Vec<String> = self.topics.keys().cloned().collect();
        for name in names {
            let topic = self.topics.get(&name).into_iter();
            let members = topic
                .flat_map(Topic::members)
                .filter(|own| own.node == node);
            let members: Vec<_> = members.map(|member| member.info).collect();
            for member in members {
                let change = MemberChange {
                    topic: name.clone(),
                    member,
                };
                for (watcher, peer) in self.watchers(&name, node) {
                    if watcher != node {
                        let event = match are_back {
                            true => TopicEvent::Joined(change.clone()),
                            false => TopicEvent::Left(change.clone()),
                        };
                        self.tell(watcher, peer, event);
                    }
                }
            }
        }
    }

    /// Gives a node what it has missed, and the others what it has published meanwhile.
    fn catch_up(&mut self, node: NodeId, seen: &BTreeMap<String, Mark>) {
        let names: Vec<String> = self.topics.keys().cloned().collect();
        for name in &names {
            let Some(topic) = self.topics.get(name) else {
                continue;
            };
            let mark = seen.get(name).copied();
            let missed = topic.after(mark.unwrap_or_else(|| topic.beginning()));
            let missed = missed.map(|missed| missed.cloned().collect::<Vec<_>>());
            match missed {
                Some(missed) => {
                    for kept in missed.iter().filter(|kept| kept.origin != Some(node)) {
                        self.deliver(&kept.delivery, &[node], None);
                    }
                }
                None => self.tell_gap(node, name),
            }
        }
        for publication in mem::take(&mut self.nodes[node].pending) {
            let delivery = Delivery {
                topic: publication.topic.clone(),
                message: publication.message,
                position: None,
            };
            let now = self.now;
            let topic = self.topic(&publication.topic);
            let delivery = topic.append(delivery, Some(node), now);
            let mut others = self.connected();
            others.retain(|other| *other != node);
            self.deliver(&delivery, &others, None);
        }
    }
}
