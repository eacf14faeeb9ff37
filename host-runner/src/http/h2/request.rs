//! Request heads, converted to the contract's type.

use h2::ext::Protocol;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Uri};
use wasocket_host_core::http1::limits::{MAX_FIELDS, MAX_REQUEST_LINE};
use wasocket_host_core::http1::{Refusal, Refused, quoted};

use crate::contract::bindings::{Field, HttpVersion, Request};

/// Checks a head from `h2` as strictly as one of HTTP/1.1. Its client is not known yet.
///
/// # Errors
///
/// The refusal of a request that no guest sees.
pub(super) fn read(head: &Parts) -> Result<Request, Refused> {
    if head.headers.len() > MAX_FIELDS {
        let limit = format!("more than {MAX_FIELDS}");
        return Err(Refusal::new(431, "the request has too many fields").with(limit));
    }
    let protocol: Option<&Protocol> = head.extensions.get();
    if head.method == Method::CONNECT && protocol.is_none() {
        let authority = head
            .uri
            .authority()
            .map_or("", |authority| authority.as_str());
        return Err(Refusal::NOT_A_PROXY.because_of(authority.as_bytes()));
    }
    let request = Request {
        method: head.method.to_string(),
        target: target(&head.uri)?,
        version: HttpVersion::Http2,
        authority: head.uri.authority().map(ToString::to_string),
        protocol: protocol.map(|protocol| protocol.as_str().to_owned()),
        fields: fields(head),
        secure: false,
        remote: None,
    };
    check_host(&request)?;
    Ok(request)
}

/// Returns the path.
fn target(uri: &Uri) -> Result<String, Refused> {
    let target = uri.path_and_query().map_or("", PathAndQuery::as_str);
    if target.len() > MAX_REQUEST_LINE {
        let limit = format!("more than {MAX_REQUEST_LINE} bytes");
        return Err(Refusal::new(414, "the path is too long").with(limit));
    }
    if target.is_empty() || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            Refusal::new(400, "the path contains invalid bytes").because_of(uri.path().as_bytes())
        );
    }
    Ok(target.to_owned())
}

fn fields(head: &Parts) -> Vec<Field> {
    let others = head
        .headers
        .iter()
        .filter(|(name, _)| *name != http::header::COOKIE);
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), value.as_bytes().trim_ascii().to_vec())
    };
    others.map(field).chain(cookies(head)).collect()
}

/// RFC 9113 §8.2.3: several cookie lines "MUST be concatenated into a single octet string using
/// the two-octet delimiter of 0x3B, 0x20".
fn cookies(head: &Parts) -> Option<Field> {
    let lines = head.headers.get_all(http::header::COOKIE).iter();
    let lines: Vec<&[u8]> = lines.map(http::HeaderValue::as_bytes).collect();
    (!lines.is_empty()).then(|| ("cookie".to_owned(), lines.join(&b"; "[..])))
}

/// RFC 9113 §8.3.1: `:authority` takes the place of `Host`; if both are present, they must be the same.
fn check_host(request: &Request) -> Result<(), Refused> {
    let hosts = request.fields.iter().filter(|(name, _)| name == "host");
    let hosts: Vec<&[u8]> = hosts.map(|(_, value)| &value[..]).collect();
    let authority = request.authority.as_deref().map(str::as_bytes);
    match (authority, &hosts[..]) {
        (Some(_), []) | (None, [_]) => Ok(()),
        (Some(authority), [host]) if authority.eq_ignore_ascii_case(host) => Ok(()),
        _ => {
            Err(Refusal::new(400, "the host is missing or ambiguous")
                .with(found(authority, &hosts)))
        }
    }
}

/// Everything that names a host.
fn found(authority: Option<&[u8]>, hosts: &[&[u8]]) -> String {
    let authority = authority.map(|authority| format!(":authority {}", quoted(authority)));
    let hosts = hosts.iter().take(2);
    let hosts = hosts.map(|host| format!("Host {}", quoted(host)));
    let all: Vec<String> = authority.into_iter().chain(hosts).collect();
    all.join(", ")
}
