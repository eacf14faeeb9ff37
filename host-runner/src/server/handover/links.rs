//! The connection between the two processes: records in, and a queue of records out.

use std::os::fd::OwnedFd;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::error::HandoverError;
use super::wire::{Hello, decode, encode};
use crate::net::records::{Record, RecordReader, RecordWriter, records};

/// How long the other process may take to say what it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

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
pub(super) struct Sender(mpsc::UnboundedSender<Outgoing>);

impl Link {
    /// Must be called within a tokio runtime.
    pub(super) fn new(socket: UnixStream) -> Self {
        let (reader, writer) = records(socket);
        let (sender, queue) = mpsc::unbounded_channel();
        spawn_local(send_all(writer, queue));
        Self {
            reader,
            sender: Sender(sender),
        }
    }

    /// Waits for what the other process says first.
    pub(super) async fn hello(&mut self) -> Result<Hello, HandoverError> {
        let first = timeout(HELLO_TIMEOUT, self.reader.next()).await;
        let first = first.map_err(|_| HandoverError::Garbled)??;
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
        // If this fails, the socket has.
        let _ = self.0.send(Outgoing {
            bytes,
            descriptor,
            is_sent,
        });
    }
}

/// Sends what is in the queue, until the socket fails or there are no more senders.
async fn send_all(mut writer: RecordWriter, mut queue: mpsc::UnboundedReceiver<Outgoing>) {
    while let Some(outgoing) = queue.recv().await {
        let descriptor = outgoing.descriptor.as_ref();
        if writer.send(&outgoing.bytes, descriptor).await.is_err() {
            return;
        }
        if let Some(is_sent) = outgoing.is_sent {
            // The session is gone if its worker is.
            let _ = is_sent.send(());
        }
    }
}
