//! Reading what is stored, through consumers that live for one reading.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use futures_util::StreamExt;

use super::failed;
use crate::engine::EngineError;

/// Messages asked for at once.
const BATCH: u64 = 256;

/// When the server removes a consumer that we could not delete.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// A reading of the messages of some subjects, in order.
pub(in crate::engine::nats) struct Reading {
    consumer: PullConsumer,
    /// How many there are to read.
    pub(in crate::engine::nats) pending: u64,
}

/// A message that was stored.
pub(in crate::engine::nats) struct Stored {
    pub(in crate::engine::nats) sequence: u64,
    /// When, by the clock of the server, in nanoseconds since 1970.
    pub(in crate::engine::nats) time: i128,
    pub(in crate::engine::nats) message: Message,
}

impl Reading {
    pub(in crate::engine::nats) async fn start(
        stream: &Stream,
        subjects: String,
        from: DeliverPolicy,
        headers_only: bool,
    ) -> Result<Self, EngineError> {
        let config = Config {
            deliver_policy: from,
            ack_policy: AckPolicy::None,
            filter_subject: subjects,
            headers_only,
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: FORGOTTEN,
            ..Config::default()
        };
        let consumer = stream
            .create_consumer(config)
            .await
            .map_err(|error| failed(&error))?;
        let pending = consumer.cached_info().num_pending;
        Ok(Self { consumer, pending })
    }

    /// The next messages, at most `count`; fewer if there are no more.
    pub(in crate::engine::nats) async fn take(
        &mut self,
        count: u64,
    ) -> Result<Vec<Stored>, EngineError> {
        let mut taken = vec![];
        let mut left = count.min(self.pending);
        while left > 0 {
            let batch = usize::try_from(left.min(BATCH)).unwrap_or(usize::MAX);
            let messages = self.consumer.fetch().max_messages(batch).messages().await;
            let mut messages = messages.map_err(|error| failed(&error))?;
            let before = taken.len();
            while let Some(message) = messages.next().await {
                taken.push(Stored::new(message.map_err(|error| failed(&error))?)?);
            }
            let read = u64::try_from(taken.len() - before).unwrap_or(left);
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
            self.pending = self.pending.saturating_sub(read);
        }
        Ok(taken)
    }

    /// Ends it; the server is not waited for.
    pub(in crate::engine::nats) async fn end(self, client: &Client) -> Result<(), EngineError> {
        let info = self.consumer.cached_info();
        let subject = format!("$JS.API.CONSUMER.DELETE.{}.{}", info.stream_name, info.name);
        let sent = client.publish(subject, Bytes::new()).await;
        sent.map_err(|error| failed(&error))
    }
}

impl Stored {
    fn new(message: Message) -> Result<Self, EngineError> {
        let info = message.info().map_err(|error| failed(&error))?;
        let (sequence, time) = (info.stream_sequence, info.published.unix_timestamp_nanos());
        Ok(Self {
            sequence,
            time,
            message,
        })
    }
}

/// The latest message of each of some subjects.
pub(in crate::engine::nats) async fn read_latest(
    client: &Client,
    stream: &Stream,
    subjects: String,
) -> Result<Vec<Stored>, EngineError> {
    let latest = DeliverPolicy::LastPerSubject;
    let mut reading = Reading::start(stream, subjects, latest, false).await?;
    let stored = reading.take(u64::MAX).await?;
    reading.end(client).await?;
    Ok(stored)
}
