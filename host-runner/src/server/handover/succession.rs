//! The start of a process that may have a process before it, and one after it.

use std::path::{Path, PathBuf};

use wasocket_bus::Bus;

use super::error::HandoverError;
use super::giving::{Giver, Heritage};
use super::post::{Post, Start};
use super::reception::{Entry, Lanes};
use super::taking::{Inherited, Meeting, Predecessor};
use crate::net::listen::Bound;

/// Where a process stands before it listens.
#[derive(Default)]
pub(crate) struct Succession {
    pub(crate) inherited: Inherited,
    place: Place,
}

#[derive(Default)]
enum Place {
    /// It cannot be taken over from.
    #[default]
    Alone,
    First(Post),
    Next(Meeting, PathBuf),
}

impl Succession {
    /// Finds out whether there is a process to take over from, which listens at this path.
    ///
    /// # Errors
    ///
    /// See [`HandoverError`].
    pub(crate) async fn begin(path: Option<&Path>) -> Result<Self, HandoverError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        match Post::start(path)? {
            Start::First(post) => Ok(Self {
                place: Place::First(post),
                ..Self::default()
            }),
            Start::Successor(stream) => {
                tracing::info!("taking over from the process at {}", path.display());
                let (meeting, inherited) = Meeting::with(stream, path).await?;
                Ok(Self {
                    inherited,
                    place: Place::Next(meeting, path.to_owned()),
                })
            }
        }
    }

    /// This process listens at these places, with this number of workers, and has these topics. Returns what hands over to the next process, and
    /// the process before with the entries of the workers, if there is one.
    ///
    /// # Errors
    ///
    /// See [`HandoverError`].
    #[allow(clippy::type_complexity, reason = "named by what they are")]
    pub(crate) fn follow(
        mut self,
        clients: &[Bound],
        admin: &[Bound],
        workers: usize,
        bus: &Bus,
    ) -> Result<(Option<Giver>, Option<Predecessor>, Vec<Entry>), HandoverError> {
        let (post, predecessor, entries) = match self.place {
            Place::Alone => return Ok((None, None, Vec::new())),
            Place::First(post) => (post, None, Vec::new()),
            Place::Next(meeting, path) => {
                let post = Post::inherit(&path, &mut self.inherited.successor)?;
                let (lanes, entries) = Lanes::to_workers(workers);
                (post, Some(meeting.continue_with(lanes, bus)), entries)
            }
        };
        let heritage = Heritage::of(clients, admin)?;
        Ok((Some(Giver { post, heritage }), predecessor, entries))
    }
}
