//! The names of keys and channels.

use crate::topic::Topic;

/// The version of the layout: runners with another one do not see each other's publications.
const VERSION: u32 = 1;

/// The names of keys and channels. The braces put what belongs to one topic on one node of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    start: String,
    live: String,
}

impl Layout {
    pub(super) fn new(prefix: &str) -> Self {
        let start = format!("{prefix}:{VERSION}:");
        let live = format!("{start}live:");
        Self { start, live }
    }

    /// Where a topic stands and what it keeps. The scripts name its other keys after this one.
    pub(super) fn meta(&self, topic: &Topic) -> String {
        format!("{}meta:{{{topic}}}", self.start)
    }

    /// The leases of the runners. The scripts name the other keys of members after this one.
    pub(super) fn runners(&self) -> String {
        format!("{}runners", self.start)
    }

    /// The channel of a topic.
    pub(super) fn live(&self, topic: &Topic) -> String {
        format!("{}{topic}", self.live)
    }

    /// The topic of a channel.
    pub(super) fn topic(&self, channel: &[u8]) -> Option<Topic> {
        let name = channel.strip_prefix(self.live.as_bytes())?;
        Topic::new(std::str::from_utf8(name).ok()?).ok()
    }
}
