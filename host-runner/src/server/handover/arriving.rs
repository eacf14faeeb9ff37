//! A worker goes on with a connection of another process.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::reception::Reception;
use crate::contract::clock::monotonic;
use crate::guest::fault::Dead;
use crate::http::arrival::{Admission, Arrival};
use crate::http::worker::Worker;
use crate::limits::per_address::AddressPermit;
use crate::net::peer::Peer;
use crate::net::stream::accepted::Accepted;
use crate::pool::{Arrived, Place, Unplaced};
use crate::server::connection::Next;
use crate::session::Session;
use crate::session::moving::departure::{Departure, Incoming, Refusal};

/// Takes over a connection, here or at the worker that owns its path. Its session follows.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    incoming: Box<Incoming>,
    reception: Option<Rc<Reception>>,
) -> Next {
    let place = reception.and_then(|reception| reception.take());
    if let Some(owner) = worker.elsewhere(&incoming.departure.entry.path) {
        // If that has ended, the connection is refused.
        let _ = owner.send(Arrival::HandedOver(incoming));
        return Next::none();
    }
    let Incoming {
        mut departure,
        socket,
        mut answer,
        go,
    } = *incoming;
    let arrived = receive(&worker, &mut departure, place, answer.number()).await;
    let stream = Accepted::from_descriptor(socket).map_err(|_| Refusal::Failed);
    let (arrived, stream) = match arrived.and_then(|arrived| Ok((arrived, stream?))) {
        Ok(both) => both,
        Err(refusal) => {
            answer.give(Err(refusal));
            return Next::none();
        }
    };
    answer.give(Ok(()));
    let Ok(waited) = go.await else {
        // It stays where it was.
        return Next::none();
    };
    let pause = monotonic().saturating_sub(departure.suspended_at);
    let metrics = &worker.metrics;
    metrics.handover.arrived(Duration::from_nanos(pause));
    metrics.accepted.count();
    metrics.takeovers.count();
    let admission = Admission {
        address: count(&worker, &stream, departure.entry.remote),
        place: worker.shared.connection_limit.try_acquire(),
        open: worker.shared.open_connections.count(),
    };
    let Departure {
        entry, idle_for, ..
    } = departure;
    let remote = entry.remote;
    tracing::debug!(%remote, "taken over from another process");
    let served = Session::go_on(
        &worker.session,
        stream,
        arrived.settle(waited),
        entry.into(),
        idle_for,
    );
    let metrics = Arc::clone(metrics);
    Next::last(async move {
        match served.await {
            Ok(()) => tracing::debug!(%remote, "closed"),
            Err(error) => tracing::debug!(%remote, "closed: {error}"),
        }
        metrics.closed.count();
        drop(admission);
    })
}

/// Resumes the connection, which stays the other process's for now.
async fn receive(
    worker: &Worker,
    departure: &mut Departure,
    place: Option<Place>,
    number: u64,
) -> Result<Arrived, Refusal> {
    let client = departure.entry.remote;
    let ownership = worker.ownership.as_ref();
    let key = ownership.and_then(|ownership| ownership.key(&departure.entry.path));
    let place = match place {
        Some(place) if key.is_none() => place.given_to(client),
        _ => worker.pool.place(client, key.as_ref()).await?,
    };
    let elapsed = monotonic().saturating_sub(departure.suspended_at);
    let state = std::mem::take(&mut departure.state);
    let topics = worker.pool.unpack_topics(&departure.topics, number);
    let elapsed = Duration::from_nanos(elapsed);
    let received = place.receive(worker.now(), elapsed, state, Rc::clone(&topics));
    let received = match received.await {
        Ok(received) => received.map_err(Refusal::from),
        Err(Dead) => Err(Refusal::Failed),
    };
    received.inspect_err(|_| worker.pool.drop_topics(&topics))
}

/// Counts the connection towards the limits of its address, whatever they are.
fn count(worker: &Worker, stream: &Accepted, client: Peer) -> Option<AddressPermit> {
    let peer = match stream {
        Accepted::Tcp(stream) if !worker.proxies_name_clients => {
            stream.peer_addr().map_or(client, Peer::from)
        }
        _ => client,
    };
    let limiter = &worker.shared.per_address;
    peer.limited_ip()
        .map(|ip| limiter.adopt(ip, Instant::now()))
}

impl From<Unplaced> for Refusal {
    fn from(unplaced: Unplaced) -> Self {
        match unplaced {
            Unplaced::Dead => Self::Failed,
            Unplaced::BackingOff(_) | Unplaced::Full | Unplaced::OwnerFull(_) => Self::Full,
        }
    }
}
