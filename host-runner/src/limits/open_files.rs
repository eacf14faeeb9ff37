//! The limit on open files, which also limits connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files reserved for other uses: the log, the operator's connections, connections that apps open.
const RESERVED: u64 = 64;

/// Files per worker: its listeners and its runtime's event queue.
const PER_WORKER: u64 = 8;

/// Raises the limit on open files as far as allowed, and returns the number of connections that leaves room for, at
/// most `wanted`. If the app opens files of its own, half of the room is for those. Logs a warning if there are fewer
/// connections than wanted.
pub(crate) fn connections(wanted: usize, workers: usize, app_opens_files: bool) -> usize {
    // The first worker's files are part of `RESERVED`.
    let further = u64::try_from(workers.saturating_sub(1)).unwrap_or(u64::MAX);
    let reserved = RESERVED.saturating_add(further.saturating_mul(PER_WORKER));
    let allowed = raise().map_or(usize::MAX, |files| {
        let room = files.saturating_sub(reserved);
        let room = if app_opens_files { room / 2 } else { room };
        usize::try_from(room.max(1)).unwrap_or(usize::MAX)
    });
    if allowed < wanted {
        tracing::warn!(
            "connection limit lowered from {wanted} to {allowed} (--max-connections), as the system allows no \
             more open files; raise `ulimit -Hn`, or LimitNOFILE= of the service"
        );
    }
    wanted.min(allowed)
}

/// The current limit; `None` if there is none.
pub(crate) fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises the soft limit to the hard limit and returns the limit that now applies; `None` if there is none.
fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    }
}
