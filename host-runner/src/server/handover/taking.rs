//! The new process: takes over what the old one has.

use std::collections::HashMap;
#[cfg(target_os = "linux")]
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

#[cfg(not(target_os = "linux"))]
use rustix::process::{Pid, test_kill_process};
use tokio::net::UnixStream;
use tokio::select;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use wasocket_bus::Bus;
use wasocket_bus::twin::Change;

use super::error::HandoverError;
use super::links::Link;
use super::post::Post;
use super::reception::Lanes;
use super::wire::{FromNew, FromOld, Purpose};
use crate::net::inherited::Inheritance;
use crate::process::shared::Shared;
use crate::session::moving::departure::{Answer, Departure, Incoming, Refusal};
use crate::topics::records::DueRecord;

/// How long the old process may take to answer. It does when it has taken over from the one before it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How often, and at what intervals, to look whether a process has ended.
const LOOKS: u32 = 20;
const LOOK: Duration = Duration::from_millis(100);

/// The most listening sockets.
const MAX_LISTENERS: usize = 1 << 14;

/// The process that this one takes over from.
pub(crate) struct Predecessor {
    link: Link,
    /// Its number, if the system tells.
    process: Option<i32>,
    lanes: Lanes,
}

/// The listening sockets of the old process.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) clients: Inheritance,
    pub(crate) admin: Inheritance,
    pub(crate) successor: Inheritance,
}

/// Another process, before this one has workers.
pub(super) struct Meeting {
    link: Link,
    process: Option<i32>,
    /// What there is on topics.
    changes: Vec<Change>,
}

impl Meeting {
    /// Asks the process that listens at `path` for its listening sockets.
    ///
    /// # Errors
    ///
    /// If it is no runner, or speaks no version of the protocol that this one speaks.
    pub(super) async fn with(
        stream: UnixStream,
        path: &Path,
    ) -> Result<(Self, Inherited), HandoverError> {
        let process = stream.peer_cred()?.pid();
        let mut link = Link::new(stream);
        link.sender.hello();
        match link.hello(ANSWER_TIMEOUT).await {
            Ok(hello) => {
                hello.agree()?;
            }
            Err(silent @ HandoverError::Silent(_)) => return Err(silent),
            Err(_) => return Err(HandoverError::NoRunner(path.to_owned())),
        }
        let (mut inherited, mut changes) = (Inherited::default(), Vec::new());
        let mut listeners = 0..MAX_LISTENERS;
        loop {
            match link.next().await? {
                (FromOld::Listener { purpose, place }, Some(socket))
                    if listeners.next().is_some() =>
                {
                    inherited.add(purpose, place, socket, path)?;
                }
                (FromOld::Topics(change), None) => changes.push(change),
                (FromOld::Begin, None) => {
                    let meeting = Self {
                        link,
                        process,
                        changes,
                    };
                    return Ok((meeting, inherited));
                }
                _ => return Err(HandoverError::Garbled),
            }
        }
    }

    /// The topics of the old process are those of this one from now on. `lanes`: where the connections go.
    pub(super) fn continue_with(self, lanes: Lanes, bus: &Bus) -> Predecessor {
        let sender = self.link.sender.clone();
        let ask = move |wish| sender.send(&FromNew::Topics(wish));
        bus.follow(Box::new(ask));
        for change in self.changes {
            bus.apply(change);
        }
        Predecessor {
            link: self.link,
            process: self.process,
            lanes,
        }
    }
}

impl Inherited {
    fn add(
        &mut self,
        purpose: Purpose,
        place: String,
        socket: OwnedFd,
        path: &Path,
    ) -> Result<(), HandoverError> {
        match purpose {
            Purpose::Clients => self.clients.add(place, socket)?,
            Purpose::Admin => self.admin.add(place, socket)?,
            // Where this process has found the old one, whatever that calls it.
            Purpose::Successor => {
                let place = crate::net::listen::Listen::Unix(path.to_owned());
                self.successor.add(place.to_string(), socket)?;
            }
        }
        Ok(())
    }
}

impl Predecessor {
    /// Takes over the connections of the old process, until that has none left or is gone. If a successor of this one comes
    /// meanwhile, the old process is told to finish. Returns that successor.
    ///
    /// # Errors
    ///
    /// If the old process breaks off and lives on. There cannot be two.
    pub(super) async fn relieve(
        self,
        post: &Post,
        shared: &Shared,
    ) -> Result<Option<UnixStream>, HandoverError> {
        let process = self.process;
        let (waiting, taken) = self.take_all(post, shared).await;
        shared.bus.part();
        match taken {
            Ok(()) => {}
            Err(_) if lives_on(process).await => return Err(HandoverError::Independent),
            Err(error) => {
                tracing::warn!(
                    "the process before this one has not handed over everything: {error}"
                );
            }
        }
        shared.inherited.set();
        Ok(waiting)
    }

