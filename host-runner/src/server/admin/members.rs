//! Lists of members, which the bus answers later.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use wasocket_bus::message::{Member, SubscriberId};
use wasocket_bus::topic::Topic;
use wasocket_bus::{Arrival, Bus, Inbox, Port};

/// How long an answer may take. An engine that is away is answered for at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// The questions that wait for their answers.
pub(super) struct MemberLists {
    port: Port,
    waiting: RefCell<HashMap<SubscriberId, oneshot::Sender<List>>>,
    last: Cell<u64>,
}

/// The members of a topic.
pub(super) struct List {
    pub(super) count: u64,
    /// Not all of them if there are very many.
    pub(super) members: Vec<Member>,
    /// Whether only those of this process are known.
    pub(super) is_partial: bool,
}

impl MemberLists {
    pub(super) fn attached_to(bus: &Bus) -> (Rc<Self>, Inbox) {
        let (port, inbox) = bus.attach();
        let lists = Self {
            port,
            waiting: RefCell::default(),
            last: Cell::new(0),
        };
        (Rc::new(lists), inbox)
    }

    /// Asks for a list; `None` if there is no answer in time.
    pub(super) async fn list(&self, topic: &Topic) -> Option<List> {
        let number = SubscriberId(self.last.get().wrapping_add(1));
        self.last.set(number.0);
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(number, sender);
        self.port.list_members(number, topic);
        let list = timeout(PATIENCE, receiver).await;
        self.waiting.borrow_mut().remove(&number);
        list.ok()?.ok()
    }

    /// Passes the answers on; never returns.
    pub(super) async fn receive(self: Rc<Self>, mut inbox: Inbox) {
        loop {
            for arrival in inbox.take().await {
                self.pass_on(arrival);
            }
        }
    }

    fn pass_on(&self, arrival: Arrival) {
        let Arrival::Members {
            subscriber,
            count,
            members,
            is_partial,
            ..
        } = arrival
        else {
            return;
        };
        if let Some(sender) = self.waiting.borrow_mut().remove(&subscriber) {
            // The client may have gone.
            let _ = sender.send(List {
                count,
                members,
                is_partial,
            });
        }
    }
}
