//! An app's function on a connection: a future that is polled inside the host's calls, so it needs no
//! runtime.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

use super::{Called, Calling, ConnectionId, Effects, ReadyList};
use crate::protocol::Instant;

/// The state that a connection and its future share.
pub(crate) trait Machine {
    /// The output of the future.
    type Output;

    /// Sets how to have the connection called.
    fn called_by(&self, calling: Arc<Calling>);

    /// Handles the next event. Returns false if there is none, or no room for it.
    fn take_event(&self) -> bool;

    /// Takes the output of the future, which has ended.
    fn finish(&self, output: Self::Output);

    /// The host has dropped the connection: releases whatever may own the machine itself.
    fn release(&self) {}

    /// The host's next actions; `is_woken` says that the future wants to be polled again at once.
    fn effects(&self, is_woken: bool) -> Effects;
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// A machine, and the future that is polled when something it waits for has happened.
pub(crate) struct Task<M: Machine> {
    pub(crate) machine: Rc<M>,
    /// The app's future, until it has ended.
    future: Option<BoxFuture<M::Output>>,
    called: Option<Called>,
}

impl<M: Machine> Task<M> {
    pub(crate) fn new(machine: Rc<M>, future: BoxFuture<M::Output>) -> Self {
        Self {
            machine,
            future: Some(future),
            called: None,
        }
    }

    /// Sets the number by which the host knows the connection. The first call is in progress.
    pub(crate) fn open(&mut self, id: ConnectionId, ready: &ReadyList) {
        let called = Called::new(id, ready);
        self.machine.called_by(Arc::clone(&called.calling));
        self.called = Some(called);
    }

    /// Notes that a call is in progress.
    pub(crate) fn begin(&self) {
        if let Some(called) = &self.called {
            called.calling.begin();
        }
    }

    /// Notes that a call of `wake` is in progress, which may mean that something outside is ready.
    pub(crate) fn begin_wake(&self) {
        self.begin();
        if let Some(called) = &self.called {
            called.calling.wake_watchers();
        }
    }

    /// Whether the future wants to be polled.
    pub(crate) fn is_woken(&self) -> bool {
        let called = self.called.as_ref().filter(|_| self.future.is_some());
        called.is_some_and(|called| called.calling.is_woken())
    }

    /// Ends a call that needs no poll.
    pub(crate) fn end(&self) {
        if let Some(called) = &self.called {
            called.calling.end();
        }
    }

    /// Runs as far as possible. An event is handled only after the app has reacted to the earlier ones, so
    /// its answer to a message goes out even if a violation follows.
    pub(crate) fn run(&mut self) -> Effects {
        loop {
            self.poll();
            if !self.machine.take_event() {
                break;
            }
        }
        let calling = self.called.as_ref().map(|called| &called.calling);
        let is_woken = calling.is_some_and(|calling| calling.is_woken());
        let effects = self.machine.effects(is_woken && self.future.is_some());
        if let Some(calling) = calling {
            calling.end();
        }
        effects
    }

    /// Polls the future, if it has been woken.
    pub(crate) fn poll(&mut self) {
        let (Some(future), Some(called)) = (&mut self.future, &self.called) else {
            return;
        };
        if let Poll::Ready(output) = called.poll(future.as_mut()) {
            self.future = None;
            self.machine.finish(output);
        }
    }
}

impl<M: Machine> Drop for Task<M> {
    fn drop(&mut self) {
        self.machine.release();
    }
}

impl<M: Machine> fmt::Debug for Task<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("has_ended", &self.future.is_none())
            .finish_non_exhaustive()
    }
}

/// The timers of a connection, which has only a few.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    timers: Vec<Timer>,
    last: u64,
}

#[derive(Debug)]
struct Timer {
    number: u64,
    at: Instant,
    waker: Waker,
}

impl Timers {
    pub(crate) fn add(&mut self, at: Instant) -> u64 {
        self.last = self.last.wrapping_add(1);
        self.timers.push(Timer {
            number: self.last,
            at,
            waker: Waker::noop().clone(),
        });
        self.last
    }

    pub(crate) fn poll(&mut self, number: u64, context: &mut Context<'_>) -> Poll<()> {
        let mut timers = self.timers.iter_mut();
        let Some(timer) = timers.find(|timer| timer.number == number) else {
            return Poll::Ready(());
        };
        timer.waker.clone_from(context.waker());
        Poll::Pending
    }

    pub(crate) fn remove(&mut self, number: u64) {
        self.timers.retain(|timer| timer.number != number);
    }

    /// Wakes the timers that are due.
    pub(crate) fn fire(&mut self, now: Instant) {
        for timer in self.timers.extract_if(.., |timer| timer.at <= now) {
            timer.waker.wake();
        }
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.timers.iter().map(|timer| timer.at).min()
    }
}

/// The output of a future, unless the time is up first: the future is dropped then.
pub(crate) async fn first_of<F: Future>(
    future: F,
    time: impl Future<Output = ()>,
) -> Result<F::Output, Elapsed> {
    let (mut future, mut time) = (pin!(future), pin!(time));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => time.as_mut().poll(context).map(|()| Err(Elapsed)),
    })
    .await
}

/// The time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is up")
    }
}

impl core::error::Error for Elapsed {}
