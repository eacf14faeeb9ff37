//! The topics of the host: subscriptions, and what is published on them.

use std::collections::{BTreeMap, VecDeque};

use wasocket::topics::{
    Delivery, Members, Publication, Subscribed, SubscriptionRequest, TopicAction, TopicEvent,
    TopicOperation, TopicRefusal,
};
use wasocket::{Deliver, Delivered, Instant};

use super::Host;

#[derive(Default)]
pub struct Topics {
    /// In the order of subscription.
    pub subscribers: BTreeMap<String, Vec<(usize, SubscriptionRequest)>>,
    /// What connections want, in order.
    pub actions: VecDeque<(Option<usize>, TopicAction)>,
    /// The number of publications so far; positions count them.
    published: u64,
    /// What was published to each subscriber that has unsent output.
    waiting: Vec<(usize, Delivery)>,
    /// Whether subscriptions are refused.
    pub refuses: bool,
    /// The forms that the host was given for the latest publication, and how many connections were sent one.
    pub forms: Vec<u32>,
    pub shared: usize,
}

impl Topics {
    /// Takes over the subscriptions of a connection of another host.
    pub fn adopt(&mut self, id: usize, from: &mut Self, old: usize) {
        for (topic, subscribers) in &mut from.subscribers {
            let own = subscribers.extract_if(.., |(own, _)| *own == old);
            let own = own.map(|(_, request)| (id, request));
            self.subscribers
                .entry(topic.clone())
                .or_default()
                .extend(own);
        }
    }
}

impl Host {
    /// Carries out what the connections want of topics. Returns whether there was anything.
    pub fn carry_out_topics(&mut self) -> bool {
        let mut is_busy = false;
        while let Some((id, action)) = self.topics.actions.pop_front() {
            is_busy = true;
            match (action, id) {
                (TopicAction::Publish(publication), id) => self.publish(id, publication),
                (TopicAction::Subscribe(request), Some(id)) => self.subscribe(id, request),
                (TopicAction::Unsubscribe(topic), Some(id)) => self.unsubscribe(id, &topic),
                (TopicAction::ListMembers(topic), Some(id)) => self.list_members(id, topic),
                (action, None) => panic!("{action:?}"),
            }
        }
        is_busy
    }

    fn subscribe(&mut self, id: usize, request: SubscriptionRequest) {
        let topic = request.topic.clone();
        if self.topics.refuses {
            let refusal = TopicRefusal {
                topic,
                operation: TopicOperation::Subscribe,
                reason: "no".into(),
            };
            return self.tell(id, TopicEvent::Refused(refusal));
        }
        let confirm = request.confirm;
        let subscribers = self.topics.subscribers.entry(topic.clone()).or_default();
        match subscribers.iter_mut().find(|(own, _)| *own == id) {
            Some(own) => own.1 = request,
            None => subscribers.push((id, request)),
        }
        if confirm {
            self.tell(
                id,
                TopicEvent::Subscribed(Subscribed {
                    topic,
                    position: None,
                    recovered: true,
                }),
            );
        }
    }

    fn unsubscribe(&mut self, id: usize, topic: &str) {
        if let Some(subscribers) = self.topics.subscribers.get_mut(topic) {
            subscribers.retain(|(own, _)| *own != id);
        }
    }

    fn list_members(&mut self, id: usize, topic: String) {
        let subscribers = self.topics.subscribers.get(&topic);
        let members = subscribers.into_iter().flatten();
        let members: Vec<_> = members.filter_map(|(_, own)| own.member.clone()).collect();
        self.tell(
            id,
            TopicEvent::Members(Members {
                topic,
                count: members.len() as u64,
                members,
            }),
        );
    }

    /// Tells a connection of something.
    pub fn tell(&mut self, id: usize, event: TopicEvent) {
        let now = self.time();
        let peer = &mut self.connections[id];
        let effects = peer.session.tell(now, event);
        self.take(id, effects);
    }

    pub fn publish(&mut self, id: Option<usize>, publication: Publication) {
        self.topics.published += 1;
        let delivery = Delivery {
            topic: publication.topic,
            message: publication.message,
            position: Some(format!("{:016x}-{}", 7, self.topics.published)),
        };
        let subscribers = self.topics.subscribers.get(&delivery.topic);
        let subscribers = subscribers.into_iter().flatten().map(|(own, _)| *own);
        let (ready, late): (Vec<_>, Vec<_>) = subscribers
            .filter(|own| !publication.to_others || id != Some(*own))
            .filter(|own| super::is_open(&self.connections[*own]))
            .partition(|own| self.connections[*own].stuck == 0);
        let late = late.into_iter().map(|own| (own, delivery.clone()));
        self.topics.waiting.extend(late);
        self.deliver(&ready, delivery);
    }

    /// Delivers what has waited until a connection's output was sent.
    pub fn deliver_waiting(&mut self, id: usize) {
        while self.connections[id].stuck == 0 {
            let mut waiting = self.topics.waiting.iter();
            let Some(place) = waiting.position(|(own, _)| *own == id) else {
                return;
            };
            let (_, delivery) = self.topics.waiting.remove(place);
            self.deliver(&[id], delivery);
        }
    }

    fn deliver(&mut self, ids: &[usize], delivery: Delivery) {
        let now = self.time();
        let mut deliver = Deliver::new(now, delivery, vec![]);
        for id in ids {
            deliver.to(&mut *self.connections[*id].session);
        }
        let deliveries = deliver.finish();
        self.topics.forms = deliveries.forms.iter().map(|form| form.number).collect();
        self.topics.shared = ids.len() - deliveries.exceptions.len();
        let bytes = |number| {
            let form = deliveries.forms.iter().find(|form| form.number == number);
            form.expect("a form").bytes.to_vec()
        };
        let mut exceptions = deliveries.exceptions.into_iter().peekable();
        for (index, id) in ids.iter().enumerate() {
            match exceptions.next_if(|(own, _)| *own == index) {
                Some((_, Delivered::Effects(effects))) => self.take(*id, effects),
                Some((_, Delivered::Form(number))) => self.send(*id, now, &bytes(number)),
                None => self.send(*id, now, &bytes(deliveries.shared.expect("a form"))),
            }
        }
        assert_eq!(exceptions.next(), None, "exceptions are in order");
    }

    fn send(&mut self, id: usize, now: Instant, bytes: &[u8]) {
        self.connections[id].send(now, bytes);
    }
}
