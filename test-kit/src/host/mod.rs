//! The host: calls the app in the order that `wit/websocket-handler.wit` demands.

mod answer;
mod breach;
pub(crate) mod client;
pub(crate) mod peer;
mod topics;

use wasocket::{ConnectionId, HttpVersion, Instant, Request, ShutdownReason};
use wasocket_host_core::turn::Ending;

use crate::Fault;
use crate::app::{App, Call};
use crate::contract::{self, Answer, Effects, Handle, Takeover, Verdict, turn_next};
use answer::{FAILED, NEEDS_HTTP_11, check_takeover, name, plain, respond};
pub(crate) use breach::Breach;
use breach::MAX_CALLS;
use client::Client;
use peer::{Input, Peer};
pub(crate) use topics::Place;

/// The number of a request that waits, which no connection has.
const PENDING_REQUEST_ID: ConnectionId = ConnectionId::MAX;

pub(crate) struct Host {
    app: Box<dyn App>,
    /// In nanoseconds.
    now: u64,
    /// All sockets so far, each at the index of its number.
    peers: Vec<Peer>,
    /// The app's fault, until the test has seen it.
    fault: Option<Fault>,
    /// The number of clients so far.
    clients: u64,
    /// Where topics are; `None` before the kit is complete.
    pub(crate) place: Option<Place>,
}

/// The outcome of a request.
pub(crate) enum Outcome {
    Response(contract::Response),
    /// A socket by its number.
    TakenOver(usize),
}

/// The next thing to do.
enum Due {
    Wake,
    Input(Input),
    /// A timer of the client went off.
    Client,
    /// The client has given up the socket.
    Loss,
    /// What was published waits for output that is sent by now.
    Waiting,
}

