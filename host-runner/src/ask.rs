//! Asks the guest about a request, whatever version of HTTP it came in.

use tokio::select;
use tokio::time::{Instant, sleep_until, timeout};

use wasocket_http1::{BadAnswer, Refusal};

use crate::accepted::Peer;
use crate::access::log_fault;
use crate::bindings::{self, Request, Response, ResponseHead, Verdict};
use crate::pool::{Connection, Dead, Undecided};
use crate::worker::Worker;

/// A guest's answer to a request, not yet checked.
pub(crate) enum Answer {
    Respond(Response),
    Takeover(Offer),
}

/// What a guest takes a socket over with. Dropped, the guest's connection is.
pub(crate) struct Offer {
    pub(crate) connection: Connection,
    pub(crate) response: Option<ResponseHead>,
    pub(crate) farewell: Vec<u8>,
}

/// Why a request gets an answer of the host's instead of the guest's.
pub(crate) enum Failure {
    /// The instance died of it.
    Died,
    /// The instance lives, but its answer cannot be sent.
    BadAnswer(BadAnswer),
    /// It did not answer in time.
    Undecided,
}

impl Failure {
    /// What the client gets. Why is in the log, and only there.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Died => Refusal::FAILED,
            Self::BadAnswer(bad) => bad.refusal(),
            Self::Undecided => Refusal::UNDECIDED,
        }
    }

    /// For the operator. The death of an instance is in the log already.
    pub(crate) fn log(&self, request: &Request) {
        let (method, target) = (&request.method, &request.target);
        match self {
            Self::Died | Self::BadAnswer(BadAnswer::HttpVersion) => {}
            Self::BadAnswer(bad) => {
                tracing::error!("the guest's answer to {method} {target} is refused: {bad}");
            }
            Self::Undecided => tracing::warn!(
                "the guest has not answered {method} {target} in time (--decision-timeout)"
            ),
        }
    }
}

impl From<Dead> for Failure {
    fn from(_: Dead) -> Self {
        Self::Died
    }
}

impl From<BadAnswer> for Failure {
    fn from(bad: BadAnswer) -> Self {
        Self::BadAnswer(bad)
    }
}

/// Asks until there is an answer. Dropped before, the guest stops deciding.
pub(crate) async fn ask(worker: &Worker, request: &Request, peer: Peer) -> Result<Answer, Failure> {
    let place = worker.pool.place()?;
    let (verdict, fault) = place.handle(request)?;
    let (place, answer, fault) = match verdict {
        Verdict::Answer(answer) => (place, answer, fault),
        Verdict::Later(undecided) => {
            let undecided = place.keep_for_undecided(undecided);
            let decided = timeout(worker.decision_timeout, decide(worker, &undecided)).await;
            let (answer, fault) = decided.map_err(|_| Failure::Undecided)??;
            (undecided.into_place(), answer, fault)
        }
    };
    if let Some(fault) = fault {
        log_fault(&peer, &request.target, &fault);
    }
    Ok(match answer {
        bindings::Answer::Respond(response) => Answer::Respond(response),
        bindings::Answer::Takeover(takeover) => Answer::Takeover(Offer {
            connection: place.keep_for(takeover.connection),
            response: takeover.response,
            farewell: takeover.farewell,
        }),
    })
}

/// Asks the guest for its answer, whenever there is a reason to, until there is one.
async fn decide(
    worker: &Worker,
    undecided: &Undecided,
) -> Result<(bindings::Answer, Option<String>), Dead> {
    loop {
        let deliberation = undecided.decide(worker.now())?;
        if let Some(answer) = deliberation.answer {
            return Ok((answer, deliberation.fault));
        }
        let wake_at = deliberation.wake_at.and_then(|instant| worker.at(instant));
        select! {
            woken = undecided.woken() => woken?,
            () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
        }
    }
}
