use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

use super::head;
use super::publish::{Publication, PublishRequest};
use crate::events::fault::{Fault, check_size};
use crate::events::judge::publications;
use crate::events::{Action, EventApp};
use crate::head::Response;
use crate::topics;

/// The reply to a request: publish, in order; then respond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The response, whose head can be sent as it is.
    pub response: Response,
    /// The messages to publish.
    pub publish: Vec<PublishRequest>,
    /// Lines for a log.
    pub log: Vec<String>,
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self {
            response,
            publish: Vec::new(),
            log: Vec::new(),
        }
    }
}

impl Reply {
    pub(super) fn refusal(status: u16, log: impl ToString) -> Self {
        let log = log.to_string();
        Self {
            response: Response::text(status, format!("{log}\n")),
            publish: Vec::new(),
            log: vec![log],
        }
    }

    /// A failure whose details belong in the log only.
    pub(super) fn failure(log: String) -> Self {
        Self {
            response: Response::text(500, "Internal Server Error\n"),
            publish: Vec::new(),
            log: vec![log],
        }
    }
}

/// The app's own response, and the messages that it publishes.
pub(super) fn refuse(
    response: Response,
    actions: Vec<Action>,
    sender: Option<&str>,
    sent: &mut Vec<Publication>,
) -> Result<Reply, Fault> {
    publications(actions, |publication| {
        sent.push(to_proxy(publication, sender))
    })?;
    Ok(responding(response))
}

fn to_proxy(publication: topics::Publication, sender: Option<&str>) -> Publication {
    Publication {
        channel: publication.topic,
        message: publication.message,
        sender: sender.map(Into::into),
    }
}

pub(super) fn responding(response: Response) -> Reply {
    match head::response(&response.head) {
        Ok(head) => {
            let log = response.reason.clone().map(Into::into);
            Reply {
                log: log.into_iter().collect(),
                ..Response { head, ..response }.into()
            }
        }
        Err(error) => Reply::failure(error.to_string()),
    }
}

/// Tells the app about its fault, before there is a WebSocket.
pub(super) fn tell(
    app: &(impl EventApp + ?Sized),
    id: &str,
    fault: &Fault,
    sent: &mut Vec<Publication>,
) -> Reply {
    let answer = app.handle(id, &[], vec![fault.as_event()]);
    // It has been told once. There is no way to report another fault.
    let _ = check_size(&answer)
        .and_then(|()| publications(answer, |publication| sent.push(to_proxy(publication, None))));
    Reply::failure(format!("app error: {fault}"))
}
