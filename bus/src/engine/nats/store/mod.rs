//! What the server stores: one stream and three buckets, made by whichever runner comes first.

pub(super) mod read;

use std::time::Duration;

use async_nats::client::Request;
use async_nats::jetstream::context::{CreateStreamErrorKind, RequestErrorKind};
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, Republish, Stream};
use async_nats::jetstream::{self, Context, ErrorCode};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use serde_json::Value;

use crate::engine::EngineError;
use crate::engine::nats::names::Names;
use crate::engine::nats::tuning::Bounds;

/// What is said where JetStream is needed and off.
pub(in crate::engine::nats) const NO_JETSTREAM: &str = "the NATS server has no JetStream, which history and members need: start it as \
                                       `nats-server -js`, or enable JetStream for this account";

/// How long a stream recognises a publication that comes again.
const RECOGNISED: Duration = Duration::from_secs(120);

/// A topic that is not used for this time loses its history.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What the server stores.
#[derive(Clone, Debug)]
pub(in crate::engine::nats) struct Streams {
    pub(in crate::engine::nats) client: Client,
    pub(in crate::engine::nats) names: Names,
    pub(in crate::engine::nats) history: Stream,
    pub(in crate::engine::nats) kept: Stream,
    pub(in crate::engine::nats) members: Stream,
    pub(in crate::engine::nats) runners: Stream,
    /// A new stream of history is a new epoch: the time when it was made.
    pub(in crate::engine::nats) epoch: u64,
}

/// What NATS' tools take as the removal of a key.
const OPERATION: &str = "KV-Operation";
const REMOVED: &str = "DEL";

/// Whether a message removes a key of a bucket.
pub(in crate::engine::nats) fn is_removal(headers: Option<&HeaderMap>) -> bool {
    headers.is_some_and(|headers| headers.get(OPERATION).is_some())
}

/// The headers of a removal.
pub(in crate::engine::nats) fn removal() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(OPERATION, REMOVED);
    headers
}

/// What became of a message for a stream.
pub(in crate::engine::nats) enum Put {
    /// It is stored, with this sequence.
    Stored(u64),
    /// Somebody else has changed the key since it was read.
    Changed,
}

/// The buckets from which single entries are removed.
#[derive(Clone, Copy)]
pub(in crate::engine::nats) enum Bucket {
    Members,
    Runners,
}

