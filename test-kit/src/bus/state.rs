//! What the bus knows: topics, and what is on its way to which kit.

use std::collections::{BTreeMap, VecDeque};

use wasocket::topics::{
    Delivery, MemberChange, Members, Publication, Start, Subscribed, SubscriptionRequest,
    TopicEvent, TopicOperation, TopicRefusal,
};

use super::topic::{Mark, Missed, Subscriber, Topic};
use super::{Mail, NodeId, PeerId};

/// The most members that are listed (`types.wit`, `members`).
const MAX_LISTED: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) topics: BTreeMap<String, Topic>,
    pub(super) nodes: Vec<NodeState>,
    refused: BTreeMap<String, String>,
    /// In nanoseconds: the latest clock of all kits.
    pub(super) now: u64,
    /// The epoch of topics that begin.
    pub(super) epoch: u64,
}

#[derive(Debug, Default)]
pub(super) struct NodeState {
    mail: VecDeque<Mail>,
    /// Where all topics stood when the connection to the bus was lost; `None` while there is one.
    pub(super) away: Option<BTreeMap<String, Mark>>,
    /// What the others are still to be sent.
    pub(super) pending: Vec<Publication>,
}

impl State {
    pub(super) fn add_node(&mut self) {
        self.nodes.push(NodeState::default());
    }

    pub(super) fn passes(&mut self, now: u64) {
        self.now = self.now.max(now);
        for topic in self.topics.values_mut() {
            topic.expire(self.now);
        }
    }

    pub(super) fn take_mail(&mut self, node: NodeId) -> Option<Mail> {
        self.nodes.get_mut(node)?.mail.pop_front()
    }

    pub(super) fn node_with_mail(&self) -> Option<NodeId> {
        self.nodes.iter().position(|node| !node.mail.is_empty())
    }

    /// Forgets a kit that is gone.
    pub(super) fn remove_node(&mut self, node: NodeId) {
        let peers: Vec<PeerId> = self
            .topics
            .values()
            .flat_map(|topic| &topic.subscribers)
            .filter(|own| own.node == node)
            .map(|own| own.peer)
            .collect();
        for peer in peers {
            self.leave(node, peer);
        }
        self.nodes[node].mail.clear();
    }

    pub(super) fn is_away(&self, node: NodeId) -> bool {
        self.nodes[node].away.is_some()
    }

    pub(super) fn send(&mut self, node: NodeId, mail: Mail) {
        self.nodes[node].mail.push_back(mail);
    }

    pub(super) fn tell(&mut self, node: NodeId, peer: PeerId, event: TopicEvent) {
        self.send(node, Mail::Tell(peer, event));
    }

    pub(super) fn topic(&mut self, name: &str) -> &mut Topic {
        let epoch = self.epoch + 1;
        self.topics
            .entry(name.into())
            .or_insert_with(|| Topic::new(epoch))
    }

    pub(super) fn subscribe(&mut self, node: NodeId, peer: PeerId, request: SubscriptionRequest) {
        let name = request.topic.clone();
        if let Some(reason) = self.refused.get(&name).cloned() {
            self.unsubscribe(node, peer, &name);
            return self.tell(node, peer, refused(name, TopicOperation::Subscribe, reason));
        }
        let (start, confirm) = (request.start.clone(), request.confirm);
        let is_away = self.is_away(node);
        let topic = self.topic(&name);
        topic.keep(request.keep);
        let earlier = topic.remove(node, peer);
        let member = request.member.clone();
        topic.subscribers.push(Subscriber {
            node,
            peer,
            request,
        });
        let missed = if is_away {
            Missed {
                deliveries: Vec::new(),
                recovered: !matches!(start, Start::After(_)),
            }
        } else {
            topic.missed(&start)
        };
        let position = topic.position().filter(|_| !is_away);
        if confirm {
            let first = missed.deliveries.first();
            let before = first.and_then(|delivery| before(delivery.position.as_deref()?));
            self.tell(
                node,
                peer,
                TopicEvent::Subscribed(Subscribed {
                    topic: name.clone(),
                    position: before.or(position),
                    recovered: missed.recovered,
                }),
            );
        }
        for delivery in missed.deliveries {
            self.send(node, Mail::Deliver(delivery, vec![peer]));
        }
        let before = earlier.and_then(|own| own.request.member);
        if before != member {
            self.announce(&name, node, before.filter(|_| member.is_none()), member);
        }
    }

    pub(super) fn unsubscribe(&mut self, node: NodeId, peer: PeerId, name: &str) {
        let Some(topic) = self.topics.get_mut(name) else {
            return;
        };
        if let Some(own) = topic.remove(node, peer) {
            self.announce(name, node, own.request.member, None);
        }
    }

    pub(super) fn leave(&mut self, node: NodeId, peer: PeerId) {
        let names: Vec<String> = self.topics.keys().cloned().collect();
        for name in names {
            self.unsubscribe(node, peer, &name);
        }
    }

