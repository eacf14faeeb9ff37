//! Whether Redis is still there: a connection over which nothing comes may be idle, or dead.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Knows when to ask, and when to give up.
pub(super) struct Health {
    idle: Duration,
    answer_timeout: Duration,
    last_heard: Instant,
    asked: Option<Instant>,
    alarm: Pin<Box<Sleep>>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// Nothing has come for a while: ask.
    Ask,
    /// There is no answer.
    GiveUp,
}

impl Health {
    pub(super) fn new(idle: Duration, answer_timeout: Duration) -> Self {
        Self {
            idle,
            answer_timeout,
            last_heard: Instant::now(),
            asked: None,
            alarm: Box::pin(sleep(idle)),
        }
    }

    /// Something has come.
    pub(super) fn heard(&mut self) {
        self.last_heard = Instant::now();
        self.asked = None;
    }

    /// To be called when nothing is left to be read.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Alarm> {
        loop {
            ready!(self.alarm.as_mut().poll(context));
            let now = Instant::now();
            let (due, alarm) = match self.asked {
                None => (self.last_heard + self.idle, Alarm::Ask),
                Some(asked) => (asked + self.answer_timeout, Alarm::GiveUp),
            };
            if due > now {
                self.alarm.as_mut().reset(due);
                continue;
            }
            if alarm == Alarm::Ask {
                self.asked = Some(now);
                self.alarm.as_mut().reset(now + self.answer_timeout);
            }
            return Poll::Ready(alarm);
        }
    }
}
