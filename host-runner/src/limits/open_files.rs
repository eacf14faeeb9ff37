//! How many files, and so connections, the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What else is open: the log, the operator's connections, what apps connect to.
const RESERVED: u64 = 64;

/// What a worker has open: its listeners, and what its runtime waits with.
const OF_WORKER: u64 = 8;

/// Raises the limit of open files as far as the process may, and says how many connections that allows, of
/// this many that are wanted. Fewer are a warning.
pub(crate) fn connections(wanted: usize, workers: usize) -> usize {
    // The first has its own among those that are reserved.
    let further = u64::try_from(workers.saturating_sub(1)).unwrap_or(u64::MAX);
    let reserved = RESERVED.saturating_add(further.saturating_mul(OF_WORKER));
    let allowed = raise().map_or(usize::MAX, |files| {
        usize::try_from(files.saturating_sub(reserved).max(1)).unwrap_or(usize::MAX)
    });
    if allowed < wanted {
        tracing::warn!(
            "at most {allowed} connections instead of {wanted} (--max-connections): the system allows no more \
             open files; raise `ulimit -Hn`, or LimitNOFILE= of the service"
        );
    }
    wanted.min(allowed)
}

/// How many files the process may have open; none is no limit.
pub(crate) fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Returns the limit that holds then; none is no limit.
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
