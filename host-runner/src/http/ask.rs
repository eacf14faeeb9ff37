//! Asks the guest about a request until it has decided.

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
use crate::pool::{Answer, Decision, PendingRequest, Unplaced};

/// Why the host answers a request instead of the guest.
pub(crate) enum Failure {
    /// The guest is not asked.
    Refused(Refusal),
    /// The instance died while answering.
    Died,
    /// The instance is alive, but its answer cannot be sent.
    BadAnswer(BadAnswer),
    /// The guest did not answer in time.
    Timeout,
    /// Instances fail, and none is started for this long.
    BackingOff(Duration),
}

impl Failure {
    /// The response to the client. The cause appears in the log only.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Refused(refusal) => *refusal,
            Self::Died => Refusal::FAILED,
            Self::BadAnswer(bad) => bad.refusal(),
            Self::Timeout => Refusal::APP_TIMEOUT,
            Self::BackingOff(_) => Refusal::BACKING_OFF,
        }
    }

    /// `Retry-After`, in whole seconds (RFC 9110 §10.2.3).
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::BackingOff(left) => Some(left.as_secs().saturating_add(1)),
            _ => None,
        }
    }

    /// Logs the failure, unless it has been logged already, like the death of an instance or the start of a backoff.
    pub(crate) fn log(&self, request: &Request) {
        let (method, target) = (&request.method, &request.target);
        match self {
            Self::Refused(_)
            | Self::Died
            | Self::BackingOff(_)
            | Self::BadAnswer(BadAnswer::HttpVersion) => {}
            Self::BadAnswer(bad) => {
                tracing::error!(
                    "cannot send the guest's answer to {method} {target}, sending 500: {bad}"
                );
            }
            Self::Timeout => tracing::warn!(
                "the guest did not answer {method} {target} in time, sending 504 (--decision-timeout)"
            ),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
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

/// Asks the guest for its answer. Dropping the future cancels the request in the guest, too.
pub(crate) async fn ask(
    worker: &Worker,
    request: &Arc<Request>,
    client: Peer,
) -> Result<Answer, Failure> {
    let place = worker.pool.place().await?;
    let Decision { answer, fault } = match place.handle(Arc::clone(request)).await? {
        Ok(decision) => decision,
        Err(pending_request) => {
            let decision = poll(worker, &pending_request);
            let decision = timeout(worker.settings.decision_timeout, decision).await;
            decision.map_err(|_| Failure::Timeout)??
        }
    };
    if let Some(fault) = fault {
        log_fault(&client, &request.target, &fault);
    }
    Ok(answer)
}

/// Polls the request whenever there is a reason to, until the guest has decided.
async fn poll(worker: &Worker, pending_request: &PendingRequest) -> Result<Decision, Dead> {
    loop {
        let wake_at = match pending_request.poll(worker.now()).await? {
            Ok(decision) => return Ok(decision),
            Err(wake_at) => wake_at.and_then(|instant| worker.at(instant)),
        };
        select! {
            woken = pending_request.woken() => woken?,
            () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
        }
    }
}