impl Streams {
    /// Stores a message, and waits until that is certain.
    ///
    /// # Errors
    ///
    /// If the server refuses, or does not answer.
    pub(in crate::engine::nats) async fn put(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Put, EngineError> {
        let request = Request::new().headers(headers).payload(payload);
        let answer = self.client.send_request(subject, request).await;
        let answer = answer.map_err(|error| failed(&error))?;
        match stored(&answer.payload)? {
            Ok(ack) => Ok(Put::Stored(ack.sequence)),
            Err(error) if error.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE => {
                Ok(Put::Changed)
            }
            Err(error) => Err(refused(&error)),
        }
    }

    /// Removes an entry without a trace. The server is not waited for.
    ///
    /// # Errors
    ///
    /// If the connection is gone.
    pub(in crate::engine::nats) async fn forget(
        &self,
        bucket: Bucket,
        sequence: u64,
    ) -> Result<(), EngineError> {
        let bucket = match bucket {
            Bucket::Members => self.names.members(),
            Bucket::Runners => self.names.runners(),
        };
        let subject = format!("$JS.API.STREAM.MSG.DELETE.KV_{bucket}");
        let request = format!("{{\"seq\":{sequence},\"no_erase\":true}}");
        let sent = self.client.publish(subject, request.into()).await;
        sent.map_err(|error| failed(&error))
    }
}

/// What a stream answers to a publication.
///
/// # Errors
///
/// If it is no such answer.
pub(in crate::engine::nats) fn stored(
    payload: &[u8],
) -> Result<Result<PublishAck, jetstream::Error>, EngineError> {
    match serde_json::from_slice(payload).map_err(|error| failed(&error))? {
        Response::Ok(ack) => Ok(Ok(ack)),
        Response::Err { error } => Ok(Err(error)),
    }
}

/// The error of a request to JetStream.
pub(in crate::engine::nats) fn failed(error: &dyn std::fmt::Display) -> EngineError {
    EngineError(format!(
        "JetStream of the NATS server does not answer as expected: {error}"
    ))
}

/// What to do about a publication that a stream refuses.
pub(in crate::engine::nats) fn refused(error: &jetstream::Error) -> EngineError {
    EngineError(format!(
        "JetStream of the NATS server stores nothing: {error}; give it more storage, or lower the bounds"
    ))
}

/// Opens what is there, and makes what is not; `None` if the server has no JetStream.
///
/// # Errors
///
/// If the server refuses, or does not answer.
pub(in crate::engine::nats) async fn open(
    context: &Context,
    names: &Names,
    bounds: &Bounds,
) -> Result<Option<Streams>, EngineError> {
    if !has_jetstream(context).await? {
        return Ok(None);
    }
    let history = ensure(context, history(names, bounds)).await?;
    let epoch = history.cached_info().created.unix_timestamp_nanos();
    Ok(Some(Streams {
        client: context.client(),
        names: names.clone(),
        epoch: u64::try_from(epoch)
            .map_err(|_| unusable("the clock of the NATS server is before 1970"))?,
        history,
        kept: ensure(context, kept(names, bounds)).await?,
        members: ensure(context, bucket(names.members(), names.member_pattern())).await?,
        runners: ensure(context, bucket(names.runners(), names.runner_pattern())).await?,
    }))
}

/// How long a topic that is not used goes on having history.
pub(in crate::engine::nats) fn unused(bounds: &Bounds) -> Duration {
    bounds.age.saturating_mul(2).max(DAY)
}

async fn has_jetstream(context: &Context) -> Result<bool, EngineError> {
    // Not `query_account`, which cannot read what servers before 2.10 say.
    let answer = context.request("INFO", &()).await;
    match answer {
        Ok(Response::Ok(Value::Object(_))) => Ok(true),
        Ok(Response::Err { error }) if is_off(error.error_code()) => Ok(false),
        Ok(Response::Ok(_)) => Err(unusable(
            "the NATS server does not say whether it has JetStream",
        )),
        Ok(Response::Err { error }) => Err(failed(&error)),
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(false),
        Err(error) => Err(failed(&error)),
    }
}

fn is_off(code: ErrorCode) -> bool {
    code == ErrorCode::JETSTREAM_NOT_ENABLED || code == ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT
}

async fn ensure(context: &Context, wanted: Config) -> Result<Stream, EngineError> {
    let stream = context.get_or_create_stream(wanted.clone()).await;
    let mut stream = stream.map_err(|error| cannot("make", &wanted.name, &error.kind()))?;
    let Info { config, .. } = stream.cached_info();
    let Some(changed) = changed(config, &wanted)? else {
        return Ok(stream);
    };
    let updated = context.update_stream(changed).await;
    updated.map_err(|error| cannot("change the bounds of", &wanted.name, &error.kind()))?;
    let info = stream.info().await;
    info.map_err(|error| {
        unusable(&format!(
            "the NATS server does not answer about {}: {error}",
            wanted.name
        ))
    })?;
    Ok(stream)
}

/// The configuration of a stream that exists, with our bounds, if it has others. Whatever else the operator has chosen,
/// such as replicas, stays.
fn changed(existing: &Config, wanted: &Config) -> Result<Option<Config>, EngineError> {
    if existing.republish != wanted.republish
        || existing.subjects != wanted.subjects
        || !existing.allow_direct
    {
        let name = &wanted.name;
        return Err(unusable(&format!(
            "the NATS stream {name} exists and is not Wasocket's: delete it, or choose another prefix"
        )));
    }
    let changed = Config {
        max_bytes: wanted.max_bytes,
        max_messages: wanted.max_messages,
        max_messages_per_subject: wanted.max_messages_per_subject,
        max_age: wanted.max_age,
        duplicate_window: wanted.duplicate_window,
        ..existing.clone()
    };
    Ok((changed != *existing).then_some(changed))
}

fn history(names: &Names, bounds: &Bounds) -> Config {
    let (source, destination) = names.keep_pattern();
    Config {
        max_bytes: i64::try_from(bounds.bytes).unwrap_or(i64::MAX),
        max_messages_per_subject: bounds.count.max(1).into(),
        max_age: bounds.age,
        discard: DiscardPolicy::Old,
        duplicate_window: RECOGNISED.min(bounds.age),
        ..stream(names.history(), source, destination)
    }
}

fn kept(names: &Names, bounds: &Bounds) -> Config {
    Config {
        max_messages: i64::try_from(bounds.topics).unwrap_or(i64::MAX),
        max_age: unused(bounds),
        ..bucket(names.kept(), names.kept_pattern())
    }
}

/// What NATS' tools show as a bucket of keys and values; its changes are sent on.
fn bucket(name: String, (source, destination): (String, String)) -> Config {
    Config {
        subjects: vec![format!("$KV.{name}.>")],
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        ..stream(format!("KV_{name}"), source, destination)
    }
}

fn stream(name: String, source: String, destination: String) -> Config {
    Config {
        name,
        subjects: vec![source.clone()],
        max_bytes: -1,
        max_messages: -1,
        max_consumers: -1,
        max_message_size: -1,
        num_replicas: 1,
        duplicate_window: RECOGNISED,
        allow_direct: true,
        republish: Some(Republish {
            source,
            destination,
            headers_only: false,
        }),
        ..Config::default()
    }
}

fn cannot(what: &str, name: &str, kind: &CreateStreamErrorKind) -> EngineError {
    unusable(&format!("cannot {what} the NATS stream {name}: {kind}"))
}

fn unusable(text: &str) -> EngineError {
    EngineError(text.to_owned())
}
