//! Asks the guest about a request, whatever version of HTTP it came in.

use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::time::{Instant, sleep_until, timeout};

use wasocket_host_core::http1::{BadAnswer, Refusal};

use crate::contract::bindings::Request;
use crate::guest::fault::Dead;
use crate::http::worker::Worker;
use crate::net::peer::Peer;
use crate::observe::access_log::log_fault;
use crate::pool::{Answered, Ruling, Undecided, Unplaced};

/// Why a request gets an answer of the host's instead of the guest's.
pub(crate) enum Failure {
    /// The instance died of it.
    Died,
    /// The instance lives, but its answer cannot be sent.
    BadAnswer(BadAnswer),
    /// It did not answer in time.
    Undecided,
    /// No instance is made for this time.
    BackingOff(Duration),
}

impl Failure {
    /// What the client gets. Why is in the log, and only there.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Died => Refusal::FAILED,
            Self::BadAnswer(bad) => bad.refusal(),
            Self::Undecided => Refusal::UNDECIDED,
            Self::BackingOff(_) => Refusal::BACKING_OFF,
        }
    }

    /// What `Retry-After` is to say, in whole seconds (RFC 9110 §10.2.3).
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::BackingOff(left) => Some(left.as_secs().saturating_add(1)),
            _ => None,
        }
    }

    /// For the operator. The death of an instance is in the log already, and so is the first of a pause.
    pub(crate) fn log(&self, request: &Request) {
        let (method, target) = (&request.method, &request.target);
        match self {
            Self::Died | Self::BackingOff(_) | Self::BadAnswer(BadAnswer::HttpVersion) => {}
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

impl From<Unplaced> for Failure {
    fn from(unplaced: Unplaced) -> Self {
        match unplaced {
            Unplaced::Dead => Self::Died,
            Unplaced::BackingOff(left) => Self::BackingOff(left),
        }
    }
}

impl From<BadAnswer> for Failure {
    fn from(bad: BadAnswer) -> Self {
        Self::BadAnswer(bad)
    }
}

/// Asks until there is an answer. Dropped before, the guest stops deciding.
pub(crate) async fn ask(
    worker: &Worker,
    request: &Arc<Request>,
    peer: Peer,
) -> Result<Answered, Failure> {
    let place = worker.pool.place().await?;
    let decided = place.handle(Arc::clone(request)).await?;
    let (answer, fault) = match decided.verdict {
        Ruling::Answer(answer) => (answer, decided.fault),
        Ruling::Later(undecided) => {
            let decided =
                timeout(worker.settings.decision_timeout, decide(worker, &undecided)).await;
            decided.map_err(|_| Failure::Undecided)??
        }
    };
    if let Some(fault) = fault {
        log_fault(&peer, &request.target, &fault);
    }
    Ok(answer)
}

/// Asks the guest for its answer, whenever there is a reason to, until there is one.
async fn decide(
    worker: &Worker,
    undecided: &Undecided,
) -> Result<(Answered, Option<String>), Dead> {
    loop {
        let progress = undecided.decide(worker.now()).await?;
        if let Some(answer) = progress.answer {
            return Ok((answer, progress.fault));
        }
        let wake_at = progress.wake_at.and_then(|instant| worker.at(instant));
        select! {
            woken = undecided.woken() => woken?,
            () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
        }
    }
}