impl Host {
    pub(crate) fn new(app: Box<dyn App>) -> Self {
        Self {
            app,
            now: 0,
            peers: Vec::new(),
            fault: None,
            clients: 0,
            place: None,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    pub(crate) fn peer(&self, id: usize) -> &Peer {
        &self.peers[id]
    }

    pub(crate) fn peer_mut(&mut self, id: usize) -> &mut Peer {
        &mut self.peers[id]
    }

    pub(crate) fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    pub(crate) fn next_client(&mut self) -> u64 {
        self.clients += 1;
        self.clients
    }

    /// Asks the app about a request. `residual` followed its head.
    pub(crate) fn request(
        &mut self,
        request: &Request,
        residual: &[u8],
        client: Option<Client>,
    ) -> Result<Outcome, Breach> {
        let decision = match self.app.handle(request) {
            Ok(decision) => decision,
            Err(fault) => return Ok(self.failed(fault)),
        };
        self.mark(&decision.wake_others);
        self.publish(decision.publications);
        let answer = match decision.verdict {
            Verdict::Answer(answer) => answer,
            Verdict::Pending(pending_request) => match self.poll(request, pending_request)? {
                Ok(answer) => answer,
                Err(fault) => return Ok(self.failed(fault)),
            },
        };
        let outcome = match answer {
            Answer::Respond(response) => respond(request, response).map(Outcome::Response)?,
            Answer::Takeover(takeover) => self.take_over(request, takeover, residual, client)?,
        };
        self.settle()?;
        Ok(outcome)
    }

    /// Polls a request until the app has answered. There is nothing outside of the app that it could wait for.
    fn poll(
        &mut self,
        request: &Request,
        pending_request: Handle,
    ) -> Result<Result<Answer, Fault>, Breach> {
        for _ in 0..MAX_CALLS {
            let progress = match self.app.poll(pending_request, self.now, PENDING_REQUEST_ID) {
                Ok(progress) => progress,
                Err(fault) => return Ok(Err(fault)),
            };
            self.mark(&progress.wake_others);
            self.publish(progress.publications);
            if let Some(answer) = progress.answer {
                let dropped = self.app.drop_pending_request(pending_request);
                return Ok(dropped.map(|()| answer));
            }
            if progress.wake_at.is_none_or(|at| at > self.now) {
                break;
            }
        }
        Err(Breach::NoAnswer(name(request)))
    }

    fn take_over(
        &mut self,
        request: &Request,
        takeover: Takeover,
        residual: &[u8],
        client: Option<Client>,
    ) -> Result<Outcome, Breach> {
        let handle = takeover.connection;
        if request.version != HttpVersion::Http11 {
            self.drop_connection(handle);
            return Ok(Outcome::Response(plain(501, NEEDS_HTTP_11)));
        }
        let head = check_takeover(request, &takeover)?;
        let id = self.peers.len();
        let call = Call::Open {
            id: id as ConnectionId,
            residual,
        };
        // Before the head is sent, so that a trap can still be answered.
        let effects = match self.app.call(handle, self.now, call) {
            Ok(effects) => effects,
            Err(fault) => return Ok(self.failed(fault)),
        };
        self.peers.push(Peer::new(takeover, client));
        let now = self.now();
        self.peers[id].put_out(now, &head);
        self.carry_out(id, effects)?;
        Ok(Outcome::TakenOver(id))
    }

    /// The response to a request that killed the app.
    fn failed(&mut self, fault: Fault) -> Outcome {
        self.bury(fault);
        Outcome::Response(plain(500, FAILED))
    }

    /// Lets time pass. Timers fire in order.
    pub(crate) fn pass(&mut self, nanoseconds: u64) -> Result<(), Breach> {
        let end = self.now.saturating_add(nanoseconds);
        self.settle()?;
        while let Some(at) = self.next_instant().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.settle()?;
        }
        self.now = end;
        Ok(())
    }

    fn next_instant(&self) -> Option<u64> {
        let instants = self.peers.iter().flat_map(|peer| {
            let client = peer.client_instant();
            [peer.turn.wake_at(), client]
        });
        instants.flatten().min()
    }

    /// Does everything that is due now.
    pub(crate) fn settle(&mut self) -> Result<(), Breach> {
        let mut last = 0;
        for _ in 0..MAX_CALLS {
            let Some((id, due)) = self.due() else {
                match self.take_mail() {
                    Some(mail) => self.on_mail(mail)?,
                    None => return Ok(()),
                }
                continue;
            };
            last = id;
            match due {
                Due::Wake => self.call_wake(id)?,
                Due::Input(Input::Bytes(bytes)) => self.call(id, Call::Receive(&bytes))?,
                Due::Input(Input::End) => self.call(id, Call::ReceiveEof)?,
                Due::Client => self.wake_client(id),
                Due::Loss => self.lose(id),
                Due::Waiting => self.give_waiting(id)?,
            }
        }
        Err(Breach::Restless(last))
    }

    /// The next thing to do: connections woken by others come first, then timers, then sockets.
    fn due(&mut self) -> Option<(usize, Due)> {
        let now = self.now;
        if let Some(id) = self.peers.iter_mut().position(Peer::take_wake) {
            return Some((id, Due::Wake));
        }
        let peers = || self.peers.iter().enumerate();
        let timers = peers().filter_map(|(id, peer)| Some((peer.turn.wake_at()?, id)));
        if let Some((_, id)) = timers.min()
            && self.peers[id].turn.on_time(now).is_some()
        {
            return Some((id, Due::Wake));
        }
        let peers = || self.peers.iter().enumerate();
        let is_due = |(_, peer): &(usize, &Peer)| peer.client_instant().is_some_and(|at| at <= now);
        if let Some((id, _)) = peers().find(is_due) {
            return Some((id, Due::Client));
        }
        let is_lost = |peer: &Peer| peer.turn.is_open() && peer.is_lost;
        if let Some(id) = self.peers.iter().position(is_lost) {
            return Some((id, Due::Loss));
        }
        let has_waited = |peer: &Peer| peer.is_ready() && !peer.waiting.is_empty();
        if let Some(id) = self.peers.iter().position(has_waited) {
            return Some((id, Due::Waiting));
        }
        let id = self.peers.iter().position(Peer::is_readable)?;
        let input = self.peers[id].take_input()?;
        Some((id, Due::Input(input)))
    }

    /// Wakes a connection without need, unless it has ended.
    pub(crate) fn wake(&mut self, id: usize) -> Result<(), Breach> {
        if self.peers[id].turn.on_woken().is_none() {
            return Ok(());
        }
        self.call_wake(id)
    }

    fn call_wake(&mut self, id: usize) -> Result<(), Breach> {
        let unsent = self.peers[id].unsent();
        self.call(id, Call::Wake { unsent })
    }

    fn wake_client(&mut self, id: usize) {
        let now = self.now();
        if let Some(client) = &mut self.peers[id].client {
            client.wake(now);
        }
        self.peers[id].fetch();
    }

    fn call(&mut self, id: usize, call: Call<'_>) -> Result<(), Breach> {
        let handle = self.peers[id].handle;
        match self.app.call(handle, self.now, call) {
            Ok(effects) => self.carry_out(id, effects),
            Err(fault) => {
                self.bury(fault);
                Ok(())
            }
        }
    }

    fn carry_out(&mut self, id: usize, effects: Effects) -> Result<(), Breach> {
        if effects.wake_others.contains(&(id as ConnectionId)) {
            return Err(Breach::WakesItself(id));
        }
        self.mark(&effects.wake_others);
        let now = self.now();
        let peer = &mut self.peers[id];
        peer.next = effects.next;
        let ending = peer
            .turn
            .on_effects(turn_next(effects.next), effects.wake_at);
        peer.put_out(now, &effects.output);
        self.want(id, effects.topics)?;
        let peer = &mut self.peers[id];
        match ending {
            None => return Ok(()),
            Some(Ending::Close | Ending::FinalBytes) => peer.close(now),
            Some(Ending::Abort) => peer.finish(now),
        }
        self.end(id);
        Ok(())
    }

    /// Marks the connections to wake, each once.
    fn mark(&mut self, ids: &[ConnectionId]) {
        for id in ids {
            let index = usize::try_from(*id).ok();
            if let Some(peer) = index.and_then(|index| self.peers.get_mut(index)) {
                peer.is_named = true;
            }
        }
    }

    pub(crate) fn shutdown(&mut self, id: usize, reason: ShutdownReason) -> Result<(), Breach> {
        if self.peers[id].turn.on_stop().is_some() {
            self.call(id, Call::Shutdown(reason))?;
        }
        self.settle()
    }

    pub(crate) fn shutdown_all(&mut self, reason: ShutdownReason) -> Result<(), Breach> {
        (0..self.peers.len()).try_for_each(|id| self.shutdown(id, reason))
    }

    /// Makes the socket fail.
    pub(crate) fn lose(&mut self, id: usize) {
        let now = self.now();
        let peer = &mut self.peers[id];
        peer.finish(now);
        if peer.turn.on_lost().is_none() {
            return;
        }
        match self.app.lost(peer.handle, self.now) {
            Ok(last) => {
                self.mark(&last.wake_others);
                self.publish(last.publications);
                self.end(id);
            }
            Err(fault) => self.bury(fault),
        }
    }

    pub(crate) fn end_stream(&mut self, id: usize) -> Result<(), Breach> {
        self.peers[id].end_input();
        self.settle()
    }

    pub(crate) fn unblock(&mut self, id: usize) -> Result<(), Breach> {
        let now = self.now();
        let peer = &mut self.peers[id];
        peer.is_blocked = false;
        peer.flush(now);
        self.settle()
    }

    /// Asks what became of a connection, and drops it.
    fn end(&mut self, id: usize) {
        self.leave(id);
        let peer = &mut self.peers[id];
        if peer.turn.on_report().is_none() {
            return;
        }
        let handle = peer.handle;
        match self.app.report(handle) {
            Ok(report) => {
                self.peers[id].report = Some(report);
                self.drop_connection(handle);
            }
            Err(fault) => self.bury(fault),
        }
    }

    fn drop_connection(&mut self, handle: Handle) {
        if let Err(fault) = self.app.drop_connection(handle) {
            self.bury(fault);
        }
    }

    /// Records the end of the instance and of all its connections.
    fn bury(&mut self, fault: Fault) {
        let now = self.now();
        for peer in &mut self.peers {
            peer.send_final_bytes(now);
        }
        (0..self.peers.len()).for_each(|id| self.leave(id));
        self.fault.get_or_insert(fault);
    }
}
