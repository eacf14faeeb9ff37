//! The host: calls the app in the order that `wit/websocket-handler.wit` says.

use std::fmt;

use wasocket::{ConnectionId, Disposition, HttpVersion, Instant, Request, ShutdownReason};
use wasocket_host_core::http1::{BadAnswer, check_response, expects_continue, takeover_head};

use crate::Fault;
use crate::app::{App, Call};
use crate::bindings::{self, Answer, Effects, Field, Handle, Takeover, Verdict};
use crate::client::Client;
use crate::peer::{Input, Peer};

/// How many calls one thing that happens may cause.
const MAX_CALLS: usize = 100_000;

/// The number of a request that waits: no connection's.
const UNDECIDED_ID: ConnectionId = ConnectionId::MAX;

/// What the runner says where the app has failed.
const FAILED: &str = "The application failed.\n";

/// What the runner says where a takeover comes in another version than HTTP/1.1.
const NEEDS_HTTP_11: &str = "This needs HTTP/1.1.\n";

pub(crate) struct Host {
    app: Box<dyn App>,
    /// In nanoseconds.
    now: u64,
    /// All there have ever been; the place is the number.
    peers: Vec<Peer>,
    /// The fault of the app that the test has not seen.
    fault: Option<Fault>,
    /// How many clients there have been.
    clients: u64,
}

/// What a request came to.
pub(crate) enum Outcome {
    Response(bindings::Response),
    /// A socket by its number.
    TakenOver(usize),
}

/// How the app broke the contract. The test fails of it.
#[derive(Debug)]
pub(crate) enum Breach {
    /// The answer to a request, which is named.
    Answer(String, BadAnswer),
    /// There is no answer to a request, which is named.
    Undecided(String),
    /// A connection that wants itself to be woken as another.
    WakesItself(usize),
    /// A connection that is called again and again, at one instant.
    Restless(usize),
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the app breaks the contract: ")?;
        match self {
            Self::Answer(request, bad) => write!(f, "its answer to {request} is bad: {bad}"),
            Self::Undecided(request) => write!(
                f,
                "it waits before it answers {request}, for something that the kit does not have"
            ),
            Self::WakesItself(id) => write!(
                f,
                "connection {id} lists itself in `wake-others`, which is for other connections"
            ),
            Self::Restless(id) => write!(
                f,
                "it never rests: connection {id} wants to be called again at once, {MAX_CALLS} times"
            ),
        }
    }
}

/// What is to be done next.
enum Due {
    Wake,
    Input(Input),
    /// The client's time has come.
    Client,
    /// The client has given the socket up.
    Loss,
}

