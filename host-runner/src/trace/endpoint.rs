//! Where the collector is.

use std::env;
use std::str::FromStr;

use http::Uri;

/// Where traces are sent, and on whose behalf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The name or address, and the port.
    pub(super) authority: String,
    pub(super) path: String,
    /// What the traces are of.
    pub(super) service: String,
}

impl FromStr for Endpoint {
    type Err = String;

    /// The base of a collector; the path of traces is below.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut endpoint = whole(text)?;
        let base = endpoint.path.trim_end_matches('/');
        endpoint.path = format!("{base}/v1/traces");
        Ok(endpoint)
    }
}

impl Endpoint {
    /// What the environment says, where the command line does not: `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, as it is,
    /// or `OTEL_EXPORTER_OTLP_ENDPOINT`, a base. None if neither is there, or `OTEL_SDK_DISABLED` is `true`.
    ///
    /// # Errors
    ///
    /// When it is no URL that can be sent to.
    pub fn of_environment() -> Result<Option<Self>, String> {
        let variable = |name| {
            let value = env::var(name).ok().filter(|value| !value.is_empty());
            value.map(|value| (name, value))
        };
        let named = |(name, error)| format!("{name}: {error}");
        if variable("OTEL_SDK_DISABLED").is_some_and(|(_, value)| value == "true") {
            return Ok(None);
        }
        if let Some((name, url)) = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            return whole(&url).map(Some).map_err(|error| named((name, error)));
        }
        let base = variable("OTEL_EXPORTER_OTLP_ENDPOINT");
        base.map(|(name, url)| url.parse().map_err(|error| named((name, error))))
            .transpose()
    }
}

/// A URL as it is.
fn whole(text: &str) -> Result<Endpoint, String> {
    let expected = || {
        "expected http://HOST:PORT, such as http://localhost:4318, of a collector that takes OTLP over HTTP without TLS"
            .to_owned()
    };
    let url: Uri = text.parse().map_err(|_| expected())?;
    let authority = url.authority().filter(|it| !it.as_str().contains('@'));
    let authority = authority.filter(|_| url.scheme_str() == Some("http"));
    let authority = authority.ok_or_else(expected)?;
    let service = env::var("OTEL_SERVICE_NAME").ok();
    Ok(Endpoint {
        authority: match authority.port() {
            Some(_) => authority.to_string(),
            None => format!("{authority}:80"),
        },
        path: url
            .path_and_query()
            .map_or("/", |it| it.as_str())
            .to_owned(),
        service: service
            .filter(|service| !service.is_empty())
            .unwrap_or_else(|| "wasocket".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_has_traces_below_it() {
        for (text, authority, path) in [
            ("http://localhost:4318", "localhost:4318", "/v1/traces"),
            ("http://localhost:4318/", "localhost:4318", "/v1/traces"),
            ("http://[::1]/otlp/", "[::1]:80", "/otlp/v1/traces"),
        ] {
            let endpoint = Endpoint::from_str(text);
            let parts = endpoint.map(|it| (it.authority, it.path));
            assert_eq!(parts, Ok((authority.to_owned(), path.to_owned())), "{text}");
        }
        let endpoint = whole("http://localhost:4318/as/it/is").map(|it| it.path);
        assert_eq!(endpoint, Ok("/as/it/is".to_owned()));
    }

    #[test]
    fn other_urls_are_refused() {
        for bad in [
            "",
            "localhost:4318",
            "https://a.test",
            "http://",
            "http://u:p@a.test",
            "/v1",
        ] {
            assert!(Endpoint::from_str(bad).is_err(), "{bad}");
        }
    }
}
