//! Who is in a topic, and the removal of members whose runner is gone.

use std::collections::HashSet;

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::stream::DirectGetErrorKind;
use bytes::Bytes;

use super::leases::Suspect;
use crate::engine::nats::names::{last_token, parse_member_key, parse_runner};
use crate::engine::nats::store::read::{Reading, Stored, read_latest};
use crate::engine::nats::store::{Bucket, Put, Streams, failed, is_removal, removal};
use crate::engine::{EngineError, Members};
use crate::topic::Topic;

/// Members, and runners among them whose lease is unknown: it has ended, or it is new.
pub(in crate::engine::nats) struct Listing {
    pub(in crate::engine::nats) members: Members,
    pub(in crate::engine::nats) unknown: HashSet<u64>,
}

/// Lists the members of a topic, at most `most`, and counts them. Members of runners that are not `alive` do not count.
///
/// # Errors
///
/// If the server does not answer.
pub(in crate::engine::nats) async fn list(
    streams: &Streams,
    topic: &Topic,
    most: usize,
    alive: &HashSet<u64>,
) -> Result<Listing, EngineError> {
    let subjects = streams.names.members_of_topic(topic);
    let latest = DeliverPolicy::LastPerSubject;
    let mut reading = Reading::start(&streams.members, subjects, latest, false).await?;
    let mut listing = Listing {
        members: Members::default(),
        unknown: HashSet::new(),
    };
    listing.members.count = reading.pending;
    while listing.members.listed.len() < most {
        let wanted = most.saturating_sub(listing.members.listed.len());
        let chunk = reading
            .take(u64::try_from(wanted).unwrap_or(u64::MAX))
            .await?;
        if chunk.is_empty() {
            break;
        }
        chunk
            .into_iter()
            .for_each(|stored| listing.add(stored, alive));
    }
    reading.end(&streams.client).await?;
    Ok(listing)
}

impl Listing {
    fn add(&mut self, stored: Stored, alive: &HashSet<u64>) {
        let key = parse_member_key(&stored.message.subject).map(|(_, key)| key);
        let is_removed = is_removal(stored.message.headers.as_ref());
        match key {
            Some(key) if alive.contains(&key.runner) && !is_removed => {
                let info = Bytes::copy_from_slice(&stored.message.payload);
                self.members.listed.push((key, info));
            }
            _ => {
                self.members.count = self.members.count.saturating_sub(1);
                self.unknown
                    .extend(key.filter(|_| !is_removed).map(|key| key.runner));
            }
        }
    }
}

/// A lease as it is stored.
pub(in crate::engine::nats) struct StoredLease {
    pub(in crate::engine::nats) sequence: u64,
    pub(in crate::engine::nats) time: i128,
    pub(in crate::engine::nats) value: Bytes,
}

/// Reads one runner's lease; `None` if it has none.
pub(in crate::engine::nats) async fn lease(
    streams: &Streams,
    runner: u64,
) -> Result<Option<StoredLease>, EngineError> {
    let key = streams.names.runner_key(runner);
    match streams.runners.direct_get_last_for_subject(key).await {
        Ok(message) if is_removal(Some(&message.headers)) => Ok(None),
        Ok(message) => Ok(Some(StoredLease {
            sequence: message.sequence,
            time: message.time.unix_timestamp_nanos(),
            value: message.payload,
        })),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&error)),
    }
}

/// Reads all leases.
pub(in crate::engine::nats) async fn leases(
    streams: &Streams,
) -> Result<Vec<(u64, StoredLease)>, EngineError> {
    let keys = format!("$KV.{}.*", streams.names.runners());
    let stored = read_latest(&streams.client, &streams.runners, keys).await?;
    let present = stored
        .into_iter()
        .filter(|stored| !is_removal(stored.message.headers.as_ref()));
    Ok(present
        .filter_map(|stored| {
            let runner = parse_runner(last_token(&stored.message.subject))?;
            let lease = StoredLease {
                sequence: stored.sequence,
                time: stored.time,
                value: stored.message.payload.clone(),
            };
            Some((runner, lease))
        })
        .collect())
}

/// Removes the members of a runner whose lease has ended, and then the lease. Every runner that is subscribed hears of
/// each. If several do this at once, each member is removed by one of them. Returns the lease if the runner turns out to
/// be alive.
///
/// # Errors
///
/// If the server does not answer.
pub(in crate::engine::nats) async fn bury(
    streams: &Streams,
    suspect: Suspect,
) -> Result<Option<StoredLease>, EngineError> {
    let lease = lease(streams, suspect.runner).await?;
    if let Some(lease) = lease {
        if Some(lease.sequence) != suspect.heard {
            return Ok(Some(lease));
        }
        streams.forget(Bucket::Runners, lease.sequence).await?;
    }
    let keys = streams.names.members_of_runner(suspect.runner);
    for stored in read_latest(&streams.client, &streams.members, keys).await? {
        remove(streams, &stored).await?;
    }
    Ok(None)
}

/// Removes a member, unless it has changed since it was read.
async fn remove(streams: &Streams, stored: &Stored) -> Result<(), EngineError> {
    let message = &stored.message;
    if is_removal(message.headers.as_ref()) {
        return streams.forget(Bucket::Members, stored.sequence).await;
    }
    let mut headers = removal();
    headers.insert(
        NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
        stored.sequence.to_string(),
    );
    let info = Bytes::copy_from_slice(&message.payload);
    match streams
        .put(message.subject.to_string(), headers, info)
        .await?
    {
        Put::Stored(sequence) => streams.forget(Bucket::Members, sequence).await,
        Put::Changed => Ok(()),
    }
}
