//! Topics: who subscribes, who is there, and publishing from outside.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};
use wasocket_bus::message::{Kind, Member, Message};
use wasocket_bus::topic::Topic;
use wasocket_bus::{PublishError, TopicDetails, TopicsPage};
use wasocket_host_core::http1::Request;

use super::access;
use super::pages::{Answer, Pages, collect, is_read, too_long};

/// The most topics on one page.
const MAX_PAGE: usize = 1_000;

impl Pages {
    /// `rest`: the path after `/topics`, without the query.
    pub(super) async fn topics_page(
        &self,
        request: &Request,
        rest: &str,
        body: Incoming,
    ) -> Answer {
        if let Err(refused) = self.access.check(request) {
            return refused;
        }
        let name = rest.strip_prefix('/').unwrap_or_default();
        if name.is_empty() {
            return if is_read(request) {
                self.list(request)
            } else {
                Answer::not_allowed("GET, HEAD")
            };
        }
        let topic = match topic(name) {
            Ok(topic) => topic,
            Err(reason) => return Answer::text(StatusCode::BAD_REQUEST, &reason),
        };
        match &*request.method {
            "GET" | "HEAD" => self.details(&topic).await,
            "POST" => match message(request, body, self.shared.bus.limits().message).await {
                Ok(message) => self.publish(&topic, message),
                Err(refused) => refused,
            },
            _ => Answer::not_allowed("GET, HEAD, POST"),
        }
    }

    fn list(&self, request: &Request) -> Answer {
        let page = match page(request) {
            Ok(page) => page,
            Err(reason) => return Answer::text(StatusCode::BAD_REQUEST, &reason),
        };
        let topics = self.shared.bus.topics(&page);
        let next = topics.last().filter(|_| topics.len() >= page.limit);
        let next = next.map(|last| last.topic.as_str());
        let topics: Vec<_> = topics.iter().map(row).collect();
        Answer::json(&json!({ "topics": topics, "next": next }))
    }

    async fn details(&self, topic: &Topic) -> Answer {
        let known = self.shared.bus.topic(topic);
        let subscribers = known.as_ref().map_or(0, |known| known.subscribers);
        let position = known.and_then(|known| known.position);
        let Some(list) = self.members.list(topic).await else {
            return Answer::unavailable("the engine does not answer");
        };
        Answer::json(&json!({
            "topic": topic.as_str(),
            "subscribers": subscribers,
            "position": position.map(|position| position.to_string()),
            "members": {
                "count": list.count,
                "list": list.members.iter().map(member).collect::<Vec<_>>(),
                "here_only": list.is_partial,
            },
        }))
    }

    fn publish(&self, topic: &Topic, message: Message) -> Answer {
        match self.shared.bus.publish(topic, message) {
            Ok(()) => Answer::text(StatusCode::ACCEPTED, "published"),
            Err(error @ PublishError::TooLong) => too_long(&error.to_string()),
            Err(error) => Answer::unavailable(&error.to_string()),
        }
    }
}

/// A topic as `GET /topics` shows it.
fn row(details: &TopicDetails) -> Value {
    json!({
        "topic": details.topic.as_str(),
        "subscribers": details.subscribers,
        "members": details.members,
        "position": details.position.map(|position| position.to_string()),
    })
}

/// What a member says of itself: as text, if it is, or in base64.
fn member(member: &Member) -> Value {
    match std::str::from_utf8(&member.info) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": STANDARD.encode(&member.info) }),
    }
}

/// The topic in a path. Slashes are part of its name.
fn topic(encoded: &str) -> Result<Topic, String> {
    let name = percent_encoding::percent_decode_str(encoded).decode_utf8();
    let name = name.map_err(|_| "the name of a topic is UTF-8".to_owned())?;
    Topic::new(&name).map_err(|error| error.to_string())
}

/// The page that a query asks for: `prefix`, `after` and `limit`.
fn page(request: &Request) -> Result<TopicsPage, String> {
    let mut page = TopicsPage {
        prefix: String::new(),
        after: None,
        limit: MAX_PAGE,
    };
    let query = request
        .target
        .split_once('?')
        .map_or("", |(_, query)| query);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "prefix" => page.prefix = value.into_owned(),
            "after" => page.after = Some(Topic::new(&value).map_err(|error| error.to_string())?),
            "limit" => {
                let limit = value
                    .parse()
                    .ok()
                    .filter(|limit| (1..=MAX_PAGE).contains(limit));
                page.limit = limit.ok_or(format!("limit is a number from 1 to {MAX_PAGE}"))?;
            }
            _ => {
                return Err(format!(
                    "unknown: {name}; there are prefix, after and limit"
                ));
            }
        }
    }
    Ok(page)
}

