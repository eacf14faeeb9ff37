//! Settings and state shared by the sessions of a worker.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::contract::clock::Clock;
use crate::limits::fair_share::Turns;
use crate::limits::unsent::UnsentBudget;
use crate::observe::metrics::Metrics;
use crate::pool::Pool;
use crate::session::moving::departure::Exit;
use crate::session::read_buffer::ReadBuffer;
use crate::session::sleep::in_common::InCommon;
use crate::topics::settings::TopicSettings;

/// Limits on connections that the app has taken over.
#[derive(Clone, Copy, Debug)]
pub struct SessionSettings {
    /// How long a peer may acknowledge nothing of its output.
    pub send_timeout: Duration,
    /// How long a connection may be idle, with nothing sent or received; `None` means no limit.
    pub idle_timeout: Option<Duration>,
    /// How long a connection may last; `None` means no limit. A WebSocket is then closed with 1012.
    pub max_lifetime: Option<Duration>,
    /// How long a connection of the event form is not used until it sleeps; `None` means that none sleeps.
    pub hibernate_after: Option<Duration>,
    /// The most bytes read from a connection per second; 0 means no limit.
    pub max_bytes_per_second: u32,
    /// How connections move to a new version of the component.
    pub swap: SwapSettings,
}

/// What becomes of connections when the component is replaced. They move to the new version when they are at rest.
#[derive(Clone, Copy, Debug)]
pub struct SwapSettings {
    /// How long a connection may take until it is at rest. A WebSocket is then closed with 1012.
    pub grace: Duration,
    /// What to do with a connection whose state the new version refuses.
    pub refused: Refused,
}

/// What to do with a connection whose state the new version of the component refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It keeps the old version until it ends.
    Keep,
    /// It ends: a WebSocket is closed with 1012.
    Close,
}

impl Default for SwapSettings {
    /// 30 s, and connections that are refused keep the old version.
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(30),
            refused: Refused::Keep,
        }
    }
}

impl Default for SessionSettings {
    /// A send timeout of 30 s, an idle timeout of 10 minutes, no limit on lifetime and rate; sleep after a minute.
    fn default() -> Self {
        Self {
            send_timeout: Duration::from_secs(30),
            idle_timeout: Some(Duration::from_secs(600)),
            max_lifetime: None,
            hibernate_after: Some(Duration::from_secs(60)),
            max_bytes_per_second: 0,
            swap: SwapSettings::default(),
        }
    }
}

/// State shared by the sessions of one thread.
#[derive(Debug)]
pub struct SessionContext {
    pub(crate) settings: SessionSettings,
    /// The instances that connections are woken on.
    pub(crate) pool: Rc<Pool>,
    /// The most unsent output of a connection, in bytes.
    pub(crate) max_backlog: usize,
    pub(crate) read_buffer: Rc<ReadBuffer>,
    pub(crate) unsent: Arc<UnsentBudget>,
    pub(crate) topics: Arc<TopicSettings>,
    pub(crate) turns: Rc<Turns>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    /// What connections that sleep have in common.
    pub(crate) sleep: InCommon,
    /// The way to another process that takes the connections over, while there is one.
    pub(crate) exit: Exit,
}
