//! State shared by all clients.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use wasi::clocks::{monotonic_clock, wall_clock};
use wasocket_host_core::http1::imf_fixdate;

use crate::handler::{ConnectionId, Instant};
use crate::log::Log;
use crate::options::Options;
use crate::topics::Topics;

/// State shared by all clients.
pub(crate) struct Context {
    pub(crate) options: Options,
    pub(crate) log: Log,
    pub(crate) topics: Topics,
    /// The connections to be woken in the next round.
    woken: BTreeSet<ConnectionId>,
    last_id: ConnectionId,
}

impl Context {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            log: Log::new(options.verbosity),
            topics: Topics::new(epoch()),
            options,
            woken: BTreeSet::new(),
            last_id: 0,
        }
    }

    /// The time, on the handler's clock.
    pub(crate) fn now(&self) -> Instant {
        monotonic_clock::now()
    }

    /// The value of `Date`.
    pub(crate) fn date(&self) -> Option<String> {
        imf_fixdate(wall_clock::now().seconds)
    }

    /// A new connection number.
    pub(crate) fn next_id(&mut self) -> ConnectionId {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }

    /// Has these connections woken in the next round.
    pub(crate) fn wake(&mut self, ids: Vec<ConnectionId>) {
        self.woken.extend(ids);
    }

    /// The connections to be woken in this round.
    pub(crate) fn take_woken(&mut self) -> BTreeSet<ConnectionId> {
        mem::take(&mut self.woken)
    }
}

/// A number that grows from start to start.
fn epoch() -> u64 {
    let now = wall_clock::now();
    let nanoseconds = now.seconds.wrapping_mul(1_000_000_000);
    nanoseconds.wrapping_add(now.nanoseconds.into())
}
