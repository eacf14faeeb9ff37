//! New versions of the component: loaded, tried on a few connections, and then served; or not.
//!
//! ```text
//!   load ──▶ start ──▶ one connection ──▶ 1 % of them, at least 10 ──▶ all, and new ones ──▶ done
//!    │         │             │                     │                       │
//!    └─────────┴── refused   └─────────────────────┴───────────────────────┴── faults: returned
//! ```

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::guest::load::component::{Component, Loader};
use crate::guest::load::world::World;
use crate::observe::metrics::swap::Trial;
use crate::pool::Release;
use crate::process::shared::Shared;
use crate::server::commands::Commands;

/// How long a version is watched with one connection, and with some.
const ON_TRIAL: Duration = Duration::from_millis(300);

/// How long a version is watched with all connections, until there is no way back.
const ADOPTED: Duration = Duration::from_secs(1);

/// The time between looks at what has happened.
const LOOK: Duration = Duration::from_millis(10);

/// The most new versions that wait for their turn.
const WAITING: usize = 8;

/// Modification time and length of a file, to detect changes.
pub(in crate::server) type Stamp = Option<(SystemTime, u64)>;

pub(in crate::server) fn stamp(file: &Path) -> Stamp {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Where a version comes from.
#[derive(Clone, Debug)]
pub(in crate::server) enum Source {
    File(PathBuf),
    /// The file, unless it is the version that is served and has not changed since.
    FileIfChanged(PathBuf),
    Bytes(Bytes),
}

/// What has become of a new version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) enum Outcome {
    /// It is served.
    Done {
        /// The connections there were, and how many have moved by now.
        connections: usize,
        moved: u64,
        /// Those whose state it refused, which keep the version before or are closed.
        refused: u64,
    },
    /// It is what is served already.
    Unchanged,
    /// It could not be loaded, or does not start.
    Refused(String),
    /// It has failed this number of times, so the version before is served.
    Returned { faults: u64 },
    /// There are other new versions to be tried first, or the runner is stopping.
    Busy,
}

/// Replaces the component.
#[derive(Clone, Debug)]
pub(crate) struct Swaps(mpsc::Sender<Request>);

#[derive(Debug)]
struct Request {
    source: Source,
    answer: oneshot::Sender<Outcome>,
}

/// Where new versions arrive.
#[derive(Debug)]
pub(in crate::server) struct Requests(mpsc::Receiver<Request>);

pub(in crate::server) fn channel() -> (Swaps, Requests) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Swaps(sender), Requests(receiver))
}

impl Swaps {
    /// Replaces the component, after those that were to be replaced before. Returns when it is decided what becomes of it.
    pub(in crate::server) async fn replace(&self, source: Source) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        match self.0.try_send(Request { source, answer }) {
            Ok(()) => outcome.await.unwrap_or(Outcome::Busy),
            Err(_) => Outcome::Busy,
        }
    }
}

/// Tries new versions, one after the other.
pub(in crate::server) struct Swapper {
    pub(in crate::server) loader: Loader,
    pub(in crate::server) commands: Commands,
    pub(in crate::server) shared: Arc<Shared>,
    /// The file that is served, as it was when it was loaded; `None` if none is.
    pub(in crate::server) served: Option<(PathBuf, Stamp)>,
    /// The number of the last version.
    pub(in crate::server) number: u64,
}

impl Swapper {
    /// Never returns while there may be requests.
    pub(in crate::server) async fn run(mut self, mut requests: Requests) {
        while let Some(Request { source, answer }) = requests.0.recv().await {
            let outcome = self.swap(source).await;
            self.count(&outcome);
            // The one who asked may be gone.
            let _ = answer.send(outcome);
        }
    }

