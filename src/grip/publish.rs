//! Publishing: requests to the proxy's endpoint.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::config::{Credentials, Endpoint};
use super::token;
use crate::protocol::Message;

/// The longest body, in bytes: Pushpin's default limit.
const MAX_BODY: usize = 1_000_000;

/// A message for all subscribers of a channel.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    pub(super) channel: String,
    pub(super) message: Message,
    /// The connection that has already received it, if it is subscribed.
    pub(super) sender: Option<String>,
}

/// A `POST` of JSON to the endpoint; a response with status 2xx means that it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishRequest {
    /// Whether to use TLS.
    pub secure: bool,
    /// Host and port.
    pub authority: String,
    /// The path.
    pub path: String,
    /// The value of `Authorization`, if any.
    pub authorization: Option<String>,
    /// The JSON.
    pub body: String,
}

/// The fewest requests that publish all of these in order, and the number of messages that are too long for
/// any.
pub(super) fn requests(
    endpoint: &Endpoint,
    publications: Vec<Publication>,
    now: u64,
) -> (Vec<PublishRequest>, usize) {
    const BEGIN: &str = "{\"items\":[";
    const END: &str = "]}";
    let mut bodies: Vec<String> = Vec::new();
    let mut too_long: usize = 0;
    for publication in publications {
        let item = publication.item().to_string();
        let room = |used: usize| used.saturating_add(item.len()) < MAX_BODY - END.len();
        if !room(BEGIN.len()) {
            too_long = too_long.saturating_add(1);
            continue;
        }
        match bodies.last_mut() {
            Some(body) if room(body.len()) => {
                body.push(',');
                body.push_str(&item);
            }
            _ => bodies.push(format!("{BEGIN}{item}")),
        }
    }
    let authorization = endpoint.credentials.authorization(now);
    let request = |body| PublishRequest {
        secure: endpoint.secure,
        authority: endpoint.authority.clone(),
        path: endpoint.path.clone(),
        authorization: authorization.clone(),
        body: body + END,
    };
    (bodies.into_iter().map(request).collect(), too_long)
}

impl Publication {
    fn item(&self) -> Value {
        let message = match &self.message {
            Message::Text(text) => json!({ "content": &**text }),
            Message::Binary(bytes) => json!({ "content-bin": STANDARD.encode(bytes) }),
        };
        let mut item = json!({ "channel": self.channel, "formats": { "ws-message": message } });
        if let Some(sender) = &self.sender {
            item["meta"] = json!({ "sender": sender });
        }
        item
    }
}

impl Credentials {
    fn authorization(&self, now: u64) -> Option<String> {
        match self {
            Self::None => None,
            Self::Bearer(token) => Some(format!("Bearer {token}")),
            Self::Signed { issuer, secret } => {
                Some(format!("Bearer {}", token::sign(secret, issuer, now)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn endpoint() -> Endpoint {
        Endpoint {
            secure: false,
            authority: "a.test".into(),
            path: "/publish/".into(),
            credentials: Credentials::None,
        }
    }

    fn publication(message: impl Into<Message>) -> Publication {
        Publication {
            channel: "ro\"om".into(),
            message: message.into(),
            sender: None,
        }
    }

    #[test]
    fn publishes_several_messages_in_one_request() {
        let own = Publication {
            sender: Some("1".into()),
            ..publication(b"\0\xff".to_vec())
        };
        let (requests, too_long) = requests(&endpoint(), vec![publication("é\n"), own], 0);
        assert_eq!((requests.len(), too_long), (1, 0));
        let body: Value = serde_json::from_str(&requests[0].body).expect("JSON");
        let text =
            json!({ "channel": "ro\"om", "formats": { "ws-message": { "content": "é\n" } } });
        let binary = json!({ "channel": "ro\"om", "formats": { "ws-message": { "content-bin": "AP8=" } },
            "meta": { "sender": "1" } });
        assert_eq!(body, json!({ "items": [text, binary] }));
    }

    #[test]
    fn splits_what_does_not_fit_into_one_request() {
        let long = || publication("x".repeat(400_000));
        let far_too_long = publication("x".repeat(MAX_BODY));
        let all = vec![long(), long(), far_too_long, long(), publication("y")];
        let (requests, too_long) = requests(&endpoint(), all, 0);
        assert_eq!((requests.len(), too_long), (2, 1));
        let items: Vec<usize> = requests
            .iter()
            .map(|request| {
                assert!(request.body.len() <= MAX_BODY);
                let body: Value = serde_json::from_str(&request.body).expect("JSON");
                body["items"].as_array().expect("a list").len()
            })
            .collect();
        assert_eq!(items, [2, 2]);
    }
}
