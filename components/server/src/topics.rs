//! Topics of this server. What connections want of them is carried out in one order, after the calls that asked for it.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use wasocket_host_core::topics::{self, Delivery, Event, Keep, Start, Topics as Core};

use crate::handler::{ConnectionId, Instant, Message, Publication, TopicAction, TopicEvent, types};

/// The most bytes of publications that wait to be carried out. What is published then is refused.
const MAX_QUEUED: usize = 16 * 1024 * 1024;

/// The topics of all connections.
pub(crate) struct Topics {
    core: Core<Message>,
    wanted: VecDeque<Wanted>,
    /// The bytes of the publications among them.
    queued: usize,
}

enum Wanted {
    Action(ConnectionId, TopicAction),
    /// A publication that no connection is excluded from, or that has a publisher no more.
    Publication(Publication, Option<ConnectionId>),
    Left(ConnectionId),
    Refused(ConnectionId, String),
}

/// What arrives at connections, in this order.
pub(crate) enum Arrival {
    Publication(Rc<Delivery<Message>>, Vec<ConnectionId>),
    Event(ConnectionId, TopicEvent),
}

impl Topics {
    /// No topics. `epoch`: a number that no earlier server has had.
    pub(crate) fn new(epoch: u64) -> Self {
        Self {
            core: Core::new(epoch),
            wanted: VecDeque::new(),
            queued: 0,
        }
    }

    /// The number of actions to be carried out.
    pub(crate) fn len(&self) -> usize {
        self.wanted.len()
    }

    /// What a connection wants, once the actions before it have been carried out.
    pub(crate) fn act(&mut self, id: ConnectionId, actions: Vec<TopicAction>) {
        for action in actions {
            match action {
                TopicAction::Publish(publication) => self.publish(Some(id), vec![publication]),
                action => self.wanted.push_back(Wanted::Action(id, action)),
            }
        }
    }

    pub(crate) fn publish(
        &mut self,
        publisher: Option<ConnectionId>,
        publications: Vec<Publication>,
    ) {
        for publication in publications {
            let queued = self.queued.saturating_add(length(&publication.message));
            if queued <= MAX_QUEUED {
                self.queued = queued;
                let publication = Wanted::Publication(publication, publisher);
                self.wanted.push_back(publication);
            } else if let Some(id) = publisher {
                let refused = Wanted::Refused(id, publication.topic);
                self.wanted.push_back(refused);
            }
        }
    }

    /// A connection has ended, and with it its subscriptions.
    pub(crate) fn leave(&mut self, id: ConnectionId) {
        self.wanted.push_back(Wanted::Left(id));
    }

    /// Carries out the next action, and returns what comes of it.
    pub(crate) fn carry_out(&mut self, now: Instant) -> Vec<Arrival> {
        let arrivals = match self.wanted.pop_front() {
            None => vec![],
            Some(Wanted::Action(id, action)) => self.act_now(id, action, now),
            Some(Wanted::Publication(publication, publisher)) => {
                self.publish_now(publication, publisher, now)
            }
            Some(Wanted::Left(id)) => self.core.leave(id),
            Some(Wanted::Refused(id, topic)) => return vec![refused(id, topic)],
        };
        arrivals.into_iter().map(Into::into).collect()
    }

    fn act_now(
        &mut self,
        id: ConnectionId,
        action: TopicAction,
        now: Instant,
    ) -> Vec<topics::Arrival<Message>> {
        match action {
            TopicAction::Subscribe(wanted) => self.core.subscribe(id, subscription(wanted), now),
            TopicAction::Unsubscribe(topic) => self.core.unsubscribe(id, &topic),
            TopicAction::ListMembers(topic) => vec![self.core.list_members(id, &topic)],
            TopicAction::Publish(publication) => self.publish_now(publication, Some(id), now),
        }
    }

    fn publish_now(
        &mut self,
        publication: Publication,
        publisher: Option<ConnectionId>,
        now: Instant,
    ) -> Vec<topics::Arrival<Message>> {
        let Publication {
            topic,
            message,
            to_others,
        } = publication;
        let length = length(&message);
        self.queued = self.queued.saturating_sub(length);
        let excluded = publisher.filter(|_| to_others);
        let arrival = self.core.publish(topic, message, length, excluded, now);
        arrival.into_iter().collect()
    }
}

fn length(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) => bytes.len(),
    }
}

fn refused(id: ConnectionId, topic: String) -> Arrival {
    let refusal = types::TopicRefusal {
        topic,
        operation: types::TopicOperation::Publish,
        reason: "too many publications wait to be delivered".into(),
    };
    Arrival::Event(id, TopicEvent::Refused(refusal))
}

fn subscription(wanted: types::Subscription) -> topics::Subscription {
    topics::Subscription {
        topic: wanted.topic,
        start: match wanted.start {
            types::Start::Now => Start::Now,
            types::Start::Last(count) => Start::Last(count),
            types::Start::After(position) => Start::After(position),
        },
        keep: wanted.keep.map(|keep| Keep {
            count: keep.count,
            seconds: keep.seconds,
        }),
        member: wanted.member,
        watches_members: wanted.watch_members,
        confirm: wanted.confirm,
    }
}

impl From<topics::Arrival<Message>> for Arrival {
    fn from(arrival: topics::Arrival<Message>) -> Self {
        match arrival {
            topics::Arrival::Publication(delivery, to) => Self::Publication(delivery, to),
            topics::Arrival::Event(id, event) => Self::Event(id, event.into()),
        }
    }
}

impl From<Event> for TopicEvent {
    fn from(event: Event) -> Self {
        match event {
            Event::Subscribed {
                topic,
                position,
                recovered,
            } => Self::Subscribed(types::Subscribed {
                topic,
                position,
                recovered,
            }),
            Event::Members {
                topic,
                count,
                members,
            } => Self::Members(types::Members {
                topic,
                count: count as u64,
                members,
            }),
            Event::Joined { topic, member } => Self::Joined(types::MemberChange { topic, member }),
            Event::Left { topic, member } => Self::Left(types::MemberChange { topic, member }),
        }
    }
}
