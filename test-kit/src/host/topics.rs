//! Topics: what the app wants of the bus, and what comes from it.

use std::mem;

use wasocket::topics::{Delivery, Publication, TopicAction, TopicEvent};

use super::peer::Waiting;
use super::{Breach, Host};
use crate::app::Call;
use crate::bus::{Bus, Mail, NodeId, PeerId};
use crate::contract::{Deliveries, Exception, Handle};

/// The most bytes of publications that wait for a connection with unsent output; then it is told that it is too slow.
const MAX_WAITING: usize = 1 << 20;

/// A kit's place on a bus.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) bus: Bus,
    pub(crate) node: NodeId,
}

impl Host {
    /// Carries out what a connection wants of topics.
    pub(super) fn want(&mut self, id: PeerId, actions: Vec<TopicAction>) -> Result<(), Breach> {
        let is_open = self.peers[id].turn.is_open();
        for action in actions {
            if !is_open && !matches!(action, TopicAction::Publish(_)) {
                return Err(Breach::TopicsAfterEnd(id));
            }
            let Some(place) = &self.place else { continue };
            place.bus.act(place.node, id, action, self.now);
        }
        Ok(())
    }

    pub(super) fn publish(&self, publications: Vec<Publication>) {
        if let Some(place) = &self.place {
            place.bus.publish_all(place.node, publications, self.now);
        }
    }

    /// Ends the subscriptions of a connection.
    pub(super) fn leave(&self, id: PeerId) {
        if let Some(place) = &self.place {
            place.bus.leave(place.node, id);
        }
    }

    pub(super) fn take_mail(&self) -> Option<Mail> {
        let place = self.place.as_ref()?;
        place.bus.take_mail(place.node)
    }

    pub(super) fn on_mail(&mut self, mail: Mail) -> Result<(), Breach> {
        match mail {
            Mail::Tell(id, event) if self.peers[id].is_ready() => self.tell(id, event),
            Mail::Tell(id, event) => {
                self.peers[id].waiting.push_back(Waiting::Event(event));
                Ok(())
            }
            Mail::Deliver(delivery, ids) => {
                let (ready, slow): (Vec<_>, Vec<_>) = ids
                    .into_iter()
                    .filter(|id| self.peers[*id].turn.is_open())
                    .partition(|id| self.peers[*id].is_ready());
                for id in slow {
                    self.wait(id, delivery.clone())?;
                }
                self.deliver(&ready, &delivery)
            }
        }
    }

    /// Keeps a publication until output is sent. A connection for which too much waits is too slow.
    fn wait(&mut self, id: PeerId, delivery: Delivery) -> Result<(), Breach> {
        let peer = &mut self.peers[id];
        peer.waiting.push_back(Waiting::Delivery(delivery));
        if peer.waiting_bytes() <= MAX_WAITING {
            return Ok(());
        }
        peer.waiting.clear();
        self.leave(id);
        self.tell(id, TopicEvent::TooSlow)
    }

    /// Gives a connection the first of what has waited.
    pub(super) fn give_waiting(&mut self, id: PeerId) -> Result<(), Breach> {
        match self.peers[id].waiting.pop_front() {
            Some(Waiting::Delivery(delivery)) => self.deliver(&[id], &delivery),
            Some(Waiting::Event(event)) => self.tell(id, event),
            None => Ok(()),
        }
    }

    /// Tells a connection something of a topic.
    pub(crate) fn tell(&mut self, id: PeerId, event: TopicEvent) -> Result<(), Breach> {
        if !self.peers[id].turn.is_open() {
            return Ok(());
        }
        self.call(id, Call::Tell(event))
    }

    fn deliver(&mut self, ids: &[PeerId], delivery: &Delivery) -> Result<(), Breach> {
        if ids.is_empty() {
            return Ok(());
        }
        let handles: Vec<Handle> = ids.iter().map(|id| self.peers[*id].handle).collect();
        match self.app.deliver(&handles, self.now, delivery) {
            Ok(deliveries) => self.send(ids, deliveries),
            Err(fault) => {
                self.bury(fault);
                Ok(())
            }
        }
    }

    fn send(&mut self, ids: &[PeerId], mut deliveries: Deliveries) -> Result<(), Breach> {
        self.mark(&deliveries.wake_others);
        let exceptions = mem::take(&mut deliveries.exceptions);
        let mut exceptions = exceptions.into_iter().peekable();
        let now = self.now();
        for (index, id) in ids.iter().enumerate() {
            let number = match exceptions.next_if(|(own, _)| *own == index) {
                Some((_, Exception::Effects(effects))) => {
                    self.carry_out(*id, effects)?;
                    continue;
                }
                Some((_, Exception::Form(number))) => Some(number),
                None => deliveries.shared,
            };
            if let Some(number) = number {
                let mut forms = deliveries.forms.iter();
                let form = forms.find(|form| form.number == number);
                let form = form.ok_or(Breach::UnknownForm(number))?;
                self.peers[*id].put_out(now, &form.bytes);
            }
        }
        match exceptions.next() {
            Some((index, _)) => Err(Breach::ExceptionMisplaced(index)),
            None => Ok(()),
        }
    }
}
