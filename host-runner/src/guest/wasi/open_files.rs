//! The open files that apps may take: all but those that are kept for clients and for the operator.
//!
//! The system gives each file the lowest free number. So the number of a file opened now tells whether the files below
//! a limit are all in use, whoever uses them.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, OnceLock};

use rustix::process::{Resource, getrlimit};
use tokio::sync::Semaphore;

use crate::guest::wasi::throttle::Throttle;

/// Files kept for the admin address and for refusals.
const RESERVED: u64 = 48;

/// The process's open files. By default, nothing is kept.
#[derive(Debug, Default)]
pub struct OpenFiles {
    kept: OnceLock<Kept>,
    warnings: Throttle,
}

#[derive(Debug)]
struct Kept {
    /// An open file, to have another one like it.
    probe: File,
    /// One permit for each connection that may still be accepted.
    connections: Arc<Semaphore>,
}

impl OpenFiles {
    /// Keeps a file for each connection that may still be accepted.
    pub(crate) fn keep_for(&self, connections: &Arc<Semaphore>) {
        if let Ok(probe) = File::open("/dev/null") {
            let connections = Arc::clone(connections);
            // Only the first call counts; there is one.
            let _ = self.kept.set(Kept { probe, connections });
        }
    }

    /// Whether an app may open one more file, or a connection.
    pub(crate) fn have_room(&self) -> bool {
        let Some(kept) = self.kept.get() else {
            return true;
        };
        let has_room = kept.has_room();
        if !has_room {
            self.warn();
        }
        has_room
    }

    fn warn(&self) {
        if self.warnings.allows() {
            tracing::warn!(
                "the component opens no more connections and files: the other ones that the system allows are kept for clients; \
                 raise `ulimit -Hn`, or LimitNOFILE= of the service, or lower --max-connections"
            );
        }
    }
}

impl Kept {
    fn has_room(&self) -> bool {
        let Some(limit) = getrlimit(Resource::Nofile).current else {
            return true;
        };
        let waiting = u64::try_from(self.connections.available_permits()).unwrap_or(u64::MAX);
        let kept = waiting.saturating_add(RESERVED);
        let opened = self.probe.try_clone();
        let number = opened
            .ok()
            .and_then(|file| u64::try_from(file.as_raw_fd()).ok());
        number.is_some_and(|number| number < limit.saturating_sub(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_files_for_clients() {
        let files = OpenFiles::default();
        assert!(files.have_room(), "nothing is kept");
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20);
        let limit = usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .min(Semaphore::MAX_PERMITS);
        let connections = Arc::new(Semaphore::new(limit));
        files.keep_for(&connections);
        assert!(!files.have_room());
        connections.forget_permits(limit);
        assert!(files.have_room());
    }
}
