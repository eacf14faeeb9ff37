mod message_limits;

pub use message_limits::MessageLimits;

use core::time::Duration;

/// The bounds within which one connection is served. All are on by default, except those whose default is
/// `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest message that is received, in bytes, all fragments together. Default 1 MiB:
    /// holds what applications commonly send, and a thousand hostile peers cost a gigabyte at most.
    ///
    /// For a compressed message the decompressed bytes count, as they are decompressed.
    ///
    /// A frame that would exceed it fails the connection with close code 1009 as soon as its header says so.
    /// Memory is allocated for bytes that have arrived, never for announced ones.
    pub max_message_size: usize,
    /// The longest frame that is received, in bytes. Default 1 MiB, as for messages. A longer frame fails the
    /// connection with close code 1009, too.
    pub max_frame_size: usize,
    /// The most fragments that a message may have. Default 16,384: a message of 1 MiB in pieces of 64 bytes.
    /// More fail the connection with close code 1008. The limit exists because of empty fragments, which add
    /// work but nothing to the message.
    pub max_fragments: usize,
    /// The number of messages a peer may send per second; pings and pongs count, too. Default `None`, no
    /// limit, since the right number depends on the app (a chat: 20). At least one.
    ///
    /// More fail the connection with close code 1008. One second's worth may come in a burst. Messages count
    /// when they are read: if the connection was not read for a while because the app did not receive, the
    /// time it was not read counts in the peer's favour.
    pub max_messages_per_second: Option<u32>,
    /// The longest message that is received in pieces, in bytes
    /// ([`Connection::stream_messages`](crate::Connection::stream_messages)); one frame may be as long.
    /// Default `None`: `max_message_size` and `max_frame_size` apply to such messages, too.
    ///
    /// It does not limit messages that are received whole, nor what an app collects from the pieces. Only the
    /// pieces take memory, so this may exceed what memory holds. Every 64 bytes of a message that is received
    /// in pieces allow one fragment more than `max_fragments`.
    pub max_streamed_size: Option<u64>,
    /// The number of bytes that may be on their way to the peer before [`send`](crate::Sender::send) waits
    /// and [`try_send`](crate::Sender::try_send) gives messages back. Default 64 KiB: keeps a network busy,
    /// and costs little when many peers are slow.
    ///
    /// Frames count as they are sent: headers, compressed payload, pings, pongs. A message is accepted while
    /// less than this is on its way, so the queue is bounded by this plus one message; a message of any
    /// length is accepted when nothing is on its way. Control frames never wait. Neither do
    /// [`Handler`](crate::Handler) and [`Connection`](crate::Connection), whose output is the host's to send.
    pub max_buffered_amount: usize,
    /// How long a server may take to answer a client's opening handshake. Default 10 seconds. (How long a
    /// client may take to send its request is for the host to limit.)
    pub handshake_timeout: Duration,
    /// How long a peer may be silent before it is pinged. Default 20 seconds. With `None` it is never pinged,
    /// and a peer that vanishes goes unnoticed.
    pub ping_interval: Option<Duration>,
    /// How long the peer may stay silent after the ping before the connection is aborted. Default 20 seconds,
    /// so that at most one ping is unanswered.
    pub ping_timeout: Duration,
    /// How long a peer may take to answer our Close frame before the connection is aborted. Default 5
    /// seconds.
    pub close_timeout: Duration,
    /// How long a connection may carry no message in either direction before it is closed with code 1001.
    /// Pings and pongs do not count as messages; parts of messages do. Default `None`: forever.
    ///
    /// A connection is not idle while the peer has not taken its output, or the app has not taken its input.
    pub idle_timeout: Option<Duration>,
    /// How long a connection may be open before it is closed with code 1012. Clients then reconnect, perhaps
    /// to another server or with other rights. A message in progress is cut off. Default `None`: forever.
    pub max_lifetime: Option<Duration>,
}

impl Limits {
    /// The limits for messages of up to `size` bytes: in one frame, or in as many fragments of 64 bytes
    /// as that takes, but at least 16,384.
    #[must_use]
    pub fn for_messages(size: usize) -> Self {
        Self {
            max_message_size: size,
            max_frame_size: size,
            max_fragments: (size / 64).max(16_384),
            max_messages_per_second: None,
            max_streamed_size: None,
            max_buffered_amount: 64 << 10,
            handshake_timeout: Duration::from_secs(10),
            ping_interval: Some(Duration::from_secs(20)),
            ping_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(5),
            idle_timeout: None,
            max_lifetime: None,
        }
    }

    /// The same limits with the message size, frame size and fragments of
    /// [`for_messages`](Self::for_messages).
    pub(crate) fn with_max_message_size(self, size: usize) -> Self {
        let Self {
            max_message_size,
            max_frame_size,
            max_fragments,
            ..
        } = Self::for_messages(size);
        Self {
            max_message_size,
            max_frame_size,
            max_fragments,
            ..self
        }
    }

    /// The limits that apply to a single message.
    pub(crate) fn of_message(&self) -> SizeLimits {
        SizeLimits {
            max_message_size: self.max_message_size,
            max_frame_size: self.max_frame_size,
            max_fragments: self.max_fragments,
            max_streamed_size: self.max_streamed_size,
        }
    }
}

impl Default for Limits {
    /// The limits for messages of 1 MiB.
    fn default() -> Self {
        Self::for_messages(1 << 20)
    }
}

/// The limits in force when a message begins, which it keeps to its end. See [`Limits`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct SizeLimits {
    pub(crate) max_message_size: usize,
    pub(crate) max_frame_size: usize,
    pub(crate) max_fragments: usize,
    pub(crate) max_streamed_size: Option<u64>,
}

impl SizeLimits {
    /// The longest message that is received in pieces.
    pub(crate) fn streamed_message_size(&self) -> u64 {
        self.max_streamed_size
            .unwrap_or(self.max_message_size as u64)
    }
}
