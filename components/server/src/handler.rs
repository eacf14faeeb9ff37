//! The import `websocket-handler`: the component to serve. The only use of wit-bindgen.

#[allow(
    unsafe_code,
    missing_docs,
    clippy::all,
    reason = "generated: the canonical ABI reads and writes linear memory"
)]
mod bindings {
    wit_bindgen::generate!({
        inline: "package wasocket:server; world imports { import wasocket:websocket/websocket-handler@0.1.0; }",
        path: "../../wit",
        generate_all,
    });
}

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bindings::wasocket::websocket::websocket_handler::{
    self as imported, Deliveries, ExceptionEffect, Outcome,
};
use wasocket_host_core::{http1, topics, turn};

pub(crate) use bindings::wasocket::websocket::types;
pub(crate) use bindings::wasocket::websocket::types::{
    ConnectionId, Effects, Instant, Message, Publication, TopicAction, TopicEvent,
};
pub(crate) use bindings::wasocket::websocket::websocket_handler::{
    Answer, Connection, Initiator, PendingRequest, Takeover, Verdict, handle,
};

impl From<types::Next> for turn::Next {
    fn from(next: types::Next) -> Self {
        match next {
            types::Next::Open => Self::Open,
            types::Next::Pause => Self::Pause,
            types::Next::Close => Self::Close,
            types::Next::Abort => Self::Abort,
        }
    }
}

/// A request from a client at this address, as the handler sees it.
pub(crate) fn request(request: http1::Request, remote: String) -> types::Request {
    types::Request {
        method: request.method,
        target: request.target,
        version: match request.version {
            http1::Version::Http10 => types::HttpVersion::Http10,
            http1::Version::Http11 => types::HttpVersion::Http11,
        },
        authority: None,
        protocol: None,
        fields: request.fields,
        secure: false,
        remote: Some(remote),
    }
}

/// Checks and converts the handler's response.
///
/// # Errors
///
/// If it cannot be sent.
pub(crate) fn response(response: types::Response) -> Result<http1::Response, http1::BadAnswer> {
    let head = response.head;
    http1::check_response(head.status, &head.fields)?;
    Ok(http1::Response {
        status: head.status,
        fields: head.fields,
        body: response.body,
    })
}

/// Checks a takeover, and returns the head that it begins with. A takeover that fails drops the handler's connection.
///
/// # Errors
///
/// If it cannot be made.
pub(crate) fn takeover_head(
    takeover: &Takeover,
    framing: http1::Framing,
) -> Result<Vec<u8>, http1::BadAnswer> {
    framing.check_takeover()?;
    let head = takeover.response.as_ref();
    let head = head.map(|head| (head.status, &head.fields[..]));
    http1::takeover_head(head, &takeover.final_bytes, framing.expects_continue)
}

/// What one connection does with a publication.
#[derive(Clone)]
pub(crate) enum Delivered {
    Nothing,
    /// It is sent bytes that others may be sent, too.
    Form(Rc<[u8]>),
    /// Output, and the rest as after any call.
    Outcome(Vec<u8>, Outcome),
}

/// Delivers a publication to connections, in one call. The results are in their order; then those to be woken.
pub(crate) fn deliver(
    now: Instant,
    delivery: &topics::Delivery<Message>,
    connections: &[&Connection],
) -> (Vec<Delivered>, Vec<ConnectionId>) {
    let delivery = types::Delivery {
        topic: delivery.topic.clone(),
        message: delivery.message.clone(),
        position: delivery.position.clone(),
    };
    // There is one instance only, so that a form is known as soon as it is made.
    let deliveries = imported::deliver(now, &delivery, &[], connections);
    split(deliveries, connections.len())
}

/// What each of this many connections does, and those to be woken.
fn split(deliveries: Deliveries, count: usize) -> (Vec<Delivered>, Vec<ConnectionId>) {
    let forms = deliveries.forms.into_iter();
    let forms: BTreeMap<u32, Rc<[u8]>> =
        forms.map(|form| (form.number, form.bytes.into())).collect();
    let form = |number: u32| match forms.get(&number) {
        Some(bytes) => Delivered::Form(Rc::clone(bytes)),
        None => Delivered::Nothing,
    };
    let shared = deliveries.shared.map_or(Delivered::Nothing, form);
    let mut all = vec![shared; count];
    let mut output = &deliveries.output[..];
    for exception in deliveries.exceptions {
        let delivered = match exception.effect {
            ExceptionEffect::Form(number) => form(number),
            ExceptionEffect::Outcome(outcome) => {
                let own = usize::try_from(outcome.output_length).unwrap_or(usize::MAX);
                let (own, rest) = output.split_at_checked(own).unwrap_or((output, &[]));
                output = rest;
                Delivered::Outcome(own.to_vec(), outcome)
            }
        };
        let index = usize::try_from(exception.index).ok();
        if let Some(place) = index.and_then(|index| all.get_mut(index)) {
            *place = delivered;
        }
    }
    (all, deliveries.wake_others)
}