    async fn take_all(
        self,
        post: &Post,
        shared: &Shared,
    ) -> (Option<UnixStream>, Result<(), HandoverError>) {
        let Self {
            mut link, lanes, ..
        } = self;
        let (answer, mut answers) = mpsc::unbounded_channel();
        let mut taking = Taking {
            lanes,
            answer,
            undecided: HashMap::new(),
        };
        let mut waiting = None;
        link.sender.send(&FromNew::Accepting);
        loop {
            select! {
                message = link.next() => match message {
                    Ok((FromOld::Over, _)) => break,
                    Ok((FromOld::Topics(change), None)) => shared.bus.apply(change),
                    Ok((message, descriptor)) => {
                        if let Err(error) = taking.receive(message, descriptor) {
                            return (waiting, Err(error));
                        }
                    }
                    Err(error) => return (waiting, Err(error)),
                },
                () = taking.lanes.room() => link.sender.send(&FromNew::Room),
                Some((number, answer)) = answers.recv() => {
                    link.sender.send(&taking.answered(number, answer));
                }
                successor = post.successor(), if waiting.is_none() => {
                    waiting = Some(successor);
                    link.sender.send(&FromNew::Finish);
                }
            }
        }
        shared.handovers.done.fetch_add(1, Relaxed);
        let connections = shared.open();
        tracing::info!(
            connections,
            "taken over; the process before this one has ended"
        );
        (waiting, Ok(()))
    }
}

/// Whether a process lives on that has closed the link: it is given a moment to end.
async fn lives_on(process: Option<i32>) -> bool {
    let Some(process) = process else {
        return false;
    };
    for _ in 0..LOOKS {
        if !is_running(process) {
            return false;
        }
        sleep(LOOK).await;
    }
    true
}

/// Whether a process runs: one that has ended, and is not waited for yet, does not (proc_pid_stat(5)).
#[cfg(target_os = "linux")]
fn is_running(process: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = status.rsplit_once(") ").map(|(_, rest)| rest);
    state.is_some_and(|state| !state.starts_with(['Z', 'X']))
}

#[cfg(not(target_os = "linux"))]
fn is_running(process: i32) -> bool {
    let process = Pid::from_raw(process);
    process.is_some_and(|process| test_kill_process(process).is_ok())
}

/// The connections that are on their way from the old process.
struct Taking {
    lanes: Lanes,
    answer: mpsc::UnboundedSender<(u64, Result<(), Refusal>)>,
    /// Those that are still the old process's.
    undecided: HashMap<u64, oneshot::Sender<Vec<DueRecord>>>,
}

impl Taking {
    fn receive(
        &mut self,
        message: FromOld,
        descriptor: Option<OwnedFd>,
    ) -> Result<(), HandoverError> {
        match (message, descriptor) {
            (FromOld::Connection { number, departure }, Some(socket)) => {
                self.arrive(number, *departure, socket)
            }
            (FromOld::Go { number, waited }, None) => {
                let go = self
                    .undecided
                    .remove(&number)
                    .ok_or(HandoverError::Garbled)?;
                // If the task has ended, so has the connection.
                let _ = go.send(waited);
                Ok(())
            }
            (FromOld::Stay { number }, None) => {
                self.undecided.remove(&number);
                Ok(())
            }
            _ => Err(HandoverError::Garbled),
        }
    }

    fn arrive(
        &mut self,
        number: u64,
        departure: Departure,
        socket: OwnedFd,
    ) -> Result<(), HandoverError> {
        let (go, is_to_go) = oneshot::channel();
        if self.undecided.insert(number, go).is_some() {
            return Err(HandoverError::Garbled);
        }
        self.lanes.send(Incoming {
            departure,
            socket,
            answer: Answer::new(number, self.answer.clone()),
            go: is_to_go,
        });
        Ok(())
    }

    fn answered(&mut self, number: u64, answer: Result<(), Refusal>) -> FromNew {
        match answer {
            Ok(()) => FromNew::Ready { number },
            Err(refusal) => {
                self.undecided.remove(&number);
                FromNew::Refused { number, refusal }
            }
        }
    }
}
