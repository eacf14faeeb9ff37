//! HTTP settings, as plain values.

use std::time::Duration;

/// How requests are read and decided on.
#[derive(Clone, Copy, Debug)]
pub struct HttpSettings {
    /// How long a client may take to send a request head, and for a TLS handshake. On a new connection it includes the
    /// wait before the head begins.
    pub head_timeout: Duration,
    /// How long a connection may be idle between requests. A proxy in front should close its idle connections earlier, or
    /// a request may cross with the close.
    pub keep_alive_timeout: Duration,
    /// The most bytes in a request head; larger heads get 431.
    pub max_head: usize,
    /// How long the app may take to answer a request that it does not answer at once; after that, 504.
    pub decision_timeout: Duration,
    /// Whether HTTP/2 is spoken alongside HTTP/1.1.
    pub http2: bool,
}

impl Default for HttpSettings {
    /// 10 s for a head of at most 64 KiB, 75 s between requests, 30 s for a decision, HTTP/1.1 only.
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            max_head: 64 << 10,
            decision_timeout: Duration::from_secs(30),
            http2: false,
        }
    }
}
