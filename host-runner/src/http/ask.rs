//! Asks the guest about a request until it has decided.

use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::time::{Instant, sleep_until, timeout};

use wasocket_host_core::http1::{BadAnswer, Refusal, Refused};

use crate::contract::bindings::Request;
use crate::guest::fault::Dead;
use crate::http::worker::Worker;
use crate::net::peer::Peer;
use crate::observe::access_log::{log_fault, path};
use crate::pool::{Decision, PendingRequest, Place, Unplaced};

/// RFC 9110 §15.6.4.
const NO_MORE_INSTANCES: Refusal = Refusal::new(
    503,
    "The server has no room for another instance of the application.",
);

/// RFC 9110 §15.6.4. Another instance would not know what this one does.
const OWNER_FULL: Refusal = Refusal::new(503, "The instance that serves this path is full.");

/// Why the host answers a request instead of the guest.
pub(crate) enum Failure {
    /// The guest is not asked.
    Refused(Refused),
    /// The instance died while answering.
    Died,
    /// The instance is alive, but its answer cannot be sent.
    BadAnswer(BadAnswer),
    /// The guest did not answer in time.
    Timeout,
    /// Instances fail, and none is started for this long.
    BackingOff(Duration),
    /// The system has no room for another instance.
    Full,
}

impl Failure {
    /// The response to the client, and its cause for the log.
    pub(crate) fn refused(&self) -> Refused {
        match self {
            Self::Refused(refused) => refused.clone(),
            Self::Died => Refusal::FAILED.with("its instance ended".to_owned()),
            Self::BadAnswer(bad) => bad.refusal().with(bad.to_string()),
            Self::Timeout => Refusal::APP_TIMEOUT.with("--decision-timeout".to_owned()),
            Self::BackingOff(_) => Refusal::BACKING_OFF.into(),
            Self::Full => NO_MORE_INSTANCES.with("vm.max_map_count, or memory".to_owned()),
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
        let (method, path) = (&request.method, path(&request.target));
        match self {
            Self::Refused(_)
            | Self::Died
            | Self::BackingOff(_)
            | Self::Full
            | Self::BadAnswer(BadAnswer::HttpVersion) => {}
            Self::BadAnswer(bad) => {
                tracing::error!(
                    "cannot send the guest's answer to {method} {path:?}, sending 500: {bad}"
                );
            }
            Self::Timeout => tracing::warn!(
                "the guest did not answer {method} {path:?} in time, sending 504 (--decision-timeout)"
            ),
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
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
            Unplaced::Full => Self::Full,
            Unplaced::OwnerFull(_) => Self::Refused(OWNER_FULL.into()),
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
) -> Result<Decision, Failure> {
    let place = place(worker, request, client).await?;
    let decision = match place.handle(Arc::clone(request)).await? {
        Ok(decision) => decision,
        Err(pending_request) => {
            let decision = poll(worker, &pending_request);
            let decision = timeout(worker.settings.decision_timeout, decision).await;
            decision.map_err(|_| Failure::Timeout)??
        }
    };
    if let Some(fault) = &decision.fault {
        log_fault(&client, &request.target, fault);
    }
    Ok(decision)
}

/// A place for the request: on the instance that owns it, if one does.
async fn place(worker: &Worker, request: &Request, client: Peer) -> Result<Place, Failure> {
    let Some(ownership) = &worker.ownership else {
        return Ok(worker.pool.place(client, None).await?);
    };
    let key = ownership.key(&request.target);
    let placed = worker.pool.place(client, key.as_ref()).await;
    placed.map_err(|unplaced| match unplaced {
        Unplaced::OwnerFull(most) => {
            let pattern = ownership.pattern();
            let limit =
                format!("{most} (--connections-per-instance) for {pattern} (--instance-by)");
            OWNER_FULL.with(limit).into()
        }
        unplaced => unplaced.into(),
    })
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
