use alloc::string::String;
use core::fmt;

/// Why a backend has not been asked, or has not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The app's mistake: the URL is not `http://HOST[:PORT]/PATH` or `https://..`, has user information,
    /// or bytes that are to be escaped.
    InvalidUrl,
    /// The app's mistake: the method or a field cannot be sent; a field may be one that is the host's.
    InvalidRequest(String),
    /// The app's mistake: the body is longer than [`MAX_REQUEST_BODY`](super::MAX_REQUEST_BODY).
    RequestTooBig,
    /// The host does not allow this backend to be asked (the runner: `--allow-http`).
    Denied,
    /// Too many requests of this instance are under way, by the host's limit.
    TooMany,
    /// This is no host that sends requests.
    Unavailable,
    /// The backend cannot be reached; why, as the host says.
    Unreachable(String),
    /// The backend took too long.
    TimedOut,
    /// The backend broke off, or what it sent is no HTTP; as the host says.
    Lost(String),
    /// The answer is longer than the app takes.
    ResponseTooBig,
    /// The answer is no text.
    NotUtf8,
    /// The answer is not the JSON that the app expects; or what it wants to send is no JSON.
    Json,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUrl => f.write_str("the URL is not valid"),
            Self::InvalidRequest(what) => write!(f, "the request is not valid: {what}"),
            Self::RequestTooBig => f.write_str("the body of the request is too long"),
            Self::Denied => f.write_str("the host does not allow this backend"),
            Self::TooMany => f.write_str("too many requests are under way"),
            Self::Unavailable => f.write_str("there is no host that sends requests"),
            Self::Unreachable(why) => write!(f, "the backend cannot be reached: {why}"),
            Self::TimedOut => f.write_str("the backend took too long"),
            Self::Lost(why) => write!(f, "the backend broke off: {why}"),
            Self::ResponseTooBig => f.write_str("the answer is too long"),
            Self::NotUtf8 => f.write_str("the answer is not UTF-8"),
            Self::Json => f.write_str("not the JSON that is expected"),
        }
    }
}

impl core::error::Error for Error {}
