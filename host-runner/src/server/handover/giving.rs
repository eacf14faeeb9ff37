//! The old process: hands over what it has.

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use tokio::select;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::{interval, timeout};
use wasocket_bus::Bus;

use super::error::HandoverError;
use super::links::{Link, Sender};
use super::post::Post;
use super::taking::Predecessor;
use super::wire::{FromNew, FromOld, Purpose};
use crate::net::inherited::Offered;
use crate::net::listen::{Bound, SocketFile};
use crate::process::service_manager::{State, notify};
use crate::process::shared::Shared;
use crate::session::moving::departure::{Farewell, Leaving, Refusal, Reply, Way};

/// The time between looks at whether anything is left.
const LOOK: Duration = Duration::from_millis(20);

/// The time without a move after which those that can move have, when the new process's own successor waits.
const QUIET: Duration = Duration::from_secs(1);

/// The most connections that the new process may have room for at once.
const MAX_ROOM: usize = 1 << 16;

/// How long the new process may take to say what it is, and then to accept connections.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the new process may take to be told that this one ends.
const LAST_WORD: Duration = Duration::from_secs(1);

/// The listening sockets that are handed over.
#[derive(Debug, Default)]
pub(crate) struct Heritage(Vec<(Purpose, Offered)>);

impl Heritage {
    /// Of what clients and the operator connect to.
    ///
    /// # Errors
    ///
    /// If the system refuses copies of the sockets.
    pub(crate) fn of(clients: &[Bound], admin: &[Bound]) -> io::Result<Self> {
        let clients = clients.iter().map(|bound| (Purpose::Clients, bound));
        let admin = admin.iter().map(|bound| (Purpose::Admin, bound));
        let mut heritage = Self::default();
        for (purpose, bound) in clients.chain(admin) {
            let offered = bound.offer()?.into_iter();
            heritage.0.extend(offered.map(|offered| (purpose, offered)));
        }
        Ok(heritage)
    }
}

/// Hands over to the next process.
#[derive(Debug)]
pub(crate) struct Giver {
    pub(super) post: Post,
    pub(super) heritage: Heritage,
}

/// A handover at whose end there is nothing left, or nothing that can be handed over.
pub(crate) struct Relieved {
    link: Link,
    successor: Option<u32>,
}

impl Relieved {
    /// Carries out what the new process wishes of topics until this one ends; never returns.
    pub(crate) async fn grant(&mut self, bus: &Bus) {
        while let Ok((message, _)) = self.link.next().await {
            if let FromNew::Topics(wish) = message {
                bus.grant(wish);
            }
        }
        pending().await
    }

    /// Tells the new process, and the service manager, that this one ends now.
    pub(crate) async fn end(self) {
        if let Some(successor) = self.successor {
            notify(State::Replaced(successor));
        }
        let (is_sent, sent) = oneshot::channel();
        self.link.sender.pass(&FromOld::Over, None, Some(is_sent));
        // It finds out in any case.
        let _ = timeout(LAST_WORD, sent).await;
    }
}

impl Giver {
    /// The file of the socket at which successors are waited for.
    pub(crate) fn into_file(self) -> Option<SocketFile> {
        self.post.into_file()
    }

    /// Takes over from the process before, if there is one; then waits for a successor and hands over to it. Returns when
    /// this process is to end. `hand_over` has the workers hand over their connections, or stop to.
    ///
    /// # Errors
    ///
    /// If the process before goes on: then this one is not to serve.
    pub(crate) async fn run(
        &self,
        predecessor: Option<Predecessor>,
        shared: &Shared,
        hand_over: impl AsyncFn(Option<&Way>),
    ) -> Result<Relieved, HandoverError> {
        let mut waiting = match predecessor {
            Some(predecessor) => predecessor.relieve(&self.post, shared).await?,
            None => None,
        };
        loop {
            let successor = match waiting.take() {
                Some(stream) => stream,
                None => self.post.successor().await,
            };
            match self.give(successor, shared, &hand_over).await {
                Ok(relieved) => return Ok(relieved),
                Err(error) => {
                    shared.handovers.failed.fetch_add(1, Relaxed);
                    tracing::error!("handover failed, this process goes on: {error}");
                }
            }
        }
    }

    async fn give(
        &self,
        stream: UnixStream,
        shared: &Shared,
        hand_over: &impl AsyncFn(Option<&Way>),
    ) -> Result<Relieved, HandoverError> {
        let successor = stream.peer_cred()?.pid();
        let successor = successor.and_then(|pid| u32::try_from(pid).ok());
        let mut link = Link::new(stream);
        let hello = link.hello(HELLO_TIMEOUT).await?;
        link.sender.hello();
        hello.agree()?;
        let sender = link.sender.clone();
        let tell = move |change| sender.send(&FromOld::Topics(change));
        shared.bus.lead(Box::new(tell));
        let given = self.give_to(&mut link, shared, hand_over).await;
        if let Err(error) = given {
            shared.bus.part();
            return Err(error);
        }
        Ok(Relieved { link, successor })
    }

