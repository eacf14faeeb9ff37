mod ceiling;

pub use ceiling::Ceiling;

use core::time::Duration;

/// The bounds within which one connection is served. Every one is on by default, but those whose default
/// is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest message that is received, in bytes, all fragments together. Default 1 MiB:
    /// holds what applications commonly send, and a thousand hostile peers cost a gigabyte at most.
    ///
    /// Of a compressed message the decompressed bytes count, while they are decompressed.
    ///
    /// A frame that would exceed it fails the connection with close code 1009 as soon as its header
    /// announces so; memory is taken for bytes that have arrived, never for announced ones.
    pub max_message_size: usize,
    /// The longest frame that is received, in bytes. Default 1 MiB, as for messages. Exceeding it fails
    /// the connection with close code 1009 too.
    pub max_frame_size: usize,
    /// The most fragments that a message may have. Default 16,384: a message of 1 MiB in pieces of 64
    /// bytes. More fail the connection with close code 1008; empty fragments, which add nothing to the
    /// message and something to the work, are why there is such a limit.
    pub max_fragments: usize,
    /// How many messages a peer may send in a second; pings and pongs count, too. Default none: as many as it
    /// likes, since the right number is the app's (a chat: 20). At least one.
    ///
    /// More fail the connection with close code 1008. A second's worth may come at once. It is counted when they
    /// are read: those that came while the app did not receive, and the connection was not read for that, may
    /// have been sent in all that time.
    pub max_messages_per_second: Option<u32>,
    /// The longest message that is received in pieces, in bytes
    /// ([`Connection::stream_messages`](crate::Connection::stream_messages)); a frame of it may be as
    /// long. Default none: `max_message_size` and `max_frame_size` apply to it, too.
    ///
    /// It is no limit on messages that are received whole, nor on what an app collects of the pieces.
    /// Only the pieces take memory, so this may be more than fits into it. Of a message that is received
    /// in pieces each 64 bytes allow one fragment beyond `max_fragments`.
    pub max_streamed_size: Option<u64>,
    /// How many bytes may be on their way to the peer before [`send`](crate::Sender::send) waits and
    /// [`try_send`](crate::Sender::try_send) gives messages back. Default 64 KiB: keeps a network busy, and
    /// costs little where many peers are slow.
    ///
    /// Frames count, as they are sent: headers, compressed payload, pings, pongs. A message is taken as long
    /// as less than this is on its way, so that the queue is bounded by this and one message; and a message
    /// of any length is taken when nothing is. Control frames never wait. Nor do a [`Handler`](crate::Handler)
    /// and a [`Connection`](crate::Connection), whose output is for the host to send.
    pub max_buffered_amount: usize,
    /// How long a server may take to answer a client's opening handshake. Default 10 seconds. (A server's
    /// time for a client's request is its host's to limit.)
    pub handshake_timeout: Duration,
    /// How long a peer may say nothing until it is pinged. Default 20 seconds. None: it is never
    /// pinged, and one that has gone without a word is not noticed.
    pub ping_interval: Option<Duration>,
    /// How long it may then go on saying nothing, before the connection is aborted. Default 20 seconds,
    /// so that one ping at most is unanswered.
    pub ping_timeout: Duration,
    /// How long a peer may take to answer our Close frame. Default 5 seconds. Then the connection is
    /// aborted.
    pub close_timeout: Duration,
    /// How long a connection may carry no message in either direction; pings and pongs do not count,
    /// while parts of messages do. Default none: for ever. Then it is closed with code 1001.
    ///
    /// A connection whose output the peer has not taken, or whose app does not take what has arrived, is
    /// not idle.
    pub idle_timeout: Option<Duration>,
    /// How long a connection may be open. Default none: for ever. Then it is closed with code 1012, upon
    /// which clients reconnect, to another server or with other rights perhaps. A message that is under
    /// way is cut off.
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

    /// The same, but for how long, and in how many fragments, whole messages may be: as
    /// [`for_messages`](Self::for_messages) has it.
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

    /// Those that concern the single message.
    pub(crate) fn of_message(&self) -> MessageLimits {
        MessageLimits {
            max_message_size: self.max_message_size,
            max_frame_size: self.max_frame_size,
            max_fragments: self.max_fragments,
            max_streamed_size: self.max_streamed_size,
        }
    }
}

impl Default for Limits {
    /// Those for messages of 1 MiB.
    fn default() -> Self {
        Self::for_messages(1 << 20)
    }
}

/// The limits that a message has when it begins, and keeps to its end. See [`Limits`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageLimits {
    pub(crate) max_message_size: usize,
    pub(crate) max_frame_size: usize,
    pub(crate) max_fragments: usize,
    pub(crate) max_streamed_size: Option<u64>,
}

impl MessageLimits {
    /// The longest message that is received in pieces.
    pub(crate) fn streamed_message_size(&self) -> u64 {
        self.max_streamed_size
            .unwrap_or(self.max_message_size as u64)
    }
}