    async fn swap(&mut self, source: Source) -> Outcome {
        let served = match &source {
            Source::File(file) | Source::FileIfChanged(file) => Some((file.clone(), stamp(file))),
            Source::Bytes(_) => None,
        };
        if matches!(source, Source::FileIfChanged(_)) && served == self.served {
            return Outcome::Unchanged;
        }
        let component = match load(&self.loader, source).await {
            Ok(component) => component,
            Err(error) => return Outcome::Refused(error),
        };
        self.number = self.number.saturating_add(1);
        let release = Release {
            number: self.number,
            component,
            trial: Arc::default(),
        };
        let outcome = self.try_out(&release).await;
        if matches!(outcome, Outcome::Done { .. }) {
            self.served = served;
        }
        outcome
    }

    async fn try_out(&self, release: &Release) -> Outcome {
        let trial = &*release.trial;
        if let Err(error) = self.commands.begin_trial(release).await {
            self.commands.go_back().await;
            return Outcome::Refused(error);
        }
        let some = usize::try_from(self.shared.open() / 100).unwrap_or(usize::MAX);
        for most in [1, some.max(10)] {
            let asked = self.commands.try_on(most).await;
            if asked > 0 && !is_well(trial, asked, ON_TRIAL).await {
                return self.go_back(trial).await;
            }
        }
        let connections = self.commands.adopt().await;
        if connections > 0 && !is_well(trial, connections, ADOPTED).await {
            return self.go_back(trial).await;
        }
        self.commands.settle();
        Outcome::Done {
            connections,
            moved: trial.moved(),
            refused: trial.refused(),
        }
    }

    async fn go_back(&self, trial: &Trial) -> Outcome {
        let faults = trial.faults();
        self.commands.go_back().await;
        Outcome::Returned { faults }
    }

    fn count(&self, outcome: &Outcome) {
        let swaps = &self.shared.swaps;
        let counter = match outcome {
            Outcome::Done { .. } => &swaps.done,
            Outcome::Refused(_) => &swaps.refused,
            Outcome::Returned { .. } => &swaps.returned,
            Outcome::Unchanged | Outcome::Busy => return,
        };
        counter.fetch_add(1, Relaxed);
    }
}

/// Watches a version to which this number of connections moves. Returns whether it fails no more often than it may.
async fn is_well(trial: &Trial, connections: usize, time: Duration) -> bool {
    let tolerable = tolerable_faults(connections);
    let since = Instant::now();
    while since.elapsed() < time {
        if trial.faults() > tolerable {
            return false;
        }
        sleep(LOOK).await;
    }
    trial.faults() <= tolerable
}

/// How often a version may fail: never with few connections. With many there are some whose clients make any version fail.
fn tolerable_faults(connections: usize) -> u64 {
    connections as u64 / 100
}

/// Compiles on a thread of its own, as it may take seconds and connections continue meanwhile.
async fn load(loader: &Loader, source: Source) -> Result<Component, String> {
    let loader = loader.clone();
    let load = move || match source {
        Source::File(file) | Source::FileIfChanged(file) => loader.file(&file),
        Source::Bytes(bytes) => loader.load(World::Handler, &bytes),
    };
    match spawn_blocking(load).await {
        Ok(loaded) => loaded.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { .. } => f.write_str("the new version is served"),
            Self::Unchanged => f.write_str("the file has not changed since it was loaded"),
            Self::Refused(error) => {
                write!(
                    f,
                    "the new version cannot be served, the previous one still is: {error}"
                )
            }
            Self::Returned { faults } => write!(
                f,
                "the new version has failed {faults} times, the previous one is served again"
            ),
            Self::Busy => {
                f.write_str("other new versions wait to be tried, or the runner is stopping")
            }
        }
    }
}

impl Outcome {
    /// Logs it. `what` has brought the new version.
    pub(in crate::server) fn log(&self, what: &str) {
        match self {
            Self::Done {
                connections,
                moved,
                refused,
            } => tracing::info!(connections, moved, refused, "{what}: {self}"),
            Self::Unchanged => tracing::info!("{what}: {self}"),
            Self::Refused(_) | Self::Returned { .. } | Self::Busy => {
                tracing::error!("{what}: {self}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fault_is_too_many_for_few_connections() {
        assert_eq!([0, 1, 99].map(tolerable_faults), [0; 3]);
        assert_eq!([100, 1000].map(tolerable_faults), [1, 10]);
    }
}
