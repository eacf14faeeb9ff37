//! Topics between the instances of a test: an engine in memory, without time or chance.

mod outage;
mod state;
mod topic;

use std::cell::RefCell;
use std::fmt;
use std::rc::{Rc, Weak};

use wasocket::Message;
use wasocket::topics::{Delivery, Publication, TopicAction, TopicEvent};

use state::State;

/// The number of a kit on its bus.
pub(crate) type NodeId = usize;

/// The number of a connection of a kit.
pub(crate) type PeerId = usize;

/// What a kit is to give to its connections, in order.
#[derive(Clone, Debug)]
pub(crate) enum Mail {
    Deliver(Delivery, Vec<PeerId>),
    Tell(PeerId, TopicEvent),
}

/// A member of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) node: NodeId,
    pub(crate) info: Vec<u8>,
}

/// A kit, which has its mail delivered.
pub(crate) trait Node {
    fn fetch_mail(&self);
}

/// What joins the topics of several [`Kit`](crate::Kit)s, as NATS or Redis joins those of several machines.
///
/// A kit has a bus of its own until [`Kit::on`](crate::Kit::on) puts it on another one.
///
/// ```
/// use wasocket::Message;
/// use wasocket::events::{Accept, Context, EventHandler, events};
/// use wasocket::{Request, Response};
/// use wasocket_test::{Bus, Kit, websocket};
///
/// struct Room;
///
/// impl EventHandler for Room {
///     type State = ();
///
///     fn open(&self, _: &Request, cx: &mut Context<'_, ()>) -> Result<Accept, Response> {
///         cx.subscribe("room");
///         Ok(Accept::default())
///     }
///
///     fn message(&self, message: Message, cx: &mut Context<'_, ()>) {
///         cx.publish("room", message);
///     }
/// }
///
/// let bus = Bus::new();
/// let (here, there) = (Kit::native(events(Room)).on(&bus), Kit::native(events(Room)).on(&bus));
/// let (ann, bob) = (here.connect(websocket("/")), there.connect(websocket("/")));
/// ann.send("hello");
/// ann.assert_text("hello");
/// bob.assert_text("hello");
/// ```
#[derive(Clone, Default)]
pub struct Bus(Rc<Shared>);

#[derive(Default)]
struct Shared {
    state: RefCell<State>,
    nodes: RefCell<Vec<Weak<dyn Node>>>,
}

impl Bus {
    /// A bus without kits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Publishes a message from outside, as an operator does.
    pub fn publish(&self, topic: &str, message: impl Into<Message>) {
        let publication = Publication {
            topic: topic.into(),
            message: message.into(),
            to_others: false,
        };
        self.0.state.borrow_mut().publish(None, publication);
        self.deliver();
    }

    /// What the members of a topic say of themselves, in the order in which they joined.
    #[must_use]
    pub fn members(&self, topic: &str) -> Vec<Vec<u8>> {
        self.0.state.borrow().members(topic)
    }

    /// The number of connections that subscribe to a topic.
    #[must_use]
    pub fn subscribers(&self, topic: &str) -> usize {
        self.0.state.borrow().subscribers(topic)
    }

    /// Refuses subscriptions to a topic from now on, with this reason, and ends those that there are.
    pub fn refuse(&self, topic: &str, reason: &str) {
        self.0.state.borrow_mut().refuse(topic, reason);
        self.deliver();
    }

    /// Loses all that is remembered, as an engine does that is started again without its data: positions begin again,
    /// and all subscribers are told of a gap.
    pub fn restart(&self) {
        self.0.state.borrow_mut().restart();
        self.deliver();
    }

    pub(crate) fn set_away(&self, node: NodeId, is_away: bool) {
        self.0.state.borrow_mut().set_away(node, is_away);
        self.deliver();
    }

    pub(crate) fn join(&self, node: &Rc<impl Node + 'static>) -> NodeId {
        let mut nodes = self.0.nodes.borrow_mut();
        let node: Weak<dyn Node> = Rc::downgrade(node) as Weak<dyn Node>;
        nodes.push(node);
        self.0.state.borrow_mut().add_node();
        nodes.len() - 1
    }

    /// Carries out what a connection wants of topics.
    pub(crate) fn act(&self, node: NodeId, peer: PeerId, action: TopicAction, now: u64) {
        let mut state = self.0.state.borrow_mut();
        state.passes(now);
        match action {
            TopicAction::Subscribe(request) => state.subscribe(node, peer, request),
            TopicAction::Unsubscribe(topic) => state.unsubscribe(node, peer, &topic),
            TopicAction::Publish(publication) => {
                state.publish(Some((node, Some(peer))), publication);
            }
            TopicAction::ListMembers(topic) => state.list_members(node, peer, topic),
        }
    }

    /// Publishes what a request publishes.
    pub(crate) fn publish_all(&self, node: NodeId, publications: Vec<Publication>, now: u64) {
        let mut state = self.0.state.borrow_mut();
        state.passes(now);
        for publication in publications {
            state.publish(Some((node, None)), publication);
        }
    }

    /// Ends all subscriptions of a connection.
    pub(crate) fn leave(&self, node: NodeId, peer: PeerId) {
        self.0.state.borrow_mut().leave(node, peer);
    }

    pub(crate) fn take_mail(&self, node: NodeId) -> Option<Mail> {
        self.0.state.borrow_mut().take_mail(node)
    }

    /// Has all kits fetch their mail, until none has any.
    pub(crate) fn deliver(&self) {
        loop {
            let node = self.0.state.borrow().node_with_mail();
            let Some(node) = node else { return };
            let kit = self.0.nodes.borrow().get(node).and_then(Weak::upgrade);
            match kit {
                Some(kit) => kit.fetch_mail(),
                None => self.0.state.borrow_mut().remove_node(node),
            }
        }
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}
