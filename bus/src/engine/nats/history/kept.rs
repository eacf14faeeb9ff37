//! Which topics have history: a copy of the bucket, so that a publisher knows where to publish without asking.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::stream::DirectGetErrorKind;

use crate::engine::EngineError;
use crate::engine::nats::names::{last_token, parse_token};
use crate::engine::nats::store::read::read_latest;
use crate::engine::nats::store::{Put, Streams, failed, is_removal, unused};
use crate::engine::nats::tuning::Bounds;
use crate::message::Keep;
use crate::topic::Topic;

/// `VERSION COUNT SECONDS`
const VERSION: &str = "1";

/// How often to try where others change the same entry.
const ATTEMPTS: usize = 20;

/// The topics with history.
pub(in crate::engine::nats) struct Kept {
    topics: HashMap<Topic, Entry>,
    /// How long an entry lives that is not written again.
    life: Duration,
    bounds: Bounds,
}

#[derive(Clone, Copy)]
struct Entry {
    keep: Keep,
    written: Instant,
}

impl Kept {
    /// Nothing, as without JetStream.
    pub(in crate::engine::nats) fn new(bounds: &Bounds) -> Self {
        Self {
            topics: HashMap::new(),
            life: unused(bounds),
            bounds: *bounds,
        }
    }

    /// Reads the bucket. Changes from before this must already be subscribed to.
    ///
    /// # Errors
    ///
    /// If the server does not answer.
    pub(in crate::engine::nats) async fn load(
        &mut self,
        streams: &Streams,
    ) -> Result<(), EngineError> {
        let keys = format!("$KV.{}.*", streams.names.kept());
        for stored in read_latest(&streams.client, &streams.kept, keys).await? {
            let message = &stored.message;
            self.hear(
                &message.subject,
                message.headers.as_ref(),
                &message.payload,
                age(stored.time),
            );
        }
        Ok(())
    }

    /// Takes a change of the bucket.
    pub(in crate::engine::nats) fn hear(
        &mut self,
        subject: &str,
        headers: Option<&HeaderMap>,
        value: &[u8],
        age: Duration,
    ) {
        let Some(topic) = parse_token(last_token(subject)) else {
            return;
        };
        match parse(value).filter(|_| !is_removal(headers)) {
            Some(keep) => self.insert(topic, keep, age),
            None => drop(self.topics.remove(&topic)),
        }
    }

    fn insert(&mut self, topic: Topic, keep: Keep, age: Duration) {
        let now = Instant::now();
        let written = now.checked_sub(age).unwrap_or(now);
        self.topics.insert(topic, Entry { keep, written });
    }

    pub(in crate::engine::nats) fn get(&self, topic: &Topic) -> Option<Keep> {
        self.topics.get(topic).map(|entry| entry.keep)
    }

    /// What the topic is to keep, if that has to be written: it is more than now, or the entry has to be renewed.
    pub(in crate::engine::nats) fn want(&mut self, topic: &Topic, keep: Keep) -> Option<Keep> {
        let wanted = self.bounded(keep);
        if wanted.count == 0 || wanted.seconds == 0 {
            return None;
        }
        let entry = self.topics.get(topic);
        let merged = entry.map_or(wanted, |entry| longer(entry.keep, wanted));
        let is_new = entry.is_none_or(|entry| entry.keep != merged || self.is_old(*entry));
        if !is_new {
            return None;
        }
        // From now on, before the server knows: the requests that follow count on it.
        self.insert(topic.clone(), merged, Duration::ZERO);
        Some(merged)
    }

    /// What the topic keeps, if its entry has to be written again to live on.
    pub(in crate::engine::nats) fn renew(&mut self, topic: &Topic) -> Option<Keep> {
        let entry = *self.topics.get(topic)?;
        self.is_old(entry)
            .then(|| self.want(topic, entry.keep))
            .flatten()
    }

    fn is_old(&self, entry: Entry) -> bool {
        entry.written.elapsed() > self.life / 2
    }

    /// The server has refused an entry.
    pub(in crate::engine::nats) fn remove(&mut self, topic: &Topic) {
        self.topics.remove(topic);
    }

    /// Drops the entries that the server has dropped.
    pub(in crate::engine::nats) fn expire(&mut self) {
        let life = self.life;
        self.topics
            .retain(|_, entry| entry.written.elapsed() < life);
    }

    fn bounded(&self, keep: Keep) -> Keep {
        let seconds = u32::try_from(self.bounds.age.as_secs()).unwrap_or(u32::MAX);
        Keep {
            count: keep.count.min(self.bounds.count),
            seconds: keep.seconds.min(seconds),
        }
    }
}

/// Writes that a topic is to keep this, or more if another runner wants that.
///
/// # Errors
///
/// If the server refuses, as when there are too many topics, or does not answer.
pub(in crate::engine::nats) async fn write(
    streams: &Streams,
    topic: &Topic,
    keep: Keep,
) -> Result<(), EngineError> {
    for _ in 0..ATTEMPTS {
        let (sequence, stored) = stored(streams, topic).await?;
        let keep = stored.map_or(keep, |stored| longer(stored, keep));
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, sequence.to_string());
        let value = format!("{VERSION} {} {}", keep.count, keep.seconds);
        let key = streams.names.kept_key(topic);
        if let Put::Stored(_) = streams.put(key, headers, value.into()).await? {
            return Ok(());
        }
    }
    Err(EngineError(format!(
        "other runners keep changing what the topic {topic:?} keeps"
    )))
}

/// The sequence of what is stored, 0 if nothing is, and what it says.
async fn stored(streams: &Streams, topic: &Topic) -> Result<(u64, Option<Keep>), EngineError> {
    let key = streams.names.kept_key(topic);
    match streams.kept.direct_get_last_for_subject(key).await {
        Ok(message) if is_removal(Some(&message.headers)) => Ok((message.sequence, None)),
        Ok(message) => Ok((message.sequence, parse(&message.payload))),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok((0, None)),
        Err(error) => Err(failed(&error)),
    }
}

fn longer(one: Keep, other: Keep) -> Keep {
    Keep {
        count: one.count.max(other.count),
        seconds: one.seconds.max(other.seconds),
    }
}

fn parse(value: &[u8]) -> Option<Keep> {
    let mut words = std::str::from_utf8(value).ok()?.split(' ');
    (words.next()? == VERSION).then_some(())?;
    Some(Keep {
        count: words.next()?.parse().ok()?,
        seconds: words.next()?.parse().ok()?,
    })
}

/// How long ago a time is, in nanoseconds since 1970; not at all if the server's clock is ahead of ours.
pub(in crate::engine::nats) fn age(time: i128) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.ok().and_then(|now| i128::try_from(now.as_nanos()).ok());
    let age = now.and_then(|now| now.checked_sub(time));
    let age = age.and_then(|age| u64::try_from(age).ok()).unwrap_or(0);
    Duration::from_nanos(age)
}
