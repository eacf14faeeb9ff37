//! Reading a topic's history, and saying honestly whether something is missing.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::stream::{DirectGetErrorKind, Info};

use crate::engine::nats::store::read::{Reading, Stored};
use crate::engine::nats::store::{Streams, failed};
use crate::engine::nats::wire::received;
use crate::engine::{EngineError, History, Received};
use crate::message::{Keep, Start};
use crate::position::Position;
use crate::topic::Topic;

/// Publications read at a time.
const CHUNK: u64 = 256;

/// The most bytes that one answer holds; older publications are left out.
const MOST_BYTES: usize = 64 << 20;

/// A topic whose history is to be read.
pub(in crate::engine::nats) struct Query {
    pub(in crate::engine::nats) topic: Topic,
    /// What it keeps; `None` if it was never told to keep something.
    pub(in crate::engine::nats) keep: Option<Keep>,
    pub(in crate::engine::nats) start: Start,
}

/// Reads it.
///
/// # Errors
///
/// If the server does not answer.
pub(in crate::engine::nats) async fn read(
    streams: Streams,
    query: Query,
) -> Result<History, EngineError> {
    let subject = streams.names.keep(&query.topic);
    let topic = Shelf {
        streams: &streams,
        subject,
    };
    // Before everything else: what is published from here on has a greater offset.
    let before = topic.info().await?;
    let history = match query.start {
        Start::Now => topic.empty(&before, true).await?,
        Start::Last(count) => topic.last(&before, count, query.keep).await?,
        Start::After(position) => topic.after(&before, position).await?,
    };
    let is_kept = query.keep.is_some() || !history.publications.is_empty();
    Ok(History {
        position: history.position.filter(|_| is_kept),
        ..history
    })
}

/// What the stream holds of one topic.
struct Shelf<'a> {
    streams: &'a Streams,
    subject: String,
}