    /// Tells those who watch the members of a topic about one that has left, or joined.
    pub(super) fn announce(
        &mut self,
        name: &str,
        node: NodeId,
        left: Option<Vec<u8>>,
        joined: Option<Vec<u8>>,
    ) {
        let change = |member| MemberChange {
            topic: name.into(),
            member,
        };
        let events = [
            left.map(|member| TopicEvent::Left(change(member))),
            joined.map(|member| TopicEvent::Joined(change(member))),
        ];
        for event in events.into_iter().flatten() {
            for (watcher, peer) in self.watchers(name, node) {
                self.tell(watcher, peer, event.clone());
            }
        }
    }

    /// Those who watch the members of a topic and are reached from this node.
    pub(super) fn watchers(&self, name: &str, node: NodeId) -> Vec<(NodeId, PeerId)> {
        let subscribers = self.topics.get(name).into_iter();
        let subscribers = subscribers.flat_map(|topic| &topic.subscribers);
        subscribers
            .filter(|own| own.request.watch_members && self.reaches(node, own.node))
            .map(|own| (own.node, own.peer))
            .collect()
    }

    fn reaches(&self, one: NodeId, other: NodeId) -> bool {
        one == other || !(self.is_away(one) || self.is_away(other))
    }

    pub(super) fn publish(
        &mut self,
        publisher: Option<(NodeId, Option<PeerId>)>,
        publication: Publication,
    ) {
        let delivery = Delivery {
            topic: publication.topic.clone(),
            message: publication.message.clone(),
            position: None,
        };
        let node = publisher.map(|(node, _)| node);
        let except = publisher.filter(|_| publication.to_others);
        if let Some(node) = node.filter(|node| self.is_away(*node)) {
            self.deliver(&delivery, &[node], except);
            self.nodes[node].pending.push(publication);
            return;
        }
        let now = self.now;
        let delivery = self.topic(&delivery.topic).append(delivery, None, now);
        self.deliver(&delivery, &self.connected(), except);
    }

    /// The nodes that are not away.
    pub(super) fn connected(&self) -> Vec<NodeId> {
        let nodes = 0..self.nodes.len();
        nodes.filter(|node| !self.is_away(*node)).collect()
    }

    /// Delivers to the subscribers of these nodes.
    pub(super) fn deliver(
        &mut self,
        delivery: &Delivery,
        nodes: &[NodeId],
        except: Option<(NodeId, Option<PeerId>)>,
    ) {
        for node in nodes.iter().copied() {
            let topic = self.topics.get(&delivery.topic).into_iter();
            let subscribers = topic.flat_map(|topic| &topic.subscribers);
            let peers: Vec<PeerId> = subscribers
                .filter(|own| own.node == node && except != Some((node, Some(own.peer))))
                .map(|own| own.peer)
                .collect();
            if !peers.is_empty() {
                self.send(node, Mail::Deliver(delivery.clone(), peers));
            }
        }
    }

    pub(super) fn list_members(&mut self, node: NodeId, peer: PeerId, name: String) {
        let topic = self.topics.get(&name).into_iter();
        let members = topic.flat_map(Topic::members);
        let members: Vec<_> = members
            .filter(|member| self.reaches(node, member.node))
            .map(|member| member.info)
            .collect();
        let count = members.len() as u64;
        let members = members.into_iter().take(MAX_LISTED).collect();
        let members = Members {
            topic: name,
            count,
            members,
        };
        self.tell(node, peer, TopicEvent::Members(members));
    }

    pub(super) fn members(&self, name: &str) -> Vec<Vec<u8>> {
        let topic = self.topics.get(name).into_iter();
        let members = topic.flat_map(Topic::members);
        members.map(|member| member.info).collect()
    }

    pub(super) fn subscribers(&self, name: &str) -> usize {
        self.topics
            .get(name)
            .map_or(0, |topic| topic.subscribers.len())
    }

    pub(super) fn refuse(&mut self, name: &str, reason: &str) {
        self.refused.insert(name.into(), reason.into());
        let topic = self.topics.get(name).into_iter();
        let subscribers = topic.flat_map(|topic| &topic.subscribers);
        let subscribers: Vec<_> = subscribers.map(|own| (own.node, own.peer)).collect();
        for (node, peer) in subscribers {
            self.unsubscribe(node, peer, name);
            self.tell(
                node,
                peer,
                refused(name.into(), TopicOperation::Subscribe, reason.into()),
            );
        }
    }
}

fn refused(topic: String, operation: TopicOperation, reason: String) -> TopicEvent {
    TopicEvent::Refused(TopicRefusal {
        topic,
        operation,
        reason,
    })
}

/// The position before this one.
fn before(position: &str) -> Option<String> {
    let (epoch, offset) = position.split_once('-')?;
    let offset: u64 = offset.parse().ok()?;
    Some(format!("{epoch}-{}", offset.checked_sub(1)?))
}
