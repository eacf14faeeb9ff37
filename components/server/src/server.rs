//! The event loop: waits for events, and lets the clients they concern handle them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;

use wasi::clocks::monotonic_clock;
use wasi::io::poll::{Pollable, poll};

use wasocket_host_core::topics::Delivery;

use crate::client::{Client, Item};
use crate::context::Context;
use crate::handler::{ConnectionId, Instant, Message, deliver};
use crate::listener::{Accepted, Listener};
use crate::options::Options;
use crate::time::{after, earlier};
use crate::topics::Arrival;

/// The pause after a failure to accept that concerns the whole process, such as too many open files: the
/// connection that caused it is still waiting, so retrying at once would spin.
const PAUSE: Duration = Duration::from_millis(100);

/// A server with its clients.
pub(crate) struct Server {
    listener: Listener,
    /// When to accept again, after a failure.
    accept_at: Option<Instant>,
    clients: Vec<Client>,
    context: Context,
}

/// The places of the clients that the handler knows.
type Places = BTreeMap<ConnectionId, usize>;

/// The owner of an entry in the poll list.
#[derive(Clone, Copy)]
enum Waiting {
    Listener,
    /// The client's index.
    Client(usize),
    Timer,
}

impl Server {
    pub(crate) fn new(listener: Listener, options: Options) -> Self {
        Self {
            listener,
            accept_at: None,
            clients: Vec::new(),
            context: Context::new(options),
        }
    }

    /// Serves; never returns, as only the runtime ends it.
    pub(crate) fn serve(mut self) -> ! {
        loop {
            self.round();
        }
    }

    /// Runs one round. It calls each client a limited number of times, so that none starves the others.
    fn round(&mut self) {
        let woken = self.context.take_woken();
        let is_busy = !woken.is_empty() || self.context.topics.len() > 0;
        for waiting in self.wait(is_busy) {
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
        self.wake(&woken);
        self.carry_out_topics();
        self.drop_ended();
    }

    /// Wakes the clients that others named, and those whose deadline has passed.
    fn wake(&mut self, woken: &BTreeSet<ConnectionId>) {
        let now = self.context.now();
        self.accept_at = self.accept_at.filter(|at| *at > now);
        let send_timeout = self.context.options.send_timeout;
        for client in &mut self.clients {
            if client.id().is_some_and(|id| woken.contains(&id)) {
                client.on_woken(&mut self.context);
            } else if client.due_at(send_timeout).is_some_and(|at| at <= now) {
                client.on_time(&mut self.context);
            }
        }
    }

    /// Carries out what connections have wanted of topics so far; what comes of that, in the next round.
    fn carry_out_topics(&mut self) {
        let count = self.context.topics.len();
        if count == 0 {
            return;
        }
        let clients = self.clients.iter().enumerate();
        let places: Places = clients
            .filter_map(|(place, client)| Some((client.id()?, place)))
            .collect();
        for _ in 0..count {
            let now = self.context.now();
            for arrival in self.context.topics.carry_out(now) {
                self.pass_on(arrival, &places);
            }
        }
    }

    fn pass_on(&mut self, arrival: Arrival, places: &Places) {
        match arrival {
            Arrival::Event(id, event) => {
                let client = places
                    .get(&id)
                    .and_then(|place| self.clients.get_mut(*place));
                if let Some(client) = client {
                    client.on_arrival(Item::Event(event), &mut self.context);
                }
            }
            Arrival::Publication(delivery, to) => {
                let to = to.iter().filter_map(|id| places.get(id).copied());
                self.deliver(&delivery, to.collect());
            }
        }
    }

    /// Delivers a publication in one call to the clients that take it now. With the others it waits.
    fn deliver(&mut self, delivery: &Rc<Delivery<Message>>, to: Vec<usize>) {
        let mut now = Vec::new();
        for place in to {
            let Some(client) = self.clients.get_mut(place) else {
                continue;
            };
            if client.subscriber().is_some() {
                now.push(place);
            } else {
                let item = Item::Publication(Rc::clone(delivery));
                client.on_arrival(item, &mut self.context);
            }
        }
        if now.is_empty() {
            return;
        }
        let connections = now
            .iter()
            .filter_map(|place| self.clients.get(*place)?.subscriber());
        let connections: Vec<_> = connections.collect();
        let (delivered, woken) = deliver(self.context.now(), delivery, &connections);
        self.context.wake(woken);
        for (place, delivered) in now.into_iter().zip(delivered) {
            if let Some(client) = self.clients.get_mut(place) {
                client.on_delivered(delivered, &mut self.context);
            }
        }
    }

    fn drop_ended(&mut self) {
        let log = &self.context.log;
        self.clients.retain(|client| {
            let has_ended = client.has_ended();
            if has_ended {
                log.debug(format_args!("{}: closed", client.remote()));
            }
            !has_ended
        });
    }

    /// Waits until something is ready, or with `at_once` returns what is ready now.
    ///
    /// The list is rebuilt each time, and the runtime examines all of it: that is the cost of a wakeup.
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
        // WASI traps on an empty list, which would be the case with no room left and all clients paused.
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

    /// The next deadline, independent of the sockets.
    fn due_at(&self) -> Option<Instant> {
        let send_timeout = self.context.options.send_timeout;
        let clients = self.clients.iter();
        let clients = clients.filter_map(|client| client.due_at(send_timeout));
        earlier(clients.min(), self.accept_at)
    }

    fn has_room(&self) -> bool {
        self.clients.len() < self.context.options.max_connections
    }

    /// Accepts waiting clients while there is room; the system keeps the others waiting.
    fn accept(&mut self) {
        while self.has_room() {
            match self.listener.accept() {
                Accepted::Client(socket, remote) => {
                    self.context.log.debug(format_args!("{remote}: connected"));
                    let client = Client::new(socket, remote, self.context.now());
                    self.clients.push(client);
                }
                Accepted::Gone => {}
                Accepted::Nothing => break,
                Accepted::Failed(code) => {
                    let name = code.name();
                    let log = &self.context.log;
                    log.warn(format_args!("cannot accept connections, retrying: {name}"));
                    self.accept_at = Some(after(self.context.now(), PAUSE));
                    break;
                }
            }
        }
    }
}
