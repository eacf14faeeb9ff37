use core::future::Future;

use super::{App, PendingRequest, Verdict};
use crate::head::Request;

/// An app whose function may await something before it answers, such as a backend that knows who the user is.
/// Other requests and connections continue meanwhile.
///
/// ```
/// use wasocket::{Answer, Error, Request, Response, Upgrade, WebSocket, decide};
/// # async fn user_of(request: &Request) -> Option<String> { None }
///
/// async fn enter(request: Request) -> Answer {
///     match user_of(&request).await {
///         Some(user) => Upgrade::new().converse(&request, |ws| greet(ws, user)),
///         None => Response::text(401, "Who are you?\n").into(),
///     }
/// }
///
/// async fn greet(ws: WebSocket, user: String) -> Result<(), Error> {
///     ws.send(format!("Hello, {user}!")).await
/// }
///
/// wasocket::export!(decide(enter));
/// ```
///
/// The host bounds how long a decision may take (the runner: `--decision-timeout`, 30 s); then it answers 504
/// and drops the function's future. It may do so earlier if it notices that the client is gone, which the
/// runner does not check.
pub fn decide<D, F>(decide: D) -> impl App
where
    D: Fn(Request) -> F + 'static,
    F: Future<Output: Into<Verdict>> + 'static,
{
    Decide(decide)
}

struct Decide<D>(D);

impl<D, F> App for Decide<D>
where
    D: Fn(Request) -> F,
    F: Future<Output: Into<Verdict>> + 'static,
{
    fn handle(&self, request: Request) -> Verdict {
        PendingRequest::new((self.0)(request)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Answer;
    use crate::head::Response;
    use crate::protocol::Instant;
    use crate::session::ReadyList;

    #[test]
    fn a_decision_may_ask_another_app() {
        let inner = decide(|_| async { Response::text(418, "") });
        let outer = decide(move |request| {
            let verdict = inner.handle(request);
            async { verdict }
        });
        match outer.handle(Request::default()) {
            Verdict::Pending(mut pending_request) => {
                let now = Instant::from_nanos(7);
                let poll_result = pending_request.poll(now, 1, &ReadyList::default());
                let Some(Answer::Respond(response)) = poll_result.answer else {
                    panic!("{poll_result:?}");
                };
                assert_eq!(response.head.status, 418);
            }
            verdict => panic!("{verdict:?}"),
        }
    }
}
