//! Apps of the event form behind a proxy that holds the WebSockets: GRIP, the protocol of Pushpin and Fastly
//! Fanout, over WebSocket-over-HTTP.
//!
//! The proxy performs the handshake with the client, speaks RFC 6455 with it, and turns events into HTTP
//! requests; each response says what to do. Nothing is kept in between: the proxy keeps the state and the
//! channels of a connection. There is no I/O, as in the rest of this crate: the component `components/grip`
//! adds `wasi:http`, and makes no decisions.
//!
//! ```text
//! request ── admit ──┬── Plain ─── plain ──┬── Reply: a response, what to publish, lines for a log
//!                    ├── Events ── events ─┤
//!                    └── Refused ──────────┘
//! ```

mod admission;
mod config;
mod conversation;
mod head;
mod key;
mod meta;
mod publish;
mod reply;
mod token;
mod wire;

pub use admission::Admitted;
pub use config::{Config, ConfigError};
pub use key::{Key, KeyError};
pub use publish::PublishRequest;
pub use reply::Reply;
pub use token::{TokenError, verify};
pub use wire::{WireError, WireEvent};

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

use crate::events::fault::Fault;
use crate::events::judge::{Reply as Decision, split};
use crate::events::{Accept, Action, Event, EventApp, Settings};
use crate::head::{Fields, Request, Response};
use conversation::Conversation;
use meta::Meta;
use publish::Publication;
use reply::{refuse, responding, tell};

/// The longest body of a request with events, in bytes: messages of 1 MiB, and their framing.
pub const MAX_BODY: usize = (1 << 20) + (64 << 10);

/// Translates between a proxy and an app.
#[derive(Clone, Debug)]
pub struct Gateway {
    config: Config,
}

