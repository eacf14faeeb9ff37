use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::Poll;

use super::Answer;
use crate::head::Response;
use crate::protocol::Instant;
use crate::session::{Called, ConnectionId, ReadyList};

/// An [`App`](crate::App)'s decision about a request.
#[derive(Debug)]
pub enum Verdict {
    /// The answer.
    Answer(Answer),
    /// The answer comes later: the app has to wait for something first.
    Pending(PendingRequest),
    /// The app failed: the client gets status 500, and the operator this text.
    Failed(String),
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
        let outcome = poll_answer(&mut self.future, called);
        called.calling.end();
        let wake_at = (outcome.is_none() && called.calling.is_woken()).then_some(now);
        let (answer, fault) = outcome.map_or((None, None), |outcome| match outcome {
            Ok(answer) => (Some(answer), None),
            Err(fault) => (Some(failure()), Some(fault)),
        });
        PollResult {
            answer,
            fault,
            wake_at,
        }
    }
}

/// Polls until there is an answer. The output may be another future, of an app that was asked.
fn poll_answer(future: &mut Deciding, called: &Called) -> Option<Result<Answer, String>> {
    loop {
        match called.poll(future.as_mut()) {
            Poll::Ready(Verdict::Answer(answer)) => return Some(Ok(answer)),
            Poll::Ready(Verdict::Failed(fault)) => return Some(Err(fault)),
            Poll::Ready(Verdict::Pending(other)) => {
                *future = other.future;
                called.wake();
            }
            Poll::Pending => return None,
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
