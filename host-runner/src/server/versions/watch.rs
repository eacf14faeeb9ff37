//! New versions in the component's file: with `serve --watch` whenever it changes, and at each SIGHUP if it has changed.
//!
//! The file is polled, which works on every system and in every container. A change counts only once the file has looked
//! the same twice, so that a file still being written is left alone.

use std::future::pending;
use std::path::PathBuf;
use std::time::Duration;

use tokio::select;
use tokio::signal::unix::Signal;
use tokio::time::sleep;

use super::swap::{Outcome, Source, Stamp, Swaps, stamp};

/// Time between checks of the file.
const PERIOD: Duration = Duration::from_millis(200);

/// A component's file, in the state in which its component was loaded.
#[derive(Debug)]
pub(in crate::server) struct Watched {
    pub(in crate::server) file: PathBuf,
    pub(in crate::server) loaded: Stamp,
    /// Why the file cannot be loaded, if it cannot: said once, however often a broken file is written.
    error: Option<Outcome>,
}

impl Watched {
    /// The file in its current state. Call this before loading it, so that a change in between is noticed.
    pub(in crate::server) fn new(file: PathBuf) -> Self {
        Self {
            loaded: stamp(&file),
            file,
            error: None,
        }
    }

    /// Replaces the component at each of these signals, if the file has changed, and if `watches` whenever it changes;
    /// never returns.
    pub(in crate::server) async fn follow(
        mut self,
        watches: bool,
        mut hangups: Signal,
        swaps: &Swaps,
    ) {
        loop {
            let is_asked = select! {
                hangup = hangups.recv() => hangup.is_some(),
                () = self.changed(), if watches => false,
            };
            if is_asked {
                let file = Source::FileIfChanged(self.file.clone());
                self.loaded = stamp(&self.file);
                swaps.replace(file).await.log("SIGHUP");
            } else {
                let outcome = swaps.replace(Source::File(self.file.clone())).await;
                self.say(outcome);
            }
        }
    }

    fn say(&mut self, outcome: Outcome) {
        if matches!(outcome, Outcome::Refused(_)) && self.error.as_ref() == Some(&outcome) {
            return;
        }
        outcome.log(&format!("{} has changed", self.file.display()));
        self.error = Some(outcome);
    }

    /// Waits until the file has changed and is stable again. A missing file is waited for.
    async fn changed(&mut self) {
        let mut last = self.loaded;
        loop {
            sleep(PERIOD).await;
            let now = stamp(&self.file);
            if now.is_some() && now != self.loaded && now == last {
                self.loaded = now;
                return;
            }
            last = now;
        }
    }
}

/// Replaces the component as its file changes, if it has one; never returns.
pub(in crate::server) async fn follow(
    watched: Option<Watched>,
    watches: bool,
    hangups: Signal,
    swaps: &Swaps,
) {
    match watched {
        Some(watched) => watched.follow(watches, hangups, swaps).await,
        None => pending().await,
    }
}
