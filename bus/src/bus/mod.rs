//! What the process holds: the bus, and a port and an inbox for each worker.

mod carrier;
mod port;
#[cfg(test)]
pub(crate) mod tests;
mod thread;
mod twin;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::delivery::mailbox::Mailbox;
use crate::driver::Driver;
use crate::engine::Connector;
use crate::engine::nats::NatsConnector;
use crate::engine::redis::RedisConnector;
use crate::limits::Limits;
use crate::local::Local;
use crate::message::Message;
use crate::observe::counters::Counters;
use crate::observe::status::{Status, TopicDetails, TopicsPage};
use crate::settings::{EngineKind, Settings};
use crate::topic::Topic;
use carrier::Carrier;
pub use port::{Inbox, Port};
use tokio::sync::Notify;

/// The bus of a process. Cheap to clone, and shared by all threads.
#[derive(Clone)]
pub struct Bus(Arc<Shared>);

struct Shared {
    carrier: Mutex<Carrier>,
    counters: Arc<Counters>,
    limits: Limits,
    /// Wakes the engine's thread.
    wake: Arc<Notify>,
}

/// Why a publication did not go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The message is longer than [`Limits::message`].
    TooLong,
    /// The engine is slow, and [`Limits::unconfirmed`] is reached. It went to no subscriber: try again later.
    Busy,
    /// The engine is away, and [`Limits::unconfirmed`] is reached. It went to the subscribers of this process only.
    OnlyHere,
}

/// The engine could not be set up, with a text that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectError(String);

impl Bus {
    /// A bus of this process alone.
    #[must_use]
    pub fn local(limits: Limits) -> Self {
        let counters = Arc::<Counters>::default();
        let local = Local::new(limits.clone(), Arc::clone(&counters));
        Self::new(Carrier::Local(local), counters, limits)
    }

    fn new(carrier: Carrier, counters: Arc<Counters>, limits: Limits) -> Self {
        Self(Arc::new(Shared {
            carrier: Mutex::new(carrier),
            counters,
            limits,
            wake: Arc::default(),
        }))
    }

    /// A bus that an engine joins with those of other processes. It connects on a thread of its own, which ends with the
    /// bus, and again and again for as long as that takes: until then, topics reach the subscribers of this process.
    ///
    /// # Errors
    ///
    /// If the settings cannot be right, or there is no thread to be had. Not if the engine is away.
    pub fn connect(settings: Settings, limits: Limits) -> Result<Self, ConnectError> {
        match settings.kind {
            EngineKind::Nats => Self::connect_to(NatsConnector::new(settings), limits),
            EngineKind::Redis => Self::connect_to(RedisConnector::new(settings), limits),
        }
    }

    /// The same with any engine.
    pub(crate) fn connect_to<C: Connector + Send + 'static>(
        connector: C,
        limits: Limits,
    ) -> Result<Self, ConnectError> {
        let counters = Arc::<Counters>::default();
        let driver = Driver::new(limits.clone(), Arc::clone(&counters), Instant::now());
        let runner = driver.runner();
        let bus = Self::new(Carrier::Engine(driver), counters, limits);
        thread::start(&bus, connector, runner)
            .map_err(|error| ConnectError(format!("no thread for the engine: {error}")))?;
        Ok(bus)
    }

    /// A port and an inbox for a worker. The worker's subscriptions end when the inbox is dropped.
    #[must_use]
    pub fn attach(&self) -> (Port, Inbox) {
        let mailbox = Arc::new(Mailbox::new(
            self.0.limits.inbox,
            Arc::clone(&self.0.counters),
        ));
        let worker = self.with(|carrier| carrier.attach(Arc::clone(&mailbox)));
        let port = Port::new(self.clone(), worker, Arc::clone(&mailbox));
        (port, Inbox::new(self.clone(), worker, mailbox))
    }

    /// Publishes, as somebody who is no subscriber.
    ///
    /// # Errors
    ///
    /// If the publication does not reach everybody: see [`PublishError`].
    pub fn publish(&self, topic: &Topic, message: Message) -> Result<(), PublishError> {
        self.publish_from(topic, message, None)
    }

    /// The topics of which something is known here, by name.
    #[must_use]
    pub fn topics(&self, page: &TopicsPage) -> Vec<TopicDetails> {
        self.carrier().topics(page)
    }

    /// One topic; `None` if nothing is known of it here.
    #[must_use]
    pub fn topic(&self, name: &Topic) -> Option<TopicDetails> {
        self.carrier().topic(name)
    }

    /// How the engine is.
    #[must_use]
    pub fn status(&self) -> Status {
        self.carrier().status(Instant::now())
    }

    /// What the operator allows.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    fn publish_from(
        &self,
        topic: &Topic,
        message: Message,
        exclude: Option<carrier::Key>,
    ) -> Result<(), PublishError> {
        if message.bytes.len() > self.0.limits.message {
            return Err(PublishError::TooLong);
        }
        self.with(|carrier| carrier.publish(topic, message, exclude, Instant::now()))
    }

    /// Works on what carries publications, and wakes the engine's thread if there is something to send.
    fn with<T>(&self, work: impl FnOnce(&mut Carrier) -> T) -> T {
        let mut carrier = self.carrier();
        let result = work(&mut carrier);
        let has_requests = carrier.driver().is_some_and(|driver| driver.has_requests());
        drop(carrier);
        if has_requests {
            self.0.wake.notify_one();
        }
        result
    }

    fn carrier(&self) -> MutexGuard<'_, Carrier> {
        Self::lock(&self.0)
    }

    fn lock(shared: &Shared) -> MutexGuard<'_, Carrier> {
        let carrier = shared.carrier.lock();
        carrier.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The engine's thread notices that the bus has gone.
        self.wake.notify_one();
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the message is too long for a publication",
            Self::Busy => "the engine is slow, and too much waits for it: try again later",
            Self::OnlyHere => "the engine is away, and too much waits for it: only subscribers of this runner got it",
        })
    }
}

impl std::error::Error for PublishError {}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConnectError {}
