//! What connections may do with topics.

use wasocket_bus::message::Keep;

/// Limits on the topics of each connection, and what becomes of subscribers that do not keep up.
#[derive(Clone, Debug)]
pub struct TopicSettings {
    /// The most topics that a connection may subscribe to.
    pub max_subscriptions: usize,
    /// The most bytes of publications that wait for a connection until its output is sent.
    pub max_waiting: usize,
    /// What happens when there are more, by topic.
    pub slow_subscriber: ByPrefix<SlowSubscriber>,
    /// The history that topics have whatever the app asks for, by topic.
    pub history: ByPrefix<Option<Keep>>,
    /// The most publications of a connection per second; 0 means no limit. One that publishes more is read more slowly.
    pub max_publications_per_second: u32,
    /// The most deliveries that a connection may cause per second, in this process; 0 means no limit. One that causes
    /// more is read more slowly.
    pub max_deliveries_per_second: u32,
    /// The prefixes by which deliveries are counted in metrics.
    pub metrics_prefixes: Vec<String>,
}

impl Default for TopicSettings {
    /// 16 subscriptions for each connection, for which at most 1 MiB waits; slow ones are closed.
    fn default() -> Self {
        Self {
            max_subscriptions: 16,
            max_waiting: 1 << 20,
            slow_subscriber: ByPrefix::all(SlowSubscriber::Close),
            history: ByPrefix::all(None),
            max_publications_per_second: 0,
            max_deliveries_per_second: 0,
            metrics_prefixes: vec![],
        }
    }
}

/// What happens when more waits for a subscriber than may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowSubscriber {
    /// The connection is closed: a WebSocket with code 1013.
    Close,
    /// The oldest publications that wait are dropped.
    DropOldest,
    /// While output is unsent, only the latest publication of a topic waits.
    Latest,
}

/// A value for each topic, by what its name begins with. The longest prefix counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByPrefix<T> {
    /// For topics without one of the prefixes.
    otherwise: T,
    /// The longest first.
    prefixes: Vec<(String, T)>,
}

impl<T: Copy> ByPrefix<T> {
    /// The same for all topics.
    pub fn all(value: T) -> Self {
        Self {
            otherwise: value,
            prefixes: vec![],
        }
    }

    /// Sets the value of topics with this prefix; an empty one has all that have no other.
    pub fn set(&mut self, prefix: &str, value: T) {
        if prefix.is_empty() {
            self.otherwise = value;
            return;
        }
        self.prefixes.retain(|(other, _)| other != prefix);
        let longer = |(other, _): &(String, T)| other.len() >= prefix.len();
        let index = self.prefixes.partition_point(longer);
        self.prefixes.insert(index, (prefix.to_owned(), value));
    }

    /// The value of this topic.
    #[must_use]
    pub fn of(&self, topic: &str) -> T {
        let found = self
            .prefixes
            .iter()
            .find(|(prefix, _)| topic.starts_with(&**prefix));
        found.map_or(self.otherwise, |(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_counts() {
        let mut values = ByPrefix::all(0);
        values.set("a/", 1);
        values.set("a/b/", 2);
        values.set("a", 3);
        values.set("a/", 4);
        let of = ["a/b/c", "a/c", "ab", "b", ""].map(|topic| values.of(topic));
        assert_eq!(of, [2, 4, 3, 0, 0]);
        values.set("", 5);
        assert_eq!(values.of("b"), 5);
    }
}
