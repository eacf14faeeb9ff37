//! Limits on the resources of a guest instance.

use std::time::Duration;

use crate::contract::bindings::MessageLimits;

/// What an instance may use, and what its connections' peers may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Memory of all its memories and tables, in bytes.
    pub memory: usize,
    /// CPU time of one call.
    pub call_time: Duration,
    /// Time one call may wait for files, if a directory was granted.
    pub file_time: Duration,
    /// CPU time of its start functions, before it can be called.
    pub start_time: Duration,
    /// [Limits on the messages](crate::guest::Guest::set_limits) of each connection; `None` leaves them to the guest.
    pub message_limits: Option<MessageLimits>,
}

impl Default for Limits {
    /// 64 MiB, 1 second per call, 5 seconds for files, 1 second to start, no limits on messages.
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            call_time: Duration::from_secs(1),
            file_time: Duration::from_secs(5),
            start_time: Duration::from_secs(1),
            message_limits: None,
        }
    }
}
