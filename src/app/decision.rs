use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::Poll;

use super::Answer;
use crate::head::Response;
use crate::protocol::{Instant, Message};
use crate::session::{Called, ConnectionId, ReadyList};
use crate::topics::{Publication, check_name};

/// An [`App`](crate::App)'s decision about a request.
#[derive(Debug)]
pub enum Verdict {
    /// The answer.
    Answer(Answer),
    /// The answer comes later: the app has to wait for something first.
    Pending(PendingRequest),
    /// The app failed: the client gets status 500, and the operator this text.
    Failed(String),
    /// The verdict, and what is published with it: see [`publish`](Self::publish).
    Publishing(Vec<Publication>, Box<Self>),
}

impl Verdict {
    /// The same verdict, and a message for all subscribers of a topic. Its name has 1 to
    /// [`MAX_TOPIC_NAME`](crate::topics::MAX_TOPIC_NAME) bytes; with another one the app has failed.
    ///
    /// ```
    /// use wasocket::{Request, Response, Verdict};
    ///
    /// fn announce(request: &Request) -> Verdict {
    ///     match request.query_value("text") {
    ///         Some(text) => Response::text(202, "announced\n").publish("news", text),
    ///         None => Response::text(400, "announce what? /?text=...\n").into(),
    ///     }
    /// }
    ///
    /// wasocket::export!(announce);
    /// ```
    #[must_use]
    pub fn publish(self, topic: impl Into<String>, message: impl Into<Message>) -> Self {
        let publication = Publication {
            topic: topic.into(),
            message: message.into(),
            to_others: false,
        };
        match check_name(&publication.topic) {
            Ok(()) => self.publishing(vec![publication]),
            Err(error) => Self::Failed(error.to_string()),
        }
    }

    /// The same verdict, with these publications after its own.
    pub(crate) fn publishing(self, more: Vec<Publication>) -> Self {
        if more.is_empty() {
            return self;
        }
        let (mut publications, verdict) = self.into_parts();
        publications.extend(more);
        Self::Publishing(publications, Box::new(verdict))
    }

    /// What is published, in order; and the verdict without it.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Publication>, Self) {
        let (mut publications, mut verdict) = (Vec::new(), self);
        while let Self::Publishing(mut outer, inner) = verdict {
            outer.append(&mut publications);
            (publications, verdict) = (outer, *inner);
        }
        (publications, verdict)
    }
}

impl Answer {
    /// The same answer, and a message for all subscribers of a topic: see [`Verdict::publish`].
    #[must_use]
    pub fn publish(self, topic: impl Into<String>, message: impl Into<Message>) -> Verdict {
        Verdict::from(self).publish(topic, message)
    }
}

impl Response {
    /// The same response, and a message for all subscribers of a topic: see [`Verdict::publish`].
    #[must_use]
    pub fn publish(self, topic: impl Into<String>, message: impl Into<Message>) -> Verdict {
        Verdict::from(self).publish(topic, message)
    }
}

/// The answer to the client of an app that has failed.
pub(crate) fn failure() -> Answer {
    Response::text(500, "Internal Server Error\n").into()
}

impl<A: Into<Answer>> From<A> for Verdict {
    fn from(answer: A) -> Self {
        Self::Answer(answer.into())
    }
}

impl From<PendingRequest> for Verdict {
    fn from(pending_request: PendingRequest) -> Self {
        Self::Pending(pending_request)
    }
}

type Deciding = Pin<Box<dyn Future<Output = Verdict>>>;

/// A request without an answer yet: the `pending-request` resource of the WIT package, whose contract says when to
/// call it. Dropping it cancels the decision.
pub struct PendingRequest {
    future: Deciding,
    called: Option<Called>,
}

/// The result of [`PendingRequest::poll`].
#[derive(Debug)]
pub struct PollResult {
    /// The answer; `None` if it is still to come.
    pub answer: Option<Answer>,
    /// The app's fault, if any, for the operator.
    pub fault: Option<String>,
    /// When to call [`PendingRequest::poll`] again; `None` if only what it waits for is a reason to.
    pub wake_at: Option<Instant>,
    /// What is published.
    pub publications: Vec<Publication>,
}

