use alloc::format;

use super::config::Verify;
use super::token::{TokenError, verify};
use super::{Gateway, Reply, head};
use crate::head::Request;

/// The kind of a request.
#[derive(Debug)]
pub enum Admitted {
    /// Plain HTTP, from any client: pass it to [`Gateway::plain`].
    Plain(Request),
    /// Events, from the proxy: pass them to [`Gateway::events`], with the body.
    Events(Request),
    /// Neither.
    Refused(Reply),
}

impl Gateway {
    /// Classifies a request before its body is read; `now` is in seconds since 1970. Removes the proxy's
    /// signature: an app has no use for it, and might reveal it.
    #[must_use]
    pub fn admit(&self, request: Request, now: u64) -> Admitted {
        let authentic = self.authenticate(&request, now);
        let request = trusting(request, authentic.is_ok());
        let types = || request.fields.values("Content-Type");
        if types().any(seems_to_be_events) {
            return match check_events(&request) {
                Ok(()) => authentic.map_or_else(Admitted::Refused, |()| Admitted::Events(request)),
                Err(reply) => Admitted::Refused(reply),
            };
        }
        // Hosts of wasi:http keep `Upgrade` to themselves.
        if request.wants_websocket() || request.fields.contains("Sec-WebSocket-Key") {
            return Admitted::Refused(Reply::refusal(
                501,
                "WebSockets come here through a proxy for GRIP, as WebSocket-over-HTTP",
            ));
        }
        Admitted::Plain(request)
    }

    fn authenticate(&self, request: &Request, now: u64) -> Result<(), Reply> {
        let (key, issuer) = match &self.config.verify {
            Verify::Off => return Ok(()),
            Verify::Signed { key, issuer } => (key, issuer.as_deref()),
            Verify::Unconfigured => {
                return Err(Reply::failure(
                    "no key to recognize the proxy: set GRIP_VERIFY_KEY to the key that it signs with"
                        .into(),
                ));
            }
        };
        let token = request.fields.single("Grip-Sig");
        token
            .map_err(|_| TokenError::Missing)
            .and_then(|token| verify(token, key, issuer, now))
            .map_err(|error| {
                let mut reply = Reply::refusal(401, error);
                // RFC 9110 §15.5.2: it "MUST send a WWW-Authenticate header field".
                let fields = &mut reply.response.head.fields;
                fields.append("WWW-Authenticate", "Grip-Sig");
                reply
            })
    }
}

/// Trusts the proxy's fields only if the request is from the proxy.
fn trusting(request: Request, is_authentic: bool) -> Request {
    let mut request = head::without(request, &["grip-"]);
    if is_authentic {
        request.secure |= matches!(
            request.fields.text("X-Forwarded-Proto"),
            Some("https" | "wss")
        );
    }
    request
}

fn seems_to_be_events(value: &[u8]) -> bool {
    value
        .to_ascii_lowercase()
        .windows(head::EVENTS.len())
        .any(|part| part == head::EVENTS.as_bytes())
}

/// Checks the form of a request with events.
fn check_events(request: &Request) -> Result<(), Reply> {
    // A parameter, another case or a second line could be what the proxy lets its clients send.
    if request.fields.single("Content-Type") != Ok(head::EVENTS.as_bytes()) {
        return Err(Reply::refusal(
            415,
            format!("Content-Type of events is {}, once", head::EVENTS),
        ));
    }
    if request.method != "POST" {
        let mut reply = Reply::refusal(405, "events come by POST");
        // RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field".
        reply.response.head.fields.append("Allow", "POST");
        return Err(reply);
    }
    Ok(())
}