impl Shelf<'_> {
    async fn info(&self) -> Result<Info, EngineError> {
        let info = self.streams.history.get_info().await;
        info.map_err(|error| failed(&error))
    }

    /// No publications, and where the topic stands. If nothing of it is left, the end of the whole stream serves: what
    /// is published from now on comes after that.
    async fn empty(&self, before: &Info, is_complete: bool) -> Result<History, EngineError> {
        let last = self
            .streams
            .history
            .direct_get_last_for_subject(&self.subject);
        let offset = match last.await {
            Ok(last) => last.sequence,
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => {
                before.state.last_sequence
            }
            Err(error) => return Err(failed(&error)),
        };
        Ok(History {
            publications: vec![],
            position: Some(self.position(offset)),
            is_complete,
        })
    }

    /// The latest publications, of those that the topic keeps.
    async fn last(
        &self,
        before: &Info,
        count: u32,
        keep: Option<Keep>,
    ) -> Result<History, EngineError> {
        let count = keep.map_or(count, |keep| count.min(keep.count));
        let mut found = Found::default();
        if count > 0 {
            let from = self.start_of_last(count.into()).await?;
            found = self.read_from(from).await?;
        }
        found.keep(count, keep);
        match found.last_offset() {
            Some(offset) => Ok(self.history(found, offset, 0, true)),
            None => self.empty(before, true).await,
        }
    }

    /// Where to begin to read the last `count`. The server finds no such place, but it reads headers quickly.
    async fn start_of_last(&self, count: u64) -> Result<DeliverPolicy, EngineError> {
        let all = DeliverPolicy::All;
        let mut headers =
            Reading::start(&self.streams.history, self.subject.clone(), all, true).await?;
        let skipped = headers.take(headers.pending.saturating_sub(count)).await?;
        headers.end(&self.streams.client).await?;
        let start = skipped
            .last()
            .map_or(1, |last| last.sequence.saturating_add(1));
        Ok(from_sequence(start))
    }

    /// Everything after a position.
    async fn after(&self, before: &Info, start: Position) -> Result<History, EngineError> {
        if start.epoch != self.streams.epoch || start.offset > before.state.last_sequence {
            return self.empty(before, false).await;
        }
        let found = self
            .read_from(from_sequence(start.offset.saturating_add(1)))
            .await?;
        let is_complete =
            !found.is_cut && self.has_all_after(start.offset, found.stored.len()).await?;
        match found.last_offset() {
            Some(offset) => Ok(self.history(found, offset, start.offset, is_complete)),
            None if is_complete => Ok(self.history(found, start.offset, start.offset, true)),
            None => self.empty(before, false).await,
        }
    }

    /// Whether all publications after an offset are still stored, where `found` of them are. The stream removes the
    /// oldest first: of all subjects when they are old or too many bytes, and of one subject when it has too many.
    async fn has_all_after(&self, offset: u64, found: usize) -> Result<bool, EngineError> {
        let info = self.info().await?;
        if info.state.last_sequence == offset {
            return Ok(true);
        }
        let most = usize::try_from(info.config.max_messages_per_subject).unwrap_or(usize::MAX);
        if info.state.first_sequence <= offset.saturating_add(1) && found < most {
            return Ok(true);
        }
        if offset == 0 {
            return Ok(false);
        }
        match self.streams.history.direct_get(offset).await {
            Ok(message) => Ok(message.subject.as_str() == self.subject),
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn read_from(&self, from: DeliverPolicy) -> Result<Found, EngineError> {
        let mut reading =
            Reading::start(&self.streams.history, self.subject.clone(), from, false).await?;
        let mut found = Found::default();
        loop {
            let chunk = reading.take(CHUNK).await?;
            if chunk.is_empty() {
                break;
            }
            chunk.into_iter().for_each(|stored| found.push(stored));
        }
        reading.end(&self.streams.client).await?;
        Ok(found)
    }

    /// `before` is the offset before the first.
    fn history(&self, found: Found, offset: u64, before: u64, is_complete: bool) -> History {
        let mut previous = before;
        let publications = found.stored.into_iter().map(|stored| {
            let offset = stored.sequence;
            let headers = stored.message.headers.as_ref();
            Received {
                position: Some(self.position(offset)),
                previous: Some(std::mem::replace(&mut previous, offset)),
                ..received(stored.message.payload.clone(), headers)
            }
        });
        History {
            publications: publications.collect(),
            position: Some(self.position(offset)),
            is_complete: is_complete && !found.is_cut,
        }
    }

    fn position(&self, offset: u64) -> Position {
        Position {
            epoch: self.streams.epoch,
            offset,
        }
    }
}

fn from_sequence(start_sequence: u64) -> DeliverPolicy {
    DeliverPolicy::ByStartSequence { start_sequence }
}

/// Publications that were read, oldest first.
#[derive(Default)]
struct Found {
    stored: VecDeque<Stored>,
    bytes: usize,
    /// Whether some were left out for their size.
    is_cut: bool,
}

impl Found {
    fn push(&mut self, stored: Stored) {
        self.bytes = self.bytes.saturating_add(stored.message.payload.len());
        self.stored.push_back(stored);
        while self.bytes > MOST_BYTES && self.stored.len() > 1 {
            self.is_cut = true;
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(stored) = self.stored.pop_front() {
            self.bytes = self.bytes.saturating_sub(stored.message.payload.len());
        }
    }

    /// Drops what is more than `count`, or older than the topic keeps.
    fn keep(&mut self, count: u32, keep: Option<Keep>) {
        let age = keep.map(|keep| Duration::from_secs(keep.seconds.into()));
        let oldest = age.and_then(nanoseconds_ago).unwrap_or(i128::MIN);
        let most = usize::try_from(count).unwrap_or(usize::MAX);
        while self.stored.len() > most
            || self.stored.front().is_some_and(|first| first.time < oldest)
        {
            self.drop_oldest();
        }
    }

    fn last_offset(&self) -> Option<u64> {
        self.stored.back().map(|stored| stored.sequence)
    }
}

/// This time ago, in nanoseconds since 1970.
fn nanoseconds_ago(age: Duration) -> Option<i128> {
    let then = SystemTime::now().checked_sub(age)?;
    let since = then.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i128::try_from(since.as_nanos()).ok()
}
