//! What HTTP is held to, as plain values.

use std::time::Duration;

/// How requests are read and decided on.
#[derive(Clone, Copy, Debug)]
pub struct HttpSettings {
    /// How long a client may take for the head of a request, for a TLS handshake, and until it begins.
    pub head_timeout: Duration,
    /// The most bytes of the head of a request; 431 beyond.
    pub max_head: usize,
    /// How long the app may take to answer a request that it has to think about; 504 beyond.
    pub decision_timeout: Duration,
    /// Whether HTTP/2 is spoken alongside HTTP/1.1.
    pub http2: bool,
}

impl Default for HttpSettings {
    /// 10 s for a head of at most 64 KiB, 30 s for a decision, HTTP/1.1 only.
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            max_head: 64 << 10,
            decision_timeout: Duration::from_secs(30),
            http2: false,
        }
    }
}
