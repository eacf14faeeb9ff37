//! An echo of the event form, whose connections can be suspended: `/suspends`. On paths below it they lose something.

use wasocket::events::{Accept, Context, EventHandler, events};
use wasocket::{
    Answer, App, Instant, Message, ReadyList, Request, Response, ResumeError, Resumer, Session,
    Suspended, Takeover, Verdict,
};

use super::{Breaching, handshake};

struct Echo;

impl EventHandler for Echo {
    type State = ();

    fn open(&self, _: &Request, _: &mut Context<'_, ()>) -> Result<Accept, Response> {
        let mut accept = Accept::default();
        accept.settings.compress = true;
        Ok(accept)
    }

    fn message(&self, message: Message, cx: &mut Context<'_, ()>) {
        cx.send(message);
    }
}

pub(super) fn handle(request: Request) -> Verdict {
    events(Echo).handle(request)
}

/// Resumes connections, some of which lose something.
pub(super) struct Lossy;

impl Resumer for Lossy {
    fn resume(
        &self,
        at: Instant,
        id: u64,
        ready: &ReadyList,
        suspended: Suspended,
    ) -> Result<Box<dyn Session>, ResumeError> {
        let path = suspended.path.clone();
        if path == "/suspends/fresh" {
            return fresh(at, id, ready, path);
        }
        let app = events(Echo);
        let resumer = app.resumer(&path).ok_or(ResumeError::Unsupported)?;
        let inner = resumer.resume(at, id, ready, suspended)?;
        let broken = match &*path {
            "/suspends/uncounted" => "/report",
            // It is not told of pings.
            "/suspends/forgetful" => "/suspends",
            _ => return Ok(inner),
        };
        let (path, held) = (broken.to_owned(), Vec::new());
        Ok(Box::new(Breaching { inner, path, held }))
    }
}

/// A new connection, for which nothing has been negotiated.
fn fresh(
    at: Instant,
    id: u64,
    ready: &ReadyList,
    path: String,
) -> Result<Box<dyn Session>, ResumeError> {
    let request = Request {
        method: "GET".to_owned(),
        target: path,
        fields: handshake(),
        ..Request::default()
    };
    match handle(request) {
        Verdict::Answer(Answer::Takeover(Takeover { mut session, .. })) => {
            let _ = session.open(at, id, ready, Vec::new());
            Ok(session)
        }
        _ => Err(ResumeError::Invalid),
    }
}
