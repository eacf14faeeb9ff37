//! The connection as a subscriber: publications are delivered, and events of topics told, while nothing is unsent.

use alloc::vec;

use super::arrivals::{Arrivals, Item};
use super::phase::Phase;
use super::{Client, Outcome};
use crate::context::Context;
use crate::handler::{Connection, Delivered, Effects, TopicEvent, deliver};

impl Client {
    /// The handler's connection, if a publication may be delivered right now.
    pub(crate) fn subscriber(&self) -> Option<&Connection> {
        match &self.phase {
            Phase::Taken(taken) if taken.turn.may_deliver() && taken.waiting.is_empty() => {
                Some(&taken.connection)
            }
            _ => None,
        }
    }

    /// Passes something on that has arrived, or keeps it until the client has taken its output.
    pub(crate) fn on_arrival(&mut self, item: Item, context: &mut Context) {
        let outcome = if self.subscriber().is_some() {
            self.pass_on(item, context)
        } else {
            self.keep(item, context)
        };
        self.settle(outcome, context);
    }

    /// A publication has been delivered, with this result.
    pub(crate) fn on_delivered(&mut self, delivered: Delivered, context: &mut Context) {
        let outcome = self.send_delivered(delivered, context);
        self.settle(outcome, context);
    }

    /// Passes on what has waited for the client to take its output.
    pub(super) fn catch_up(&mut self, context: &mut Context) -> Outcome {
        while let Phase::Taken(taken) = &mut self.phase
            && taken.turn.may_deliver()
            && let Some(item) = taken.waiting.pop()
        {
            self.pass_on(item, context)?;
        }
        Ok(())
    }

    /// A client that does not keep up is given up, so that the others need not wait for it.
    fn keep(&mut self, item: Item, context: &mut Context) -> Outcome {
        let Phase::Taken(taken) = &mut self.phase else {
            return Ok(());
        };
        taken.waiting.push(item);
        if !taken.waiting.is_too_long() {
            return Ok(());
        }
        taken.waiting = Arrivals::default();
        context.topics.leave(taken.id);
        self.pass_on(Item::Event(TopicEvent::TooSlow), context)
    }

    fn pass_on(&mut self, item: Item, context: &mut Context) -> Outcome {
        let Phase::Taken(taken) = &self.phase else {
            return Ok(());
        };
        match item {
            Item::Event(event) => {
                let effects = taken.connection.tell(context.now(), &event);
                self.carry_out(effects, context)
            }
            Item::Publication(delivery) => {
                let (delivered, woken) = deliver(context.now(), &delivery, &[&taken.connection]);
                context.wake(woken);
                let mut delivered = delivered.into_iter();
                delivered.try_for_each(|delivered| self.send_delivered(delivered, context))
            }
        }
    }

    fn send_delivered(&mut self, delivered: Delivered, context: &mut Context) -> Outcome {
        let Phase::Taken(taken) = &mut self.phase else {
            return Ok(());
        };
        match delivered {
            Delivered::Nothing => Ok(()),
            Delivered::Form(bytes) => {
                self.socket.send(&bytes, context.now())?;
                let _ = taken.turn.on_sent(self.socket.unsent());
                Ok(())
            }
            Delivered::Outcome(output, outcome) => {
                let effects = Effects {
                    output,
                    wake_at: outcome.wake_at,
                    next: outcome.next,
                    wake_others: vec![],
                    topics: outcome.topics,
                };
                self.carry_out(effects, context)
            }
        }
    }
}
