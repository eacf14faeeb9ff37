//! Some processes with one engine, one worker each, and time.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::server::Server;
use crate::Arrival;
use crate::bus::tests::checker::Checker;
use crate::delivery::mailbox::Mailbox;
use crate::delivery::subscribers::WorkerId;
use crate::driver::Driver;
use crate::engine::EngineError;
use crate::limits::Limits;
use crate::message::{Keep, Start, SubscriberId, Subscription};
use crate::observe::counters::Counters;
use crate::observe::status::Status;
use crate::topic::Topic;

pub(super) struct World {
    pub(super) server: Server,
    pub(super) runners: Vec<Runner>,
    pub(super) checker: Checker,
    /// What has arrived at each.
    pub(super) arrivals: Vec<Vec<Arrival>>,
    now: Instant,
    numbers: u64,
}

/// A process with one worker.
pub(super) struct Runner {
    pub(super) driver: Driver,
    mailbox: Arc<Mailbox>,
    worker: WorkerId,
    published: usize,
}

impl World {
    pub(super) fn new(runners: usize, limits: &Limits) -> Self {
        let now = Instant::now();
        Self {
            server: Server::new(runners),
            runners: (0..runners).map(|_| Runner::new(limits, now)).collect(),
            checker: Checker::default(),
            arrivals: vec![vec![]; runners],
            now,
            numbers: 0,
        }
    }

    /// Subscribes somebody new.
    pub(super) fn subscribe(
        &mut self,
        at: usize,
        topic: &Topic,
        start: Start,
        keep: Option<u32>,
    ) -> SubscriberId {
        self.subscribe_as(at, topic, start, keep, None)
    }

    pub(super) fn subscribe_as(
        &mut self,
        at: usize,
        topic: &Topic,
        start: Start,
        keep: Option<u32>,
        member: Option<&str>,
    ) -> SubscriberId {
        self.numbers += 1;
        let subscriber = SubscriberId(self.numbers);
        self.checker.subscribes((at, 0), subscriber, topic, start);
        let wanted = Subscription {
            subscriber,
            topic: topic.clone(),
            start,
            keep: keep.map(|count| Keep { count, seconds: 60 }),
            member: member.map(|info| info.to_owned().into()),
            watches_members: member.is_some(),
        };
        let runner = &mut self.runners[at];
        let generation = runner.mailbox.expect(subscriber, topic);
        runner
            .driver
            .subscribe(runner.worker, generation, wanted, self.now);
        self.exchange(at);
        subscriber
    }

    pub(super) fn unsubscribe(&mut self, at: usize, subscriber: SubscriberId, topic: &Topic) {
        self.checker.leaves((at, 0), subscriber);
        let runner = &mut self.runners[at];
        runner.mailbox.expect_no_more(subscriber, topic);
        runner
            .driver
            .unsubscribe((runner.worker, subscriber), topic, self.now);
        self.exchange(at);
    }

    /// Publishes. Returns whether that goes to everybody.
    pub(super) fn publish(
        &mut self,
        at: usize,
        topic: &Topic,
        exclude: Option<SubscriberId>,
    ) -> bool {
        let runner = &mut self.runners[at];
        runner.published += 1;
        let message = Checker::message((at, 0), runner.published);
        let excluded = exclude.map(|subscriber| (runner.worker, subscriber));
        let published = runner
            .driver
            .publish(topic, message.clone(), excluded, self.now);
        if published.is_ok() {
            let excluded = exclude.map(|subscriber| ((at, 0), subscriber));
            self.checker.publishes(topic, &message, excluded);
        }
        self.exchange(at);
        published.is_ok()
    }

    pub(super) fn carry_out(&mut self, at: usize) -> bool {
        self.server.carry_out(at)
    }

    pub(super) fn answer(&mut self, at: usize) -> bool {
        let answer = self.server.next_answer(at);
        self.arrives(at, answer)
    }

    pub(super) fn live(&mut self, at: usize) -> bool {
        let live = self.server.next_live(at);
        self.arrives(at, live)
    }

    pub(super) fn connect(&mut self, at: usize) {
        if !self.server.connections[at].is_up {
            self.server.connect(at);
            self.runners[at].driver.connected(self.now);
            self.exchange(at);
        }
    }

    pub(super) fn cut(&mut self, at: usize) {
        self.server.cut(at);
        self.notice_cuts();
    }

    /// Lets the runners whose connection has gone know.
    pub(super) fn notice_cuts(&mut self) {
        for at in 0..self.runners.len() {
            if !self.server.connections[at].is_up {
                let error = EngineError("cut".to_owned());
                self.runners[at].driver.lost(&error, self.now);
                self.exchange(at);
            }
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        for at in 0..self.runners.len() {
            if self.runners[at].driver.tick(self.now).is_err() {
                self.cut(at);
            }
            self.exchange(at);
        }
    }

    /// Lets everything happen that is on its way.
    pub(super) fn settle(&mut self) {
        for at in 0..self.runners.len() {
            self.connect(at);
        }
        loop {
            let mut is_quiet = true;
            for at in 0..self.runners.len() {
                while self.carry_out(at) || self.answer(at) || self.live(at) {
                    is_quiet = false;
                }
            }
            if is_quiet {
                return;
            }
        }
    }

    pub(super) fn status(&self, at: usize) -> Status {
        self.runners[at].driver.status(self.now)
    }

    fn take(&mut self, at: usize) -> Vec<Arrival> {
        let cx = &mut Context::from_waker(Waker::noop());
        match self.runners[at].mailbox.poll_take(cx) {
            Poll::Ready(arrivals) => arrivals,
            Poll::Pending => vec![],
        }
    }

    fn arrives(&mut self, at: usize, incoming: Option<crate::engine::Incoming>) -> bool {
        let Some(incoming) = incoming else {
            return false;
        };
        self.runners[at].driver.incoming(incoming, self.now);
        self.exchange(at);
        true
    }

    fn exchange(&mut self, at: usize) {
        let requests = self.runners[at].driver.take_requests();
        self.server.begin(at, requests);
        let arrivals = self.take(at);
        self.arrivals[at].extend(arrivals.iter().cloned());
        self.checker.takes((at, 0), arrivals);
    }
}

impl Runner {
    fn new(limits: &Limits, now: Instant) -> Self {
        let counters = Arc::<Counters>::default();
        let mut driver = Driver::new(limits.clone(), Arc::clone(&counters), now);
        let mailbox = Arc::new(Mailbox::new(limits.inbox, counters));
        let worker = driver.workers.add(Arc::clone(&mailbox));
        Self {
            driver,
            mailbox,
            worker,
            published: 0,
        }
    }
}
