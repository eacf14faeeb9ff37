use core::time::Duration;

/// The bounds within which one connection is served. Every one is on by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest message that is received, in bytes, all fragments together. Default 1 MiB:
    /// holds what applications commonly send, and a thousand hostile peers cost a gigabyte at most.
    ///
    /// A frame that would exceed it fails the connection with close code 1009 as soon as its header
    /// announces so; memory is taken for bytes that have arrived, never for announced ones.
    pub max_message_size: usize,
    /// How long a peer may take to answer our Close frame. Default 5 seconds. Then the connection is
    /// aborted.
    pub close_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_size: 1 << 20,
            close_timeout: Duration::from_secs(5),
        }
    }
}