    async fn give_to(
        &self,
        link: &mut Link,
        shared: &Shared,
        hand_over: &impl AsyncFn(Option<&Way>),
    ) -> Result<(), HandoverError> {
        self.offer(&link.sender)?;
        let accepting = timeout(START_TIMEOUT, until_accepting(link, &shared.bus)).await;
        accepting.map_err(|_| HandoverError::Silent(START_TIMEOUT))??;
        let connections = shared.open();
        tracing::info!(connections, "another process takes over");
        shared.relieved.set();
        let (sender, leaving) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(0));
        let way = Way { room, sender };
        hand_over(Some(&way)).await;
        let given = give_all(link, &way, leaving, shared).await;
        if given.is_err() {
            way.room.close();
            hand_over(None).await;
            shared.relieved.clear();
        }
        given
    }

    fn offer(&self, sender: &Sender) -> io::Result<()> {
        let listener = |purpose, place: &str, socket: OwnedFd| {
            let place = place.to_owned();
            sender.pass(&FromOld::Listener { purpose, place }, Some(socket), None);
        };
        for (purpose, offered) in &self.heritage.0 {
            listener(*purpose, &offered.place, offered.socket.try_clone()?);
        }
        listener(Purpose::Successor, "", self.post.offer()?);
        sender.send(&FromOld::Begin);
        Ok(())
    }
}

/// Waits until the new process accepts connections. The first of these may wish something of topics before it says so.
async fn until_accepting(link: &mut Link, bus: &Bus) -> Result<(), HandoverError> {
    loop {
        match link.next().await?.0 {
            FromNew::Accepting => return Ok(()),
            FromNew::Topics(wish) => bus.grant(wish),
            _ => return Err(HandoverError::Garbled),
        }
    }
}

/// Hands connections over until there are none left.
async fn give_all(
    link: &mut Link,
    way: &Way,
    mut leaving: mpsc::UnboundedReceiver<Leaving>,
    shared: &Shared,
) -> Result<(), HandoverError> {
    let mut giving = Giving {
        sender: link.sender.clone(),
        undecided: HashMap::new(),
        number: 0,
        moved_at: Instant::now(),
    };
    let mut looks = interval(LOOK);
    let mut is_to_finish = false;
    let mut were_none = false;
    loop {
        select! {
            message = link.next() => match message?.0 {
                FromNew::Room if way.room.available_permits() < MAX_ROOM => way.room.add_permits(1),
                FromNew::Ready { number } => giving.ready(number),
                FromNew::Refused { number, refusal } => giving.refused(number, refusal),
                FromNew::Finish => is_to_finish = true,
                FromNew::Topics(wish) => shared.bus.grant(wish),
                FromNew::Accepting | FromNew::Room => return Err(HandoverError::Garbled),
            },
            Some(one) = leaving.recv() => giving.send(one),
            _ = looks.tick() => {
                // Looked at twice, as one may just have been accepted.
                let are_none = shared.open() == 0;
                if (are_none && were_none) || (is_to_finish && giving.is_quiet()) {
                    return Ok(());
                }
                were_none = are_none;
            }
        }
    }
}

/// The connections on their way to the new process.
struct Giving {
    sender: Sender,
    /// Those that the new process has not answered for.
    undecided: HashMap<u64, oneshot::Sender<Reply>>,
    /// That of the last one.
    number: u64,
    moved_at: Instant,
}

impl Giving {
    fn send(&mut self, leaving: Leaving) {
        let Leaving {
            departure,
            socket,
            reply,
        } = leaving;
        self.number += 1;
        self.moved_at = Instant::now();
        self.undecided.insert(self.number, reply);
        let message = FromOld::Connection {
            number: self.number,
            departure: departure.into(),
        };
        self.sender.pass(&message, Some(socket), None);
    }

    /// Lets the connection decide: it may have given up waiting.
    fn ready(&mut self, number: u64) {
        let (farewell, decided) = oneshot::channel();
        let reply = self.undecided.remove(&number);
        if let Some(reply) = reply {
            // If it has given up, so has `decided`.
            let _ = reply.send(Reply::Ready(number, farewell));
        }
        let sender = self.sender.clone();
        spawn_local(async move {
            match decided.await {
                Ok(Farewell { waited, is_sent }) => {
                    sender.pass(&FromOld::Go { number, waited }, None, Some(is_sent));
                }
                Err(_) => sender.send(&FromOld::Stay { number }),
            }
        });
    }

    fn refused(&mut self, number: u64, refusal: Refusal) {
        if let Some(reply) = self.undecided.remove(&number) {
            let _ = reply.send(Reply::Refused(refusal));
        }
    }

    fn is_quiet(&self) -> bool {
        self.undecided.is_empty() && self.moved_at.elapsed() > QUIET
    }
}
