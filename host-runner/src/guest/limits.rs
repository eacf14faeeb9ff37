//! The resources that a guest instance may use.

use std::time::Duration;

use crate::contract::bindings::Ceiling;

/// What a guest may take, and have its peers send it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The bytes of all its memories and tables.
    pub memory: usize,
    /// The time of one call.
    pub call_time: Duration,
    /// The time that it may wait for files in one call, if it was granted a directory.
    pub file_time: Duration,
    /// The time until it can be called: that of its start functions.
    pub start_time: Duration,
    /// What connections are [limited](crate::guest::Guest::limit) to; none leaves it to the guest.
    pub ceiling: Option<Ceiling>,
}

impl Default for Limits {
    /// 64 MiB, 100 ms, 5 seconds for files, a second for the start, and no ceiling.
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            call_time: Duration::from_millis(100),
            file_time: Duration::from_secs(5),
            start_time: Duration::from_secs(1),
            ceiling: None,
        }
    }
}
