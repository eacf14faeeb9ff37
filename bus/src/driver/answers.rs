//! What comes from the engine.

use std::time::Instant;

use super::Driver;
use super::requests::Purpose;
use super::topic::{Flow, Needs};
use crate::delivery::arrival::Refusal;
use crate::engine::{EngineError, History, Incoming, Response, Ticket};
use crate::topic::Topic;

impl Driver {
    /// Something has come from the engine.
    pub(crate) fn incoming(&mut self, incoming: Incoming, now: Instant) {
        self.heard = now;
        match incoming {
            Incoming::Done(ticket, result) => self.done(ticket, result, now),
            Incoming::Published(topic, received) => self.arrived(&topic, received, now),
            Incoming::Joined(topic, key, info) => self.joined(&topic, key, info),
            Incoming::Left(topic, key, info) => self.left(&topic, key, info),
        }
    }

    fn done(&mut self, ticket: Ticket, result: Result<Response, EngineError>, now: Instant) {
        let Some(purpose) = self.requests.end(ticket) else {
            return;
        };
        if let Err(error) = &result {
            self.counters.engine_errors.add(1);
            tracing::warn!(error = %error.0, ?purpose, "the engine refused a request");
        }
        match purpose {
            Purpose::Subscribe(topic) => self.subscribed(&topic, result, now),
            Purpose::Resume(topic) => self.resume_with(&topic, ticket, history(result), now),
            Purpose::Missed(topic) => self.has_missed(&topic, ticket, history(result), now),
            Purpose::Publish(number) => match result {
                Ok(Response::Published(position)) => self.confirmed(number, position, now),
                Ok(_) => self.confirmed(number, None, now),
                Err(error) => self.not_confirmed(number, &error, now),
            },
            Purpose::List(topic, key) => self.listed(&topic, key, result.ok()),
            Purpose::Compare(topic, is_first) => self.compare(&topic, is_first, result.ok()),
            Purpose::Renew if result.is_err() => self.enter_all(now),
            Purpose::Leave(..) | Purpose::Renew | Purpose::Other => {}
        }
    }

    fn subscribed(&mut self, topic: &Topic, result: Result<Response, EngineError>, now: Instant) {
        if let Err(error) = result {
            self.refuse_all(topic, &Refusal::Engine(error.0.into()), now);
        }
    }

    fn resume_with(
        &mut self,
        topic: &Topic,
        ticket: Ticket,
        history: Option<History>,
        now: Instant,
    ) {
        self.with_topic(topic, |driver, state| {
            if state.flow == Flow::Holding(ticket) {
                driver.resume(topic, state, history, now);
            }
        });
    }

    fn has_missed(
        &mut self,
        topic: &Topic,
        ticket: Ticket,
        history: Option<History>,
        now: Instant,
    ) {
        self.with_topic(topic, |driver, state| {
            let waits = |needs: &Needs| matches!(needs, Needs::History(other) if *other == ticket);
            let mut pending = state.pending.iter_mut();
            if let Some(pending) = pending.find(|one| waits(&one.needs)) {
                pending.needs = Needs::Nothing(history);
            }
            driver.settle(topic, state, now);
        });
    }
}

fn history(result: Result<Response, EngineError>) -> Option<History> {
    match result {
        Ok(Response::History(history)) => Some(history),
        _ => None,
    }
}
