//! Answers of components, checked before any byte is sent, as values of the crate `http`.

use alloc::vec::Vec;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::http1::{BadAnswer, Field, check_response, expects_continue, takeover_head};

/// Checks a final response, and converts it for hyper.
///
/// # Errors
///
/// A [`BadAnswer`]: the client gets status 500 instead.
pub fn response(
    status: u16,
    fields: Vec<Field>,
    body: Vec<u8>,
) -> Result<Response<Vec<u8>>, BadAnswer> {
    check_response(status, &fields)?;
    let mut response = Response::new(match status {
        // RFC 9110 §15.3.5, §15.3.6, §15.4.5: these have no content, and a client would take it for another response.
        204 | 205 | 304 => Vec::new(),
        _ => body,
    });
    *response.status_mut() = StatusCode::from_u16(status).map_err(|_| BadAnswer::Status(status))?;
    *response.headers_mut() = header_map(fields)?;
    Ok(response)
}

/// Checks the takeover of a request with these fields, and serialises the head, which is sent first: empty
/// for a raw takeover. `response` is its status and fields.
///
/// # Errors
///
/// A [`BadAnswer`]: the client gets status 500 instead.
pub fn takeover(
    response: Option<(u16, &[Field])>,
    final_bytes: &[u8],
    request: &[Field],
) -> Result<Vec<u8>, BadAnswer> {
    takeover_head(response, final_bytes, expects_continue(request))
}

fn header_map(fields: Vec<Field>) -> Result<HeaderMap, BadAnswer> {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let (name, value) = header(&name, &value).ok_or(BadAnswer::Field(name))?;
        map.try_append(name, value)
            .map_err(|_| BadAnswer::TooManyFields)?;
    }
    Ok(map)
}

fn header(name: &str, value: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    Some((name, HeaderValue::from_bytes(value).ok()?))
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;
    use crate::http1::limits::MAX_RESPONSE_FIELDS;

    fn respond(fields: Vec<Field>) -> Result<Response<Vec<u8>>, BadAnswer> {
        response(200, fields, Vec::new())
    }

    /// hyper can send everything that passes the check: the two agree on every byte.
    #[test]
    fn checked_fields_can_be_sent() {
        for byte in 0..=u8::MAX {
            let fields = vec![("a".to_owned(), vec![byte, b'b', byte])];
            let passes = check_response(200, &fields).is_ok();
            assert_eq!(respond(fields).is_ok(), passes, "value {byte}");
            let name = char::from(byte).to_string();
            let fields = vec![(name, b"b".to_vec())];
            let passes = check_response(200, &fields).is_ok();
            assert_eq!(respond(fields).is_ok(), passes, "name {byte}");
        }
    }

    #[test]
    fn some_statuses_have_no_content() {
        for (status, has_content) in [(200, true), (204, false), (205, false), (304, false)] {
            let response = response(status, Vec::new(), b"x".to_vec());
            let has = response.is_ok_and(|response| !response.body().is_empty());
            assert_eq!(has, has_content, "{status}");
        }
    }

    #[test]
    fn sends_up_to_the_maximum_number_of_fields() {
        let fields = (0..=MAX_RESPONSE_FIELDS).map(|n| (format!("a{n}"), vec![]));
        let mut fields: Vec<Field> = fields.collect();
        let refused = respond(fields.clone()).map(drop);
        assert_eq!(refused, Err(BadAnswer::TooManyFields));
        fields.pop();
        assert!(respond(fields).is_ok());
    }
}
