//! How to reach Redis, and what to keep there.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The longest prefix, in bytes.
const MAX_PREFIX: usize = 64;

/// How to reach Redis, and what to keep there.
#[derive(Clone)]
pub(crate) struct Settings {
    /// `redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]`, with TLS `rediss://`, through a Unix socket
    /// `redis+unix:///PATH[?db=DATABASE&user=USER&pass=PASSWORD]`.
    pub(crate) url: String,
    /// A file with the password, instead of the one in the URL. Read for each connection.
    pub(crate) password_file: Option<PathBuf>,
    /// A file with certificates (PEM) to trust instead of the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// What all keys and channels begin with: letters, digits, `-`, `_`, `.`; 1 to 64 of them.
    pub(crate) prefix: String,
    /// How long members of a runner that says nothing more are still listed.
    pub(crate) lease: Duration,
    /// How long making a connection may take.
    pub(crate) connect_timeout: Duration,
    /// How long Redis may say nothing before it is asked whether it is there.
    pub(crate) idle: Duration,
    /// How long it may then take to answer.
    pub(crate) answer_timeout: Duration,
    /// The bounds on history.
    pub(crate) history: HistoryBounds,
}

/// The bounds on history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HistoryBounds {
    /// The most publications kept of a topic.
    pub(crate) count: u32,
    /// How long one is kept at most, in seconds.
    pub(crate) seconds: u32,
    /// The most bytes kept of a topic, and the most that are read at once.
    pub(crate) bytes: u64,
    /// How long Redis still knows where a topic stands after it was last used, in seconds.
    pub(crate) idle_topic: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: String::from("redis://127.0.0.1/"),
            password_file: None,
            ca_file: None,
            prefix: String::from("wasocket"),
            lease: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(5),
            idle: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(5),
            history: HistoryBounds::default(),
        }
    }
}

impl Default for HistoryBounds {
    fn default() -> Self {
        Self {
            count: 10_000,
            seconds: 24 * 60 * 60,
            bytes: 16 * 1024 * 1024,
            idle_topic: 7 * 24 * 60 * 60,
        }
    }
}

impl Settings {
    /// Whether keys may begin with this.
    pub(super) fn has_valid_prefix(&self) -> bool {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        (1..=MAX_PREFIX).contains(&self.prefix.len()) && self.prefix.bytes().all(is_allowed)
    }
}

/// Leaves out the URL, which may contain a password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("password_file", &self.password_file)
            .field("ca_file", &self.ca_file)
            .field("prefix", &self.prefix)
            .field("lease", &self.lease)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}