impl Host {
    pub(crate) fn new(app: Box<dyn App>) -> Self {
        Self {
            app,
            now: 0,
            peers: Vec::new(),
            fault: None,
            clients: 0,
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

    /// Asks the app about a request. `residual` came behind its head.
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
        let answer = match decision.verdict {
            Verdict::Answer(answer) => answer,
            Verdict::Later(undecided) => match self.decide(request, undecided)? {
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

    /// Has the app decide. There is nothing outside of it that it could wait for.
    fn decide(
        &mut self,
        request: &Request,
        undecided: Handle,
    ) -> Result<Result<Answer, Fault>, Breach> {
        for _ in 0..MAX_CALLS {
            let progress = match self.app.decide(undecided, self.now, UNDECIDED_ID) {
                Ok(progress) => progress,
                Err(fault) => return Ok(Err(fault)),
            };
            self.mark(&progress.wake_others);
            if let Some(answer) = progress.answer {
                let dropped = self.app.drop_undecided(undecided);
                return Ok(dropped.map(|()| answer));
            }
            if progress.wake_at.is_none_or(|at| at > self.now) {
                break;
            }
        }
        Err(Breach::Undecided(name(request)))
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
        // Before the head is sent: a trap can still be answered.
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

    /// The answer to a request of which the app has died.
    fn failed(&mut self, fault: Fault) -> Outcome {
        self.bury(fault);
        Outcome::Response(plain(500, FAILED))
    }

    /// Lets time pass; what becomes due comes in the order of time.
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
            let client = client_instant(peer);
            [peer.handle.and(peer.wake_at), client]
        });
        instants.flatten().min()
    }

    /// Does what is to be done now.
    pub(crate) fn settle(&mut self) -> Result<(), Breach> {
        let mut last = 0;
        for _ in 0..MAX_CALLS {
            let Some((id, due)) = self.due() else {
                return Ok(());
            };
            last = id;
            match due {
                Due::Wake => self.wake(id)?,
                Due::Input(Input::Bytes(bytes)) => self.call(id, Call::Receive(&bytes))?,
                Due::Input(Input::End) => self.call(id, Call::ReceiveEof)?,
                Due::Client => self.wake_client(id),
                Due::Loss => self.lose(id),
            }
        }
        Err(Breach::Restless(last))
    }

    /// Those that are called come first, then the clock, and then the sockets.
    fn due(&mut self) -> Option<(usize, Due)> {
        let now = self.now;
        let peers = || self.peers.iter().enumerate();
        let is_called = |(_, peer): &(usize, &Peer)| peer.handle.is_some() && peer.is_called;
        if let Some((id, _)) = peers().find(is_called) {
            return Some((id, Due::Wake));
        }
        let timers = peers().filter_map(|(id, peer)| Some((peer.handle.and(peer.wake_at)?, id)));
        if let Some((_, id)) = timers.min().filter(|(at, _)| *at <= now) {
            return Some((id, Due::Wake));
        }
        let is_due = |(_, peer): &(usize, &Peer)| client_instant(peer).is_some_and(|at| at <= now);
        if let Some((id, _)) = peers().find(is_due) {
            return Some((id, Due::Client));
        }
        let is_lost = |peer: &Peer| peer.handle.is_some() && peer.is_lost;
        if let Some(id) = self.peers.iter().position(is_lost) {
            return Some((id, Due::Loss));
        }
        let id = self.peers.iter().position(Peer::is_readable)?;
        let input = self.peers[id].take_input()?;
        Some((id, Due::Input(input)))
    }

    pub(crate) fn wake(&mut self, id: usize) -> Result<(), Breach> {
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

    /// Calls the app, unless it has had its last call.
    fn call(&mut self, id: usize, call: Call<'_>) -> Result<(), Breach> {
        let peer = &mut self.peers[id];
        let Some(handle) = peer.handle else {
            return Ok(());
        };
        if let Call::Wake { .. } = call {
            (peer.wake_at, peer.is_called) = (None, false);
        }
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
        (peer.wake_at, peer.next) = (effects.wake_at, effects.next);
        peer.put_out(now, &effects.output);
        match effects.next {
            Disposition::Open | Disposition::Pause => return Ok(()),
            Disposition::Close => peer.close(now),
            Disposition::Abort => peer.finish(now),
        }
        if let Some(handle) = peer.handle.take() {
            self.end(id, handle);
        }
        Ok(())
    }

    /// Notes the connections to wake: each once, and those that have ended never.
    fn mark(&mut self, ids: &[ConnectionId]) {
        for id in ids {
            let index = usize::try_from(*id).ok();
            if let Some(peer) = index.and_then(|index| self.peers.get_mut(index)) {
                peer.is_called = true;
            }
        }
    }

    pub(crate) fn shutdown(&mut self, id: usize, reason: ShutdownReason) -> Result<(), Breach> {
        if self.peers[id].tell_to_end() {
            self.call(id, Call::Shutdown(reason))?;
        }
        self.settle()
    }

    pub(crate) fn shutdown_all(&mut self, reason: ShutdownReason) -> Result<(), Breach> {
        (0..self.peers.len()).try_for_each(|id| self.shutdown(id, reason))
    }

    /// The socket fails.
    pub(crate) fn lose(&mut self, id: usize) {
        let now = self.now();
        let peer = &mut self.peers[id];
        peer.finish(now);
        if let Some(handle) = peer.handle.take() {
            match self.app.lost(handle, self.now) {
                Ok(others) => {
                    self.mark(&others);
                    self.end(id, handle);
                }
                Err(fault) => self.bury(fault),
            }
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
        // All output is sent, where an earlier call had left some unsent.
        if peer.flush(now) {
            peer.is_called = true;
        }
        self.settle()
    }

    /// Asks what became of a connection, and drops it.
    fn end(&mut self, id: usize, handle: Handle) {
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

    /// The instance has ended, and with it all its connections.
    fn bury(&mut self, fault: Fault) {
        let now = self.now();
        for peer in &mut self.peers {
            peer.bid_farewell(now);
        }
        self.fault.get_or_insert(fault);
    }
}

/// When the client is to be woken; never once its socket is closed.
fn client_instant(peer: &Peer) -> Option<u64> {
    let client = peer.client.as_ref().filter(|_| !peer.is_closed)?;
    let is_open = client.next == Disposition::Open;
    client.wake_at.filter(|_| is_open).map(Instant::as_nanos)
}

fn name(request: &Request) -> String {
    format!("{} {}", request.method, request.target)
}

/// Checks a response as the runner does. The answer to HEAD has no body.
fn respond(
    request: &Request,
    mut response: bindings::Response,
) -> Result<bindings::Response, Breach> {
    let checked = check_response(response.head.status, &response.head.fields);
    checked.map_err(|bad| Breach::Answer(name(request), bad))?;
    if request.method == "HEAD" {
        response.body = Vec::new();
    }
    Ok(response)
}

fn check_takeover(request: &Request, takeover: &Takeover) -> Result<Vec<u8>, Breach> {
    let breach = |bad| Breach::Answer(name(request), bad);
    if has_body(request) {
        return Err(breach(BadAnswer::RequestBody));
    }
    let fields: Vec<Field> = request.fields.clone().into();
    let head = takeover.response.as_ref();
    let head = head.map(|head| (head.status, &head.fields[..]));
    takeover_head(head, &takeover.farewell, expects_continue(&fields)).map_err(breach)
}

/// RFC 9112 §6.3: the fields say whether a request has a body.
fn has_body(request: &Request) -> bool {
    let is_zero = |length: &[u8]| length.iter().all(|digit| *digit == b'0');
    let has_length = request
        .fields
        .values("Content-Length")
        .any(|length| !is_zero(length));
    has_length || request.fields.contains("Transfer-Encoding")
}

/// An answer of the host's own.
fn plain(status: u16, text: &str) -> bindings::Response {
    wasocket::Response::new(status, "text/plain", text)
        .with_field("Connection", "close")
        .into()
}
