use alloc::string::String;
use core::fmt;

/// Why a request to a backend failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The app's mistake: the URL is not `http://HOST[:PORT]/PATH` or `https://..`, has user information, or
    /// has bytes that must be escaped.
    InvalidUrl,
    /// The app's mistake: the method or a field cannot be sent. The field may be reserved for the host.
    InvalidRequest(String),
    /// The app's mistake: the body is longer than [`MAX_REQUEST_BODY`](super::MAX_REQUEST_BODY).
    RequestTooBig,
    /// The host does not allow requests to this backend (the runner: `--allow-http`).
    Denied,
    /// The instance has reached the host's limit of concurrent requests.
    TooMany,
    /// There is no host that sends requests.
    Unavailable,
    /// The backend cannot be reached, for the reason that the host gives.
    Unreachable(String),
    /// The backend took too long.
    TimedOut,
    /// The backend broke off, or did not send HTTP, as the host reports.
    Lost(String),
    /// The response is longer than the app allows.
    ResponseTooBig,
    /// The response is not UTF-8.
    NotUtf8,
    /// The response is not the JSON that the app expects, or a value cannot be written as JSON.
    Json,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUrl => f.write_str("the URL is not valid"),
            Self::InvalidRequest(what) => write!(f, "the request is not valid: {what}"),
            Self::RequestTooBig => f.write_str("the body of the request is too long"),
            Self::Denied => f.write_str("the host does not allow this backend"),
            Self::TooMany => f.write_str("too many requests are in progress"),
            Self::Unavailable => f.write_str("there is no host that sends requests"),
            Self::Unreachable(why) => write!(f, "the backend cannot be reached: {why}"),
            Self::TimedOut => f.write_str("the backend took too long"),
            Self::Lost(why) => write!(f, "the backend broke off: {why}"),
            Self::ResponseTooBig => f.write_str("the answer is too long"),
            Self::NotUtf8 => f.write_str("the answer is not UTF-8"),
            Self::Json => f.write_str("the JSON is not as expected"),
        }
    }
}

impl core::error::Error for Error {}
