//! Requests to HTTP backends, awaited without blocking anything else.
//!
//! An app that awaits a response here returns to the host meanwhile: the other connections of the instance
//! continue, and the app continues when something arrives. Nothing blocks, and there is no thread and no
//! runtime.
//!
//! ```
//! use wasocket::{Error, WebSocket, http};
//!
//! /// Each message is a question; the parts of the answer are sent as they come.
//! async fn ask(ws: WebSocket) -> Result<(), Error> {
//!     while let Some(question) = ws.receive::<String>().await? {
//!         let request = http::post("http://localhost:8080/answer").body(question);
//!         let mut answer = request.send().await?;
//!         while let Some(part) = answer.chunk().await? {
//!             ws.send(part).await?;
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The same works before there is a connection at all: see [`decide`](crate::decide).
//!
//! The host decides which backends are allowed: the runner needs `--allow-http HOST:PORT`. A component that
//! uses this imports `wasi:http` 0.2. On any target but WebAssembly, as in a native test, all requests fail
//! with [`Error::Unavailable`].
//!
//! A request ends when its future or its [`Response`] is dropped, which happens when the connection ends. The
//! backend then sees its socket closed.

mod error;
#[cfg(not(target_family = "wasm"))]
mod nowhere;
#[cfg(target_family = "wasm")]
mod wasi;

pub use error::Error;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use crate::head::Fields;
#[cfg(not(target_family = "wasm"))]
use nowhere as host;
#[cfg(target_family = "wasm")]
use wasi as host;

/// The longest body of a request, in bytes: what hosts accept at once.
pub const MAX_REQUEST_BODY: usize = 1 << 20;

/// A GET of a URL, `http://HOST[:PORT]/PATH` or `https://..`.
pub fn get(url: impl Into<String>) -> RequestBuilder {
    request("GET", url)
}

/// A POST to a URL.
pub fn post(url: impl Into<String>) -> RequestBuilder {
    request("POST", url)
}

/// A request with any method but CONNECT and TRACE. Case matters.
pub fn request(method: impl Into<String>, url: impl Into<String>) -> RequestBuilder {
    RequestBuilder {
        method: method.into(),
        url: url.into(),
        fields: Fields::default(),
        body: Bytes::new(),
        timeout: None,
    }
}

/// A request to send.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
#[cfg_attr(
    not(target_family = "wasm"),
    allow(dead_code, reason = "it is not sent")
)]
pub struct RequestBuilder {
    method: String,
    url: String,
    fields: Fields,
    body: Bytes,
    timeout: Option<Duration>,
}

impl RequestBuilder {
    /// Adds a field. Those of the transport (`Host`, `Connection`, `Content-Length`, ..) are the host's.
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.fields.append(name, value);
        self
    }

    /// Sets the body, of at most [`MAX_REQUEST_BODY`] bytes.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a value as a JSON body, with its `Content-Type`. With feature `json`.
    ///
    /// # Errors
    ///
    /// [`Error::Json`] when the value cannot be written as JSON.
    #[cfg(feature = "json")]
    pub fn json(self, value: &impl serde::Serialize) -> Result<Self, Error> {
        let body = serde_json::to_vec(value).map_err(|_| Error::Json)?;
        let request = self.field("content-type", "application/json");
        Ok(request.body(body))
    }

    /// Sets how long the backend may take to send the head of its response. The host has a limit, too (the
    /// runner: 60 s); the lower one applies.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends the request, and waits for the head of the response. No status is an error.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn send(self) -> Result<Response, Error> {
        if self.body.len() > MAX_REQUEST_BODY {
            return Err(Error::RequestTooBig);
        }
        let url = Url::parse(&self.url)?;
        let (status, fields, body) = host::send(&self, &url).await?;
        Ok(Response {
            status,
            fields,
            body,
        })
    }
}

/// The response of a backend: its head, and its body as it arrives.
pub struct Response {
    status: u16,
    fields: Fields,
    body: host::Body,
}

impl Response {
    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is 200 to 299.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The fields.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Waits for the next bytes of the body; `None` at its end. The backend is slowed down while the app does
    /// not ask for more.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] when the backend breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.body.chunk().await
    }

    /// Waits for all of the body.
    ///
    /// # Errors
    ///
    /// [`Error::ResponseTooBig`] when there are more than `max` bytes; or as [`chunk`](Self::chunk).
    pub async fn bytes(mut self, max: usize) -> Result<Bytes, Error> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if chunk.len() > max.saturating_sub(body.len()) {
                return Err(Error::ResponseTooBig);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.into())
    }

    /// Waits for all of the body, as UTF-8 text.
    ///
    /// # Errors
    ///
    /// [`Error::NotUtf8`]; or as [`bytes`](Self::bytes).
    pub async fn text(self, max: usize) -> Result<String, Error> {
        let bytes = self.bytes(max).await?;
        String::from_utf8(bytes.into()).map_err(|_| Error::NotUtf8)
    }

    /// Waits for all of the body, as a JSON value. With feature `json`.
    ///
    /// # Errors
    ///
    /// [`Error::Json`] when it is not such a value; or as [`bytes`](Self::bytes).
    #[cfg(feature = "json")]
    pub async fn json<T: serde::de::DeserializeOwned>(self, max: usize) -> Result<T, Error> {
        let bytes = self.bytes(max).await?;
        serde_json::from_slice(&bytes).map_err(|_| Error::Json)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

/// The parts of a URL that a request needs (RFC 9110 §4.2).
#[derive(Debug, PartialEq, Eq)]
struct Url {
    is_secure: bool,
    /// Host and port, as written in the URL.
    authority: String,
    /// Path and query: at least `/`.
    target: String,
}

impl Url {
    fn parse(url: &str) -> Result<Self, Error> {
        let rest = |scheme: &str| {
            let own = url.get(..scheme.len())?;
            own.eq_ignore_ascii_case(scheme)
                .then(|| url.get(scheme.len()..))?
        };
        let (is_secure, rest) = match (rest("http://"), rest("https://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return Err(Error::InvalidUrl),
        };
        // A fragment is for the client only, and is not sent (RFC 9110 §7.1).
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // RFC 9110 §4.2.4: user information is not sent; there is a field for it.
        if authority.is_empty() || authority.contains('@') || !is_visible(rest) {
            return Err(Error::InvalidUrl);
        }
        let mut target = target.to_owned();
        if !target.starts_with('/') {
            target.insert(0, '/');
        }
        Ok(Self {
            is_secure,
            authority: authority.to_owned(),
            target,
        })
    }
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> Option<(bool, String, String)> {
        let url = Url::parse(url).ok()?;
        Some((url.is_secure, url.authority, url.target))
    }

    #[test]
    fn splits_urls() {
        for (url, is_secure, authority, target) in [
            ("http://a.test", false, "a.test", "/"),
            ("HTTPS://a.test:8443/b?c=d#e", true, "a.test:8443", "/b?c=d"),
            ("http://[::1]:80?q", false, "[::1]:80", "/?q"),
        ] {
            let expected = (is_secure, authority.to_owned(), target.to_owned());
            assert_eq!(parts(url), Some(expected), "{url}");
        }
        for bad in [
            "",
            "a.test",
            "/a",
            "ws://a.test",
            "http://",
            "http:///a",
            "http://a b/",
            "http://a/\r\nb",
            "http://user:word@a/",
            "http://\u{e9}/",
        ] {
            assert_eq!(parts(bad), None, "{bad:?}");
        }
    }
}
