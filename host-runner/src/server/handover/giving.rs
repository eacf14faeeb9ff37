//! The old process: hands over what it has.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use tokio::select;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::{interval, sleep, timeout};

use super::error::HandoverError;
use super::links::{Link, Sender};
use super::post::Post;
use super::taking::Predecessor;
use super::wire::{FromNew, FromOld, Purpose};
use crate::net::inherited::Offered;
use crate::net::listen::Bound;
use crate::process::shared::Shared;
use crate::session::moving::departure::{Farewell, Leaving, Refusal, Reply, Way};

/// The time between looks at whether anything is left.
const LOOK: Duration = Duration::from_millis(20);

/// The time without a move after which those that can move have, when the new process's own successor waits.
const QUIET: Duration = Duration::from_secs(1);

/// The most connections that the new process may have room for at once.
const MAX_ROOM: usize = 1 << 16;

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
pub(crate) struct Relieved(Link);

impl Relieved {
    /// Tells the new process that this one ends now.
    pub(crate) async fn end(self) {
        let (is_sent, sent) = oneshot::channel();
        self.0.sender.pass(&FromOld::Over, None, Some(is_sent));
        // It finds out in any case.
        let _ = timeout(LAST_WORD, sent).await;
    }
}

impl Giver {
    /// Leaves the file of the socket to the successor.
    pub(crate) fn leave(self) {
        self.post.leave();
    }

    /// Takes over from the process before, if there is one; then waits for a successor and hands over to it. Returns when
    /// this process is to end. `hand_over` has the workers hand over their connections, or stop to.
    pub(crate) async fn run(
        &self,
        predecessor: Option<Predecessor>,
        shared: &Shared,
        hand_over: impl AsyncFn(Option<&Way>),
    ) -> Relieved {
        let mut waiting = match predecessor {
            Some(predecessor) => predecessor.relieve(&self.post, shared).await,
            None => None,
        };
        loop {
            let successor = match waiting.take() {
                Some(stream) => Ok(stream),
                None => self.post.successor().await,
            };
            let given = match successor {
                Ok(stream) => self.give(stream, shared, &hand_over).await,
                Err(error) => {
                    sleep(QUIET).await;
                    Err(error.into())
                }
            };
            match given {
                Ok(relieved) => return relieved,
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
        let mut link = Link::new(stream);
        let hello = link.hello().await?;
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
        Ok(Relieved(link))
    }

    async fn give_to(
        &self,
        link: &mut Link,
        shared: &Shared,
        hand_over: &impl AsyncFn(Option<&Way>),
    ) -> Result<(), HandoverError> {
        self.offer(&link.sender)?;
        match link.next().await? {
            (FromNew::Accepting, _) => {}
            _ => return Err(HandoverError::Garbled),
        }
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
