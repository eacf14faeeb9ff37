//! How long a call may wait for what is not at hand.

use std::cell::Cell;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::guest::engine::TICK;
use crate::guest::fault::GuestFault;
use crate::guest::limits::Limits;
use crate::guest::wasi::Grants;

/// How long a call may wait in all, on a thread where it holds up nobody else, for the files of a component that was
/// granted a directory. Any other component may not wait at all, so that one that does is found out when it first
/// does, and not when its backend happens to be slow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience(Option<Duration>);

impl Patience {
    /// Not to wait.
    pub(crate) const NONE: Self = Self(None);

    /// With a component that was granted this.
    pub(crate) fn with(grants: &Grants, limits: Limits) -> Self {
        Self((!grants.directories.is_empty()).then_some(limits.file_time))
    }

    pub(crate) fn is_none(self) -> bool {
        self.0.is_none()
    }

    /// What a call is that has waited for longer.
    pub(crate) fn fault(self) -> GuestFault {
        match self.0 {
            Some(time) => GuestFault::late_by_files(time),
            None => GuestFault::blocked(),
        }
    }

    /// The waits of one call; whatever it asks about wakes `waker`, too.
    pub(crate) fn begin(self, waker: &Waker) -> Waiting {
        WAITED.set(Duration::ZERO);
        Waiting {
            begun: Instant::now(),
            time: self.0,
            waker: match self.0 {
                Some(_) => Arc::new(Both::new(waker)).into(),
                None => waker.clone(),
            },
        }
    }
}

/// The waits of one call on this thread.
pub(crate) struct Waiting {
    begun: Instant,
    time: Option<Duration>,
    pub(crate) waker: Waker,
}

impl Waiting {
    /// Waits until the call should be polled again. Whether it may: otherwise it has waited long enough.
    pub(crate) fn wait(&self) -> bool {
        let elapsed = self.begun.elapsed();
        let Some(left) = self.time.and_then(|time| time.checked_sub(elapsed)) else {
            return false;
        };
        thread::park_timeout(left);
        let waited = self.begun.elapsed().saturating_sub(elapsed);
        WAITED.set(WAITED.get().saturating_add(waited));
        true
    }
}

thread_local! {
    /// For how long the call under way has waited on this thread, as far as it was not told.
    static WAITED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The whole ticks that the call under way has waited, each told once: they are no time of the guest's.
pub(crate) fn ticks_waited() -> u64 {
    let ticks = WAITED.get().as_nanos() / TICK.as_nanos();
    let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
    WAITED.set(WAITED.get().saturating_sub(TICK.saturating_mul(ticks)));
    ticks.into()
}

/// Wakes a thread that waits, and who would be woken without it: what a call has only asked about is waited for by
/// its connection, behind the call.
struct Both {
    thread: Thread,
    waker: Waker,
}

impl Both {
    fn new(waker: &Waker) -> Self {
        Self {
            thread: thread::current(),
            waker: waker.clone(),
        }
    }
}

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.thread.unpark();
        self.waker.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(time: Duration) -> Patience {
        let grants = Grants {
            directories: vec!["a::b".parse().expect("a directory")],
            ..Grants::default()
        };
        let limits = Limits {
            file_time: time,
            ..Limits::default()
        };
        Patience::with(&grants, limits)
    }

    #[test]
    fn who_was_granted_no_directory_may_not_wait() {
        let patience = Patience::with(&Grants::default(), Limits::default());
        assert!(patience.is_none());
        assert!(!patience.begin(Waker::noop()).wait());
        assert_eq!(
            patience.fault().to_string(),
            GuestFault::blocked().to_string()
        );
    }

    #[test]
    fn a_wait_ends_when_it_is_woken() {
        let waiting = patience(Duration::from_secs(600)).begin(Waker::noop());
        let waker = waiting.waker.clone();
        let other = thread::spawn(move || waker.wake());
        assert!(waiting.wait());
        other.join().expect("it wakes");
    }

    #[test]
    fn what_was_waited_is_told_once() {
        let waiting = patience(TICK * 2).begin(Waker::noop());
        while waiting.wait() {}
        assert!(ticks_waited() >= 1);
        assert_eq!(ticks_waited(), 0);
    }

    #[test]
    fn waits_end() {
        let patience = patience(Duration::from_millis(1));
        let waiting = patience.begin(Waker::noop());
        while waiting.wait() {}
        assert_eq!(ticks_waited(), 0, "no whole one");
        let fault = patience.fault().to_string();
        assert!(fault.contains("more than 1 ms"), "{fault}");
    }
}
