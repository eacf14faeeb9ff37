//! The endpoint of the collector of traces.

use std::env;
use std::fmt;
use std::str::FromStr;

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Uri};

/// Where traces are sent, and for which service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether to use TLS.
    pub(super) is_secure: bool,
    /// The host and the port.
    pub(super) authority: Authority,
    pub(super) path: String,
    /// Extra request fields, such as an API key.
    pub(super) fields: Vec<(HeaderName, HeaderValue)>,
    /// The name of the service.
    pub(super) service: String,
}

/// The URL.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            authority, path, ..
        } = self;
        write!(f, "{}://{authority}{path}", self.scheme())
    }
}

impl FromStr for Endpoint {
    type Err = String;

    /// Parses the base URL of a collector; `v1/traces` is appended to its path.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut endpoint = whole(text)?;
        let base = endpoint.path.trim_end_matches('/');
        endpoint.path = format!("{base}/v1/traces");
        Ok(endpoint)
    }
}

impl Endpoint {
    /// The endpoint from the environment, for when the command line has none: `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`,
    /// used as is, or `OTEL_EXPORTER_OTLP_ENDPOINT`, a base URL. `None` if neither is set, or `OTEL_SDK_DISABLED` is
    /// `true`.
    ///
    /// # Errors
    ///
    /// If the URL is invalid or its scheme is not supported.
    pub fn of_environment() -> Result<Option<Self>, String> {
        let named = |name, error| format!("{name}: {error}");
        if variable("OTEL_SDK_DISABLED").is_some_and(|value| value == "true") {
            return Ok(None);
        }
        let name = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        if let Some(url) = variable(name) {
            return whole(&url).map(Some).map_err(|error| named(name, error));
        }
        let name = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let base = variable(name).map(|url| url.parse().map_err(|error| named(name, error)));
        base.transpose()
    }

    /// Adds the request fields from the environment: `OTEL_EXPORTER_OTLP_TRACES_HEADERS`, or
    /// `OTEL_EXPORTER_OTLP_HEADERS`.
    ///
    /// # Errors
    ///
    /// If they are not valid fields.
    pub fn with_fields_of_environment(mut self) -> Result<Self, String> {
        let names = [
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ];
        let first = names
            .into_iter()
            .find_map(|name| Some((name, variable(name)?)));
        if let Some((name, list)) = first {
            // The value is not shown, as it may be a key.
            self.fields = fields(&list).ok_or_else(|| {
                format!("{name}: expected NAME=VALUE, separated by commas, each a valid HTTP field")
            })?;
        }
        Ok(self)
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.is_secure { "https" } else { "http" }
    }

    /// The host to connect to: a name, or an address without brackets.
    pub(super) fn host(&self) -> &str {
        self.authority
            .host()
            .trim_matches(|char| char == '[' || char == ']')
    }

    /// The port to connect to.
    pub(super) fn port(&self) -> u16 {
        let default = if self.is_secure { 443 } else { 80 };
        self.authority.port_u16().unwrap_or(default)
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A list in the format of W3C Baggage, with percent-encoded values. `None` if it is malformed, or sets a field that
/// the runner sets itself.
fn fields(list: &str) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let own = [
        HOST,
        CONTENT_TYPE,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        CONNECTION,
    ];
    let entries = list.split(',').filter(|entry| !entry.trim().is_empty());
    let parsed = entries.map(|entry| {
        let (name, value) = entry.split_once('=')?;
        let name = HeaderName::try_from(name.trim()).ok()?;
        let mut value = HeaderValue::try_from(decoded(value.trim())?).ok()?;
        value.set_sensitive(true);
        (!own.contains(&name)).then_some((name, value))
    });
    parsed.collect()
}

/// RFC 3986 §2.1.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
        bytes.extend(rest.bytes());
    }
    Some(bytes)
}

/// A URL, used as is.
fn whole(text: &str) -> Result<Endpoint, String> {
    let expected = || {
        "expected http://HOST:PORT or https://HOST:PORT, such as http://localhost:4318, of a collector that accepts \
         OTLP over HTTP"
            .to_owned()
    };
    let url: Uri = text.parse().map_err(|_| expected())?;
    let is_secure = match url.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(expected()),
    };
    let authority = url.authority().filter(|it| !it.as_str().contains('@'));
    Ok(Endpoint {
        is_secure,
        authority: authority.ok_or_else(expected)?.clone(),
        path: url
            .path_and_query()
            .map_or("/", |it| it.as_str())
            .to_owned(),
        fields: Vec::new(),
        service: variable("OTEL_SERVICE_NAME").unwrap_or_else(|| "wasocket".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_traces_is_appended_to_a_base() {
        for (text, host, port, path) in [
            ("http://localhost:4318", "localhost", 4318, "/v1/traces"),
            ("http://localhost:4318/", "localhost", 4318, "/v1/traces"),
            ("http://[::1]/otlp/", "::1", 80, "/otlp/v1/traces"),
            ("https://a.test", "a.test", 443, "/v1/traces"),
        ] {
            let endpoint = Endpoint::from_str(text).expect(text);
            assert_eq!((endpoint.host(), endpoint.port()), (host, port), "{text}");
            assert_eq!(endpoint.path, path, "{text}");
            assert_eq!(endpoint.is_secure, text.starts_with("https"), "{text}");
        }
        let endpoint = whole("http://localhost:4318/as/it/is").map(|it| it.path);
        assert_eq!(endpoint, Ok("/as/it/is".to_owned()));
    }

    #[test]
    fn other_urls_are_refused() {
        for bad in [
            "",
            "localhost:4318",
            "ftp://a.test",
            "http://",
            "http://u:p@a.test",
            "/v1",
        ] {
            assert!(Endpoint::from_str(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn fields_are_a_list() {
        let parsed = fields("api-key=a%20b%2C=, X-Other = c,").expect("a list");
        let texts: Vec<_> = parsed
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        assert_eq!(texts, [("api-key", &b"a b,="[..]), ("x-other", &b"c"[..])]);
        for bad in [
            "a",
            "=b",
            "a b=c",
            "a=%",
            "a=%2",
            "a=%+1",
            "a=%zz",
            "a=%0d%0ab:c",
            "host=a.test",
            "Content-Length=1",
        ] {
            assert_eq!(fields(bad), None, "{bad}");
        }
    }
}
