//! The limit on a call's time spent waiting for files.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::guest::fault::GuestFault;
use crate::guest::limits::Limits;
use crate::guest::wasi::Grants;

/// How long a call of a component with a granted directory may wait for files in total, on a thread where it delays
/// no others. Other components may not wait at all, so that one that does is caught at once, and not only when its
/// backend happens to be slow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileWait(Option<Duration>);

impl FileWait {
    /// No waiting allowed.
    pub(crate) const NONE: Self = Self(None);

    /// The limit for a component with these grants.
    pub(crate) fn with(grants: &Grants, limits: Limits) -> Self {
        Self((!grants.directories.is_empty()).then_some(limits.file_time))
    }

    pub(crate) fn is_none(self) -> bool {
        self.0.is_none()
    }

    /// The fault of a call that waited for longer.
    pub(crate) fn fault(self) -> GuestFault {
        match self.0 {
            Some(time) => GuestFault::late_by_files(time),
            None => GuestFault::blocked(),
        }
    }

    /// Starts to measure the waits of one call. Whatever it polls wakes `waker` too.
    pub(crate) fn begin(self, waker: &Waker) -> Waiting {
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
    /// Waits until the call should be polled again. Returns false if it has waited for too long.
    pub(crate) fn wait(&self) -> bool {
        let elapsed = self.begun.elapsed();
        let Some(left) = self.time.and_then(|time| time.checked_sub(elapsed)) else {
            return false;
        };
        thread::park_timeout(left);
        true
    }
}

/// Wakes the waiting thread, and the original waker: what a call has only polled is waited for by its connection
/// after the call.
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

    fn file_wait(time: Duration) -> FileWait {
        let grants = Grants {
            directories: vec!["a::b".parse().expect("a directory")],
            ..Grants::default()
        };
        let limits = Limits {
            file_time: time,
            ..Limits::default()
        };
        FileWait::with(&grants, limits)
    }

    #[test]
    fn without_a_directory_waiting_is_not_allowed() {
        let file_wait = FileWait::with(&Grants::default(), Limits::default());
        assert!(file_wait.is_none());
        assert!(!file_wait.begin(Waker::noop()).wait());
        assert_eq!(
            file_wait.fault().to_string(),
            GuestFault::blocked().to_string()
        );
    }

    #[test]
    fn a_wake_ends_the_wait() {
        let waiting = file_wait(Duration::from_secs(600)).begin(Waker::noop());
        let waker = waiting.waker.clone();
        let other = thread::spawn(move || waker.wake());
        assert!(waiting.wait());
        other.join().expect("it wakes");
    }

    #[test]
    fn waiting_stops_at_the_limit() {
        let file_wait = file_wait(Duration::from_millis(1));
        let waiting = file_wait.begin(Waker::noop());
        while waiting.wait() {}
        let fault = file_wait.fault().to_string();
        assert!(fault.contains("more than 1 ms"), "{fault}");
    }
}