/// The message in the body of a request.
async fn message(request: &Request, body: Incoming, most: usize) -> Result<Message, Answer> {
    let kind = kind(request)?;
    let bytes = collect(body, most).await?;
    checked(kind, bytes)
}

fn checked(kind: Kind, bytes: Bytes) -> Result<Message, Answer> {
    if kind == Kind::Text && std::str::from_utf8(&bytes).is_err() {
        return Err(Answer::text(
            StatusCode::BAD_REQUEST,
            "a text is UTF-8: send other bytes as application/octet-stream",
        ));
    }
    Ok(Message { kind, bytes })
}

/// Text or binary, by the content type.
fn kind(request: &Request) -> Result<Kind, Answer> {
    let value = access::value(request, "content-type").unwrap_or_default();
    let value = String::from_utf8_lossy(value).to_ascii_lowercase();
    let (media_type, parameters) = value.split_once(';').unwrap_or((&value, ""));
    let media_type = media_type.trim();
    let is_text = media_type.starts_with("text/")
        || media_type == "application/json"
        || media_type.ends_with("+json");
    let charset = parameters.trim().strip_prefix("charset=");
    let is_utf8 = charset.is_none_or(|name| matches!(name.trim_matches('"'), "utf-8" | "us-ascii"));
    if media_type == "application/octet-stream" {
        Ok(Kind::Binary)
    } else if is_text && is_utf8 {
        Ok(Kind::Text)
    } else {
        Err(Answer::text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the Content-Type says what is published: text/plain or application/json in UTF-8 for text, \
             application/octet-stream for binary",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasocket_host_core::http1::Version;

    fn request(target: &str, content_type: &str) -> Request {
        Request {
            method: "POST".to_owned(),
            target: target.to_owned(),
            version: Version::Http11,
            fields: vec![("Content-Type".to_owned(), content_type.into())],
        }
    }

    #[test]
    fn the_content_type_says_what_is_published() {
        let kind = |content_type| kind(&request("/", content_type)).ok();
        for text in [
            "text/plain",
            "text/plain; charset=UTF-8",
            "application/json",
            "application/ld+json",
        ] {
            assert_eq!(kind(text), Some(Kind::Text), "{text}");
        }
        assert_eq!(kind("Application/Octet-Stream"), Some(Kind::Binary));
        for bad in [
            "",
            "image/png",
            "text/plain; charset=latin1",
            "application/x-www-form-urlencoded",
        ] {
            assert_eq!(kind(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_text_is_utf8() {
        let bytes = Bytes::from_static(b"\xff");
        assert!(checked(Kind::Text, bytes.clone()).is_err());
        assert!(checked(Kind::Binary, bytes).is_ok());
    }

    #[test]
    fn a_path_names_any_topic() {
        let name = |encoded| topic(encoded).ok().map(|topic| topic.as_str().to_owned());
        assert_eq!(name("chat/42").as_deref(), Some("chat/42"));
        assert_eq!(
            name("a%20b%2F%3F%F0%9F%98%80").as_deref(),
            Some("a b/?\u{1f600}")
        );
        assert_eq!(name("a+b").as_deref(), Some("a+b"));
        for bad in ["%ff", "", &"a".repeat(129)] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_query_names_a_page() {
        let page = |query: &str| page(&request(&format!("/topics{query}"), ""));
        let plain = page("").unwrap();
        assert_eq!(
            (plain.limit, plain.after, &*plain.prefix),
            (MAX_PAGE, None, "")
        );
        let full = page("?prefix=a%2F&after=a/b&limit=2").unwrap();
        assert_eq!((full.limit, &*full.prefix), (2, "a/"));
        assert_eq!(full.after.unwrap().as_str(), "a/b");
        for bad in ["?limit=0", "?limit=1001", "?limit=x", "?after=", "?of=a"] {
            assert!(page(bad).is_err(), "{bad}");
        }
    }
}
