//! The connection between the two processes: records in, and a queue of records out.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::select;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::error::HandoverError;
use super::wire::{Hello, decode, encode};
use crate::net::records::{Record, RecordReader, RecordWriter, records};

/// How long the other process may take to read a record.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes that wait to be sent: four times the history that topics may have by default.
const MAX_BACKLOG: usize = 256 << 20;

/// What is to be sent.
struct Outgoing {
    bytes: Vec<u8>,
    descriptor: Option<OwnedFd>,
    /// Told when it is sent; dropped if it cannot be.
    is_sent: Option<oneshot::Sender<()>>,
}

/// The way to the other process, and from it.
pub(super) struct Link {
    reader: RecordReader,
    pub(super) sender: Sender,
}

/// Sends to the other process, in order. What cannot be sent is dropped: the reader notices.
#[derive(Clone)]
pub(super) struct Sender {
    queue: mpsc::UnboundedSender<Outgoing>,
    backlog: Arc<Backlog>,
}

/// What waits to be sent.
#[derive(Default)]
struct Backlog {
    bytes: AtomicUsize,
    /// Notified when it is too much.
    is_full: Notify,
}

impl Link {
    /// Must be called within a tokio runtime.
    pub(super) fn new(socket: UnixStream) -> Self {
        let (reader, writer) = records(socket);
        let (sender, queue) = mpsc::unbounded_channel();
        let backlog = Arc::<Backlog>::default();
        spawn_local(send_all(writer, queue, Arc::clone(&backlog)));
        Self {
            reader,
            sender: Sender {
                queue: sender,
                backlog,
            },
        }
    }

    /// Waits for what the other process says first, for this long at most.
    pub(super) async fn hello(&mut self, patience: Duration) -> Result<Hello, HandoverError> {
        let first = timeout(patience, self.reader.next()).await;
        let first = first.map_err(|_| HandoverError::Silent(patience))??;
        let record = first.ok_or(HandoverError::Gone)?;
        Hello::of(&record.bytes).ok_or(HandoverError::Garbled)
    }

    /// Waits for the next message, and the descriptor that comes with it. Safe to drop and call again.
    pub(super) async fn next<T: DeserializeOwned>(
        &mut self,
    ) -> Result<(T, Option<OwnedFd>), HandoverError> {
        let record = self.reader.next().await?.ok_or(HandoverError::Gone)?;
        let Record { bytes, descriptor } = record;
        Ok((decode(&bytes)?, descriptor))
    }
}

impl Sender {
    pub(super) fn hello(&self) {
        self.queue(Hello::own().to_bytes(), None, None);
    }

    pub(super) fn send(&self, message: &impl Serialize) {
        self.pass(message, None, None);
    }

    /// Sends a message with a descriptor, if there is one, and tells `is_sent`.
    pub(super) fn pass(
        &self,
        message: &impl Serialize,
        descriptor: Option<OwnedFd>,
        is_sent: Option<oneshot::Sender<()>>,
    ) {
        if let Ok(bytes) = encode(message) {
            self.queue(bytes, descriptor, is_sent);
        }
    }

    fn queue(
        &self,
        bytes: Vec<u8>,
        descriptor: Option<OwnedFd>,
        is_sent: Option<oneshot::Sender<()>>,
    ) {
        let length = bytes.len();
        if self.backlog.bytes.fetch_add(length, Relaxed) > MAX_BACKLOG {
            self.backlog.is_full.notify_one();
        }
        // If this fails, the socket has.
        let _ = self.queue.send(Outgoing {
            bytes,
            descriptor,
            is_sent,
        });
    }
}

/// Sends what is in the queue, until the socket fails, the other process does not read, or there are no more senders.
async fn send_all(
    mut writer: RecordWriter,
    mut queue: mpsc::UnboundedReceiver<Outgoing>,
    backlog: Arc<Backlog>,
) {
    while let Some(outgoing) = queue.recv().await {
        let descriptor = outgoing.descriptor.as_ref();
        let sent = select! {
            sent = timeout(READ_TIMEOUT, writer.send(&outgoing.bytes, descriptor)) => {
                matches!(sent, Ok(Ok(())))
            }
            () = backlog.is_full.notified() => false,
        };
        if !sent {
            return;
        }
        backlog.bytes.fetch_sub(outgoing.bytes.len(), Relaxed);
        if let Some(is_sent) = outgoing.is_sent {
            // The session is gone if its worker is.
            let _ = is_sent.send(());
        }
    }
}