impl Gateway {
    /// A gateway with this configuration.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self { config }
    }

    /// Answers plain HTTP. The app knows the request by `name`, which must be unique.
    pub fn plain(
        &self,
        app: &(impl EventApp + ?Sized),
        request: Request,
        name: &str,
        now: u64,
    ) -> Reply {
        let mut sent = Vec::new();
        let result =
            decide(app, name, Event::Request(request)).and_then(
                |(decision, actions)| match decision {
                    Decision::Accept(_) => Err(Fault::AcceptMisplaced),
                    Decision::Respond(response) => refuse(response, actions, None, &mut sent),
                },
            );
        let reply = result.unwrap_or_else(|fault| tell(app, name, &fault, &mut sent));
        self.with_publications(reply, sent, now)
    }

    /// Answers a request with events; `body` is its body, or the first [`MAX_BODY`] + 1 bytes of it.
    pub fn events(
        &self,
        app: &(impl EventApp + ?Sized),
        request: Request,
        body: &[u8],
        now: u64,
    ) -> Reply {
        if body.len() > MAX_BODY {
            return Reply::refusal(413, format!("events of more than {MAX_BODY} bytes"));
        }
        let Some(id) = connection_id(&request) else {
            return Reply::refusal(400, "Connection-Id is not 1 to 64 visible characters, once");
        };
        let events = match WireEvent::decode_all(body) {
            Ok(events) => events,
            Err(error) => return Reply::refusal(400, error),
        };
        if !are_in_order(&events) {
            return Reply::refusal(400, "OPEN is not first, or CLOSE or DISCONNECT is not last");
        }
        match events.split_first() {
            Some((WireEvent::Open, rest)) => self.open(app, request, &id, rest, now),
            _ => self.go_on(app, &request, &id, &events, now),
        }
    }

    /// A client asks for a WebSocket.
    fn open(
        &self,
        app: &(impl EventApp + ?Sized),
        request: Request,
        id: &str,
        events: &[WireEvent<'_>],
        now: u64,
    ) -> Reply {
        if !offers_grip(&request.fields) {
            return Reply::refusal(
                400,
                "the proxy does not offer GRIP: Sec-WebSocket-Extensions",
            );
        }
        let request = head::opening(request);
        let mut sent = Vec::new();
        let result = decide(app, id, Event::Open(request.clone()));
        let (accept, actions) = match result {
            Ok((Decision::Accept(accept), actions)) => (accept, actions),
            Ok((Decision::Respond(response), actions)) => {
                let reply = refuse(response, actions, Some(id), &mut sent)
                    .unwrap_or_else(|fault| tell(app, id, &fault, &mut sent));
                return self.with_publications(reply, sent, now);
            }
            Err(fault) => {
                let reply = tell(app, id, &fault, &mut sent);
                return self.with_publications(reply, sent, now);
            }
        };
        let log = beyond_the_proxy(&accept.settings);
        let meta = Meta::new(&accept.settings);
        let fields = match accepted_fields(accept, &request) {
            Ok(fields) => fields,
            Err(reply) => return *reply,
        };
        let mut conversation = Conversation {
            app,
            id,
            meta,
            output: Vec::new(),
            publications: Vec::new(),
            log: Vec::from_iter(log),
            pending: Vec::new(),
        };
        WireEvent::Open.encode(&mut conversation.output);
        conversation.carry_out(actions);
        conversation.run(events);
        self.finish(conversation, fields, None, now)
    }

    /// Something happened on a WebSocket.
    fn go_on(
        &self,
        app: &(impl EventApp + ?Sized),
        request: &Request,
        id: &str,
        events: &[WireEvent<'_>],
        now: u64,
    ) -> Reply {
        let field = request.fields.single(meta::FIELD);
        let Some(meta) = field.ok().and_then(Meta::decode) else {
            return Reply::refusal(
                400,
                "Meta-Wasocket is not as it was sent: the connection cannot continue",
            );
        };
        let mut conversation = Conversation {
            app,
            id,
            meta: meta.clone(),
            output: Vec::new(),
            publications: Vec::new(),
            log: Vec::new(),
            pending: Vec::new(),
        };
        conversation.run(events);
        self.finish(conversation, Fields::new(), Some(meta), now)
    }

    fn finish(
        &self,
        conversation: Conversation<'_, impl EventApp + ?Sized>,
        further: Fields,
        before: Option<Meta>,
        now: u64,
    ) -> Reply {
        let mut response = Response::new(200, head::EVENTS, conversation.output);
        for (name, value) in further.iter() {
            response = response.with_field(name, value);
        }
        if before.as_ref() != Some(&conversation.meta) {
            response = response.with_field(meta::SET_FIELD, conversation.meta.encode());
        }
        let reply = Reply {
            response,
            publish: Vec::new(),
            log: conversation.log,
        };
        self.with_publications(reply, conversation.publications, now)
    }

    fn with_publications(&self, mut reply: Reply, sent: Vec<Publication>, now: u64) -> Reply {
        if sent.is_empty() {
            return reply;
        }
        let Some(endpoint) = &self.config.publish else {
            let count = sent.len();
            reply.log.push(format!(
                "{count} messages are not delivered: set GRIP_URL to the proxy's publishing endpoint"
            ));
            return reply;
        };
        let (requests, too_long) = publish::requests(endpoint, sent, now);
        if too_long > 0 {
            reply
                .log
                .push(format!("{too_long} messages are too long to be published"));
        }
        reply.publish = requests;
        reply
    }
}

fn connection_id(request: &Request) -> Option<String> {
    let id = request.fields.text("Connection-Id")?;
    let is_name = (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    is_name.then(|| id.into())
}

fn are_in_order(events: &[WireEvent<'_>]) -> bool {
    let after_first = events.iter().skip(1);
    let mut before_last = events.iter().rev().skip(1);
    !after_first.clone().any(|event| *event == WireEvent::Open)
        && !before_last.any(|event| matches!(event, WireEvent::Close(_) | WireEvent::Disconnect))
}

fn offers_grip(fields: &Fields) -> bool {
    let name = |offer: &[u8]| offer.split(|byte| *byte == b';').next().map(<[u8]>::to_vec);
    let mut offers = fields.list("Sec-WebSocket-Extensions");
    offers.any(|offer| name(offer).is_some_and(|name| name.trim_ascii() == b"grip"))
}

fn decide(
    app: &(impl EventApp + ?Sized),
    id: &str,
    event: Event,
) -> Result<(Decision, Vec<Action>), Fault> {
    split(app.handle(id, &[], vec![event]))
}

/// The fields of the response that accepts a WebSocket, or the response that refuses it.
fn accepted_fields(accept: Accept, request: &Request) -> Result<Fields, alloc::boxed::Box<Reply>> {
    let further =
        head::accepted(&accept.fields).map_err(|error| Reply::failure(error.to_string()))?;
    let accept = Accept {
        fields: further,
        ..accept
    };
    let mut fields = accept
        .into_upgrade()
        .accept_proxied(request)
        .map_err(|error| responding(error.response().with_reason(error.reason(request))))?;
    fields.append("Sec-WebSocket-Extensions", "grip");
    Ok(fields)
}

/// A line for the log about settings that do not apply behind a proxy.
fn beyond_the_proxy(settings: &Settings) -> Option<String> {
    let asked = match (
        settings.compress,
        settings.max_message_size > Settings::default().max_message_size,
    ) {
        (false, false) => return None,
        (true, false) => "compress",
        (false, true) => "max-message-size",
        (true, true) => "compress and max-message-size",
    };
    Some(format!(
        "the app asks for {asked}, but the proxy has its own rules for compression and long messages"
    ))
}
