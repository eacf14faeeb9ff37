//! The heads of answers: a guest's is checked before a byte of it is sent.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
pub use wasocket_http1::BadAnswer;
use wasocket_http1::{check_response, expects_continue, takeover_head};

use crate::contract::bindings::{self, Field, ResponseHead};

/// Checks a final response and makes of it what hyper sends.
///
/// # Errors
///
/// A [`BadAnswer`]: the client gets status 500 instead.
pub fn response(answer: bindings::Response) -> Result<Response<Vec<u8>>, BadAnswer> {
    let status = answer.head.status;
    check_response(status, &answer.head.fields)?;
    let mut response = Response::new(answer.body);
    *response.status_mut() = StatusCode::from_u16(status).map_err(|_| BadAnswer::Status(status))?;
    *response.headers_mut() = fields(answer.head.fields)?;
    Ok(response)
}

/// Checks a takeover of a request with these fields, and serialises the head that it begins with:
/// nothing for a raw takeover.
///
/// # Errors
///
/// A [`BadAnswer`]: the client gets status 500 instead.
pub fn takeover(
    response: Option<&ResponseHead>,
    farewell: &[u8],
    request: &[Field],
) -> Result<Vec<u8>, BadAnswer> {
    let head = response.map(|head| (head.status, &head.fields[..]));
    takeover_head(head, farewell, expects_continue(request))
}

fn fields(fields: Vec<Field>) -> Result<HeaderMap, BadAnswer> {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let (name, value) = field(&name, &value).ok_or(BadAnswer::Field(name))?;
        map.try_append(name, value)
            .map_err(|_| BadAnswer::TooManyFields)?;
    }
    Ok(map)
}

fn field(name: &str, value: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    Some((name, HeaderValue::from_bytes(value).ok()?))
}

#[cfg(test)]
mod tests {
    use wasocket_http1::limits::MAX_RESPONSE_FIELDS;

    use super::*;

    fn respond(fields: Vec<Field>) -> Result<Response<Vec<u8>>, BadAnswer> {
        response(bindings::Response {
            head: bindings::ResponseHead {
                status: 200,
                fields,
            },
            body: Vec::new(),
        })
    }

    /// Whatever has been checked hyper can send: the two have one opinion.
    #[test]
    fn what_passes_can_be_sent() {
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
    fn as_many_fields_as_may_be() {
        let fields = (0..=MAX_RESPONSE_FIELDS).map(|n| (format!("a{n}"), vec![]));
        let mut fields: Vec<Field> = fields.collect();
        let refused = respond(fields.clone()).map(drop);
        assert_eq!(refused, Err(BadAnswer::TooManyFields));
        fields.pop();
        assert!(respond(fields).is_ok());
    }
}
