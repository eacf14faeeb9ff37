//! The loop: waits for what comes first, and lets those clients go on that it is for.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use wasi::clocks::{monotonic_clock, wall_clock};
use wasi::io::poll::{Pollable, poll};
use wasocket_host_core::http1::imf_fixdate;

use crate::client::{Client, earlier};
use crate::handler::{ConnectionId, Instant};
use crate::listener::{Accepted, Listener};
use crate::log::Log;
use crate::options::Options;
use crate::socket::after;

/// The pause after a failure to accept that concerns the whole process, such as too many open files: the
/// connection that caused it still waits, so trying again at once would spin.
const PAUSE: Duration = Duration::from_millis(100);

/// What clients share.
pub(crate) struct Context {
    pub(crate) options: Options,
    pub(crate) log: Log,
    /// Who is to be woken in the next turn.
    rung: BTreeSet<ConnectionId>,
    last_id: ConnectionId,
}

impl Context {
    /// The time as the handler is told it.
    pub(crate) fn now(&self) -> Instant {
        monotonic_clock::now()
    }

    /// The value of `Date`.
    pub(crate) fn date(&self) -> Option<String> {
        imf_fixdate(wall_clock::now().seconds)
    }

    /// A number that nobody has had.
    pub(crate) fn next_id(&mut self) -> ConnectionId {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }

    pub(crate) fn ring(&mut self, ids: Vec<ConnectionId>) {
        self.rung.extend(ids);
    }
}

/// A server with its clients.
pub(crate) struct Server {
    listener: Listener,
    /// When to accept again, after a failure.
    accept_at: Option<Instant>,
    clients: Vec<Client>,
    context: Context,
}

/// Who waits for an entry of the list that is polled.
#[derive(Clone, Copy)]
enum Waiting {
    Listener,
    /// The number among the clients.
    Client(usize),
    Timer,
}

impl Server {
    pub(crate) fn new(listener: Listener, options: Options) -> Self {
        Self {
            listener,
            accept_at: None,
            clients: Vec::new(),
            context: Context {
                log: Log::new(options.verbosity),
                options,
                rung: BTreeSet::new(),
                last_id: 0,
            },
        }
    }

    /// For ever: only the runtime ends it.
    pub(crate) fn serve(mut self) -> ! {
        loop {
            self.turn();
        }
    }

    /// Each client is called a bounded number of times in a turn, so that none keeps the others waiting.
    fn turn(&mut self) {
        let rung = mem::take(&mut self.context.rung);
        for waiting in self.wait(!rung.is_empty()) {
            match waiting {
                Waiting::Listener => self.accept(),
                Waiting::Client(number) => {
                    if let Some(client) = self.clients.get_mut(number) {
                        client.on_ready(&mut self.context);
                    }
                }
                Waiting::Timer => {}
            }
        }
        self.wake(&rung);
        self.bury();
    }

    /// Wakes those who are rung for, and whose time has come.
    fn wake(&mut self, rung: &BTreeSet<ConnectionId>) {
        let now = self.context.now();
        self.accept_at = self.accept_at.filter(|at| *at > now);
        let send_timeout = self.context.options.send_timeout;
        for client in &mut self.clients {
            if client.id().is_some_and(|id| rung.contains(&id)) {
                client.on_ring(&mut self.context);
            } else if client.due_at(send_timeout).is_some_and(|at| at <= now) {
                client.on_time(&mut self.context);
            }
        }
    }

    fn bury(&mut self) {
        let log = &self.context.log;
        self.clients.retain(|client| {
            let has_ended = client.has_ended();
            if has_ended {
                log.debug(format_args!("{}: closed", client.remote()));
            }
            !has_ended
        });
    }

    /// Waits for what is first ready, or does not wait and says what is ready.
    ///
    /// The list is made anew each time, and the runtime looks at all of it: that is what a wake-up costs.
    fn wait(&self, at_once: bool) -> Vec<Waiting> {
        let mut waiting = Vec::with_capacity(self.clients.len().saturating_add(2));
        let mut pollables: Vec<&Pollable> = Vec::with_capacity(waiting.capacity());
        if self.has_room() && self.accept_at.is_none() {
            waiting.push(Waiting::Listener);
            pollables.push(self.listener.pollable());
        }
        for (number, client) in self.clients.iter().enumerate() {
            if let Some(pollable) = client.awaited() {
                waiting.push(Waiting::Client(number));
                pollables.push(pollable);
            }
        }
        let due_at = if at_once { Some(0) } else { self.due_at() };
        // WASI lets nobody wait for nothing: not even where there is no room, and all who are there pause.
        let due_at = due_at.or_else(|| pollables.is_empty().then_some(Instant::MAX));
        let timer = due_at.map(monotonic_clock::subscribe_instant);
        if let Some(timer) = &timer {
            waiting.push(Waiting::Timer);
            pollables.push(timer);
        }
        let ready = poll(&pollables).into_iter();
        ready
            .filter_map(|index| waiting.get(usize::try_from(index).ok()?).copied())
            .collect()
    }

    /// When there is something to do in any case.
    fn due_at(&self) -> Option<Instant> {
        let send_timeout = self.context.options.send_timeout;
        let clients = self.clients.iter();
        let clients = clients.filter_map(|client| client.due_at(send_timeout));
        earlier(clients.min(), self.accept_at)
    }

    fn has_room(&self) -> bool {
        self.clients.len() < self.context.options.max_connections
    }

    /// Accepts all who wait, as far as there is room; the others the system keeps waiting.
    fn accept(&mut self) {
        while self.has_room() {
            match self.listener.accept() {
                Accepted::Client(socket, remote) => {
                    self.context.log.debug(format_args!("{remote}: connected"));
                    let client = Client::new(socket, remote, self.context.now());
                    self.clients.push(client);
                }
                Accepted::Gone => {}
                Accepted::Nobody => break,
                Accepted::Failed(code) => {
                    let name = code.name();
                    let log = &self.context.log;
                    log.warn(format_args!("cannot accept connections for now: {name}"));
                    self.accept_at = Some(after(self.context.now(), PAUSE));
                    break;
                }
            }
        }
    }
}
