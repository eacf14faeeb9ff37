//! What the sessions of a worker share.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::contract::clock::Clock;
use crate::limits::unsent::UnsentBudget;
use crate::observe::metrics::Metrics;
use crate::session::read_buffer::ReadBuffer;

/// What a connection that an app has taken over is held to.
#[derive(Clone, Copy, Debug)]
pub struct SessionSettings {
    /// How long a peer may accept none of its output.
    pub send_timeout: Duration,
    /// How long nothing may be sent or received; `None` is no limit.
    pub idle_timeout: Option<Duration>,
    /// How long a connection may last; `None` is no limit. A WebSocket is closed with 1012 then.
    pub max_lifetime: Option<Duration>,
    /// The most bytes read from a connection in a second; 0 is no limit.
    pub max_bytes_per_second: u32,
}

impl Default for SessionSettings {
    /// 30 s to send, 10 minutes of silence, no limit on the lifetime and the rate.
    fn default() -> Self {
        Self {
            send_timeout: Duration::from_secs(30),
            idle_timeout: Some(Duration::from_secs(600)),
            max_lifetime: None,
            max_bytes_per_second: 0,
        }
    }
}

/// What the sessions of one thread have in common.
#[derive(Debug)]
pub struct SessionContext {
    pub(crate) settings: SessionSettings,
    /// The most output that may wait for one peer.
    pub(crate) max_backlog: usize,
    pub(crate) read_buffer: Rc<ReadBuffer>,
    pub(crate) unsent: Arc<UnsentBudget>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
}
