//! How many files, and so connections, the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What else is open: the listener, the log, what apps connect to.
const RESERVED: u64 = 64;

/// Raises the limit of open files as far as the process may, and says how many connections that allows, of
/// this many that are wanted. Fewer are a warning.
pub(crate) fn connections(wanted: usize) -> usize {
    let allowed = raise().map_or(usize::MAX, |files| {
        usize::try_from(files.saturating_sub(RESERVED).max(1)).unwrap_or(usize::MAX)
    });
    if allowed < wanted {
        tracing::warn!(
            "at most {allowed} connections instead of {wanted} (--max-connections): the system allows no more \
             open files; raise `ulimit -Hn`, or LimitNOFILE= of the service"
        );
    }
    wanted.min(allowed)
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
