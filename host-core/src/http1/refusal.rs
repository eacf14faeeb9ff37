//! The host's own responses.

use alloc::format;
use alloc::string::String;
use core::fmt;

/// The most bytes of a value that a log gets.
const MAX_FOUND: usize = 256;

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

    /// A refusal with this status and sentence.
    #[must_use]
    pub const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }

    /// The refusal of a request because of these bytes in it.
    #[must_use]
    pub fn because_of(self, value: &[u8]) -> Refused {
        self.with(quoted(value))
    }

    /// The refusal of a request, with what the operator needs to know: a limit, or the values compared.
    #[must_use]
    pub fn with(self, found: String) -> Refused {
        Refused {
            refusal: self,
            found,
        }
    }
}

/// A request that is refused, and why exactly: for the host's log. Displayed as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The answer to the client.
    pub refusal: Refusal,
    /// What was found in the request, or which limit it exceeds; empty if the reason says it all.
    pub found: String,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        refusal.with(String::new())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.refusal.reason;
        match &*self.found {
            "" => f.write_str(reason),
            found => write!(f, "{}: {found}", reason.trim_end_matches('.')),
        }
    }
}

/// Bytes that a client sent, for a log: in quotes, all but visible ASCII characters escaped, and cut.
#[must_use]
pub fn quoted(bytes: &[u8]) -> String {
    let beginning = bytes.get(..MAX_FOUND).unwrap_or(bytes);
    format!("'{}'", beginning.escape_ascii())
}

/// RFC 9112 §2.2: octets that do not "match the HTTP-message grammar" get a 400.
pub(crate) const fn bad(reason: &'static str) -> Refusal {
    Refusal::new(400, reason)
}
