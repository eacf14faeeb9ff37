//! The host's own responses.

/// Why the host answers a request itself: no component sees it, or the one that did gave no answer that
/// can be sent. The connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// A sentence for the client.
    pub reason: &'static str,
}

impl Refusal {
    /// The stream ended within a head.
    pub const INCOMPLETE: Self = bad("the connection ended within the request head");
    /// [`HEAD_TIMEOUT`](super::limits::HEAD_TIMEOUT) passed within a head.
    pub const TIMEOUT: Self = Self::new(408, "the request head took too long");
    /// The component failed, or its answer cannot be sent. The reason is for the log only.
    pub const FAILED: Self = Self::new(500, "The application failed.");
    /// RFC 9110 §7.8: a server that receives `Upgrade` in HTTP/1.0 "MUST ignore that Upgrade field".
    pub const NEEDS_HTTP_11: Self = Self::new(501, "This needs HTTP/1.1.");
    /// RFC 9110 §15.6.2: a method that is "not recognized", here that of proxies. Refused from the head alone, since what
    /// follows it would be the tunnel's.
    pub const NOT_A_PROXY: Self = Self::new(501, "CONNECT is for proxies, and this is none");
    /// The component keeps failing, and is not asked for a while (RFC 9110 §15.6.4). The host adds
    /// `Retry-After`.
    pub const BACKING_OFF: Self = Self::new(503, "The application keeps failing. Try again later.");
    /// The component has not come to an answer in time.
    pub const APP_TIMEOUT: Self = Self::new(504, "The application took too long.");

    pub(crate) const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }
}

/// RFC 9112 §2.2: octets that do not "match the HTTP-message grammar" get a 400.
pub(crate) const fn bad(reason: &'static str) -> Refusal {
    Refusal::new(400, reason)
}