impl PendingRequest {
    /// A request whose answer is the output of a future: a [`Response`](crate::Response), an [`Answer`], or
    /// what another app says ([`App::handle`](crate::App::handle)).
    pub fn new(future: impl Future<Output: Into<Verdict>> + 'static) -> Self {
        Self {
            future: Box::pin(async { future.await.into() }),
            called: None,
        }
    }

    /// Works on the answer, and returns it if it is ready. The host knows the request by `id`, which goes on the
    /// list `ready` when the request wants to be called.
    pub fn poll(&mut self, now: Instant, id: ConnectionId, ready: &ReadyList) -> PollResult {
        let called = self.called.get_or_insert_with(|| Called::new(id, ready));
        called.calling.begin();
        called.calling.wake_watchers();
        let mut publications = Vec::new();
        let verdict = poll_verdict(&mut self.future, called, &mut publications);
        called.calling.end();
        let wake_at = (verdict.is_none() && called.calling.is_woken()).then_some(now);
        let (answer, fault) = match verdict {
            Some(Ok(answer)) => (Some(answer), None),
            Some(Err(fault)) => (Some(failure()), Some(fault)),
            None => (None, None),
        };
        PollResult {
            answer,
            fault,
            wake_at,
            publications,
        }
    }
}

/// Polls until there is an answer. The output may be another future, of an app that was asked.
fn poll_verdict(
    future: &mut Deciding,
    called: &Called,
    publications: &mut Vec<Publication>,
) -> Option<Result<Answer, String>> {
    loop {
        let Poll::Ready(verdict) = called.poll(future.as_mut()) else {
            return None;
        };
        let (published, verdict) = verdict.into_parts();
        publications.extend(published);
        match verdict {
            Verdict::Answer(answer) => return Some(Ok(answer)),
            Verdict::Failed(fault) => return Some(Err(fault)),
            Verdict::Pending(other) => {
                *future = other.future;
                called.wake();
            }
            // `into_parts` leaves none of these.
            Verdict::Publishing(..) => return None,
        }
    }
}

impl fmt::Debug for PendingRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingRequest").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use alloc::rc::Rc;
    use alloc::vec;
    use core::cell::RefCell;
    use core::future::poll_fn;

    use super::*;
    use crate::head::Response;

    const NOW: Instant = Instant::from_nanos(7);

    fn status(poll_result: PollResult) -> Option<u16> {
        match poll_result.answer? {
            Answer::Respond(response) => Some(response.head.status),
            Answer::Takeover(_) => None,
        }
    }

    #[test]
    fn answers_at_once_if_it_can() {
        let mut pending_request = PendingRequest::new(async { Response::text(403, "") });
        let poll_result = pending_request.poll(NOW, 1, &ReadyList::default());
        assert_eq!(status(poll_result), Some(403));
    }

    #[test]
    fn a_wake_up_has_the_request_called() {
        let waiting: Rc<RefCell<Option<core::task::Waker>>> = Rc::default();
        let own = Rc::clone(&waiting);
        let mut pending_request = PendingRequest::new(async move {
            poll_fn(
                |context| match own.borrow_mut().replace(context.waker().clone()) {
                    Some(_) => Poll::Ready(()),
                    None => Poll::Pending,
                },
            )
            .await;
            Response::text(204, "")
        });
        let ready = ReadyList::default();
        let poll_result = pending_request.poll(NOW, 9, &ready);
        assert_eq!((poll_result.wake_at, status(poll_result)), (None, None));
        // A needless call does no harm.
        assert_eq!(status(pending_request.poll(NOW, 9, &ready)), None);
        assert!(ready.take().is_empty());

        let waker = waiting.borrow().clone().expect("it waits");
        waker.wake();
        assert_eq!(ready.take(), vec![9]);
        assert_eq!(status(pending_request.poll(NOW, 9, &ready)), Some(204));
    }

    #[test]
    fn a_future_that_yields_is_called_again_at_once() {
        let mut turns = 0;
        let mut pending_request = PendingRequest::new(async move {
            poll_fn(|context| {
                turns += 1;
                context.waker().wake_by_ref();
                match turns {
                    3.. => Poll::Ready(()),
                    _ => Poll::Pending,
                }
            })
            .await;
            Response::text(204, "")
        });
        let ready = ReadyList::default();
        for _ in 0..2 {
            assert_eq!(pending_request.poll(NOW, 1, &ready).wake_at, Some(NOW));
        }
        assert_eq!(status(pending_request.poll(NOW, 1, &ready)), Some(204));
    }
}
