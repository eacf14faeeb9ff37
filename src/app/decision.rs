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

/// What an [`App`](crate::App) makes of a request.
#[derive(Debug)]
pub enum Verdict {
    /// It is answered.
    Answer(Answer),
    /// Somebody has to be asked first.
    Later(Undecided),
    /// The app has done something wrong: the client gets status 500, and the operator this text.
    Failed(String),
}

/// What the client of an app that has failed is told.
pub(crate) fn failure() -> Answer {
    Response::text(500, "Internal Server Error\n").into()
}

impl<A: Into<Answer>> From<A> for Verdict {
    fn from(answer: A) -> Self {
        Self::Answer(answer.into())
    }
}

impl From<Undecided> for Verdict {
    fn from(undecided: Undecided) -> Self {
        Self::Later(undecided)
    }
}

type Deciding = Pin<Box<dyn Future<Output = Verdict>>>;

/// A request that waits for its answer: the `undecided` resource of the WIT package, whose contract
/// says when it is called. Dropped, it stops deciding.
pub struct Undecided {
    future: Deciding,
    called: Option<Called>,
}

/// How far a decision has come.
#[derive(Debug)]
pub struct Deliberation {
    /// The answer; none yet, if none.
    pub answer: Option<Answer>,
    /// What the app has done wrong, if anything: for the operator.
    pub fault: Option<String>,
    /// When to call [`Undecided::decide`] again; none if nothing but what it waits for is a reason to.
    pub wake_at: Option<Instant>,
}

impl Undecided {
    /// The answer to a request is what a future comes to: a [`Response`](crate::Response), an
    /// [`Answer`], or what another app says ([`App::handle`](crate::App::handle)).
    pub fn new(future: impl Future<Output: Into<Verdict>> + 'static) -> Self {
        Self {
            future: Box::pin(async { future.await.into() }),
            called: None,
        }
    }

    /// Goes on deciding. The host knows the request by `id`; it is to be on the list `ready` when it
    /// wants to be called.
    pub fn decide(&mut self, now: Instant, id: ConnectionId, ready: &ReadyList) -> Deliberation {
        let called = self.called.get_or_insert_with(|| Called::new(id, ready));
        called.calling.begin();
        called.calling.wake_watchers();
        let outcome = poll(&mut self.future, called);
        called.calling.end();
        let wake_at = (outcome.is_none() && called.calling.is_woken()).then_some(now);
        let (answer, fault) = outcome.map_or((None, None), |outcome| match outcome {
            Ok(answer) => (Some(answer), None),
            Err(fault) => (Some(failure()), Some(fault)),
        });
        Deliberation {
            answer,
            fault,
            wake_at,
        }
    }
}

/// What a future comes to may be another one, of an app that it has asked.
fn poll(future: &mut Deciding, called: &Called) -> Option<Result<Answer, String>> {
    loop {
        match called.poll(future.as_mut()) {
            Poll::Ready(Verdict::Answer(answer)) => return Some(Ok(answer)),
            Poll::Ready(Verdict::Failed(fault)) => return Some(Err(fault)),
            Poll::Ready(Verdict::Later(other)) => {
                *future = other.future;
                called.wake();
            }
            Poll::Pending => return None,
        }
    }
}

impl fmt::Debug for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Undecided").finish_non_exhaustive()
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

    fn status(deliberation: Deliberation) -> Option<u16> {
        match deliberation.answer? {
            Answer::Respond(response) => Some(response.head.status),
            Answer::Takeover(_) => None,
        }
    }

    #[test]
    fn what_is_known_at_once_is_answered_at_once() {
        let mut undecided = Undecided::new(async { Response::text(403, "") });
        let deliberation = undecided.decide(NOW, 1, &ReadyList::default());
        assert_eq!(status(deliberation), Some(403));
    }

    #[test]
    fn whoever_knows_the_answer_has_the_request_called() {
        let waiting: Rc<RefCell<Option<core::task::Waker>>> = Rc::default();
        let own = Rc::clone(&waiting);
        let mut undecided = Undecided::new(async move {
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
        let deliberation = undecided.decide(NOW, 9, &ready);
        assert_eq!((deliberation.wake_at, status(deliberation)), (None, None));
        // A call without need does no harm.
        assert_eq!(status(undecided.decide(NOW, 9, &ready)), None);
        assert!(ready.take().is_empty());

        let waker = waiting.borrow().clone().expect("it waits");
        waker.wake();
        assert_eq!(ready.take(), vec![9]);
        assert_eq!(status(undecided.decide(NOW, 9, &ready)), Some(204));
    }

    #[test]
    fn who_gives_up_the_turn_is_called_again_at_once() {
        let mut turns = 0;
        let mut undecided = Undecided::new(async move {
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
            assert_eq!(undecided.decide(NOW, 1, &ready).wake_at, Some(NOW));
        }
        assert_eq!(status(undecided.decide(NOW, 1, &ready)), Some(204));
    }
}
