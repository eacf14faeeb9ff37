//! Guest faults: why an instance ended.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::task::JoinError;
use wasmtime::WasmBacktrace;

use crate::guest::engine::OutOfTime;
use crate::guest::limits::Limits;
use crate::guest::wasi::memory::MemoryExceeded;

/// Why an instance ended. The guest is to blame, except for [`FaultReason::Runner`] and [`FaultReason::System`].
///
/// Displayed with the guest's backtrace, one frame per line. For logs only; never sent to a peer.
#[derive(Clone, Debug)]
pub struct GuestFault {
    /// What the guest did.
    pub reason: FaultReason,
    /// Where in its code; with files and lines if the component has debug information.
    pub backtrace: Option<Arc<str>>,
}

/// The reason why an instance ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultReason {
    /// It trapped, or returned a value that violates the canonical ABI.
    Trap(String),
    /// A call used more than this CPU time.
    Deadline(Duration),
    /// A call did not return for a minute, though it could use only this CPU time.
    Starved(Duration),
    /// It waited for files for longer than this.
    Files(Duration),
    /// It used more than this CPU time to start.
    Start(Duration),
    /// It asked for more memory than this, in bytes.
    Memory(usize),
    /// It waited for time or input, though every function must return at once.
    Blocked,
    /// Not the guest: a thread of the runner panicked with this message.
    Runner(String),
    /// Not the guest: the system refused memory, with this error.
    System(String),
}

impl GuestFault {
    pub(crate) fn new(error: &wasmtime::Error) -> Self {
        let reason = if let Some(exceeded) = error.downcast_ref::<MemoryExceeded>() {
            FaultReason::Memory(exceeded.0)
        } else if let Some(out_of_time) = error.downcast_ref::<OutOfTime>() {
            match *out_of_time {
                OutOfTime::Used(time) => FaultReason::Deadline(time),
                OutOfTime::Starved(time) => FaultReason::Starved(time),
            }
        } else if is_out_of_memory(error) {
            FaultReason::System(error.root_cause().to_string())
        } else {
            let cause = error.root_cause().to_string();
            FaultReason::Trap(cause.trim_start_matches("wasm trap: ").to_owned())
        };
        let backtrace = error
            .downcast_ref::<WasmBacktrace>()
            .map(|backtrace| backtrace.to_string().into());
        Self { reason, backtrace }
    }

    /// Like `new`, for an instance that has not finished starting.
    pub(crate) fn at_start(error: &wasmtime::Error, limits: Limits) -> Self {
        let fault = Self::new(error);
        match fault.reason {
            FaultReason::Deadline(_) => Self {
                reason: FaultReason::Start(limits.start_time),
                ..fault
            },
            _ => fault,
        }
    }

    /// The thread that finished a call panicked, by a bug in the runner.
    pub(crate) fn of_runner(bug: JoinError) -> Self {
        let text = match bug.try_into_panic() {
            Ok(panic) => text_of(&*panic),
            Err(cancelled) => cancelled.to_string(),
        };
        FaultReason::Runner(text).into()
    }

    pub(crate) fn blocked() -> Self {
        FaultReason::Blocked.into()
    }

    pub(crate) fn late_by_files(limit: Duration) -> Self {
        FaultReason::Files(limit).into()
    }
}

impl From<FaultReason> for GuestFault {
    fn from(reason: FaultReason) -> Self {
        Self {
            reason,
            backtrace: None,
        }
    }
}

impl fmt::Display for GuestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        match &self.backtrace {
            Some(backtrace) => write!(f, "\n{backtrace}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for FaultReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap(reason) => write!(f, "the guest trapped: {reason}"),
            Self::Deadline(limit) => write!(
                f,
                "the guest used more than {} ms of CPU time in a call (--call-timeout)",
                limit.as_millis()
            ),
            Self::Starved(used) => write!(
                f,
                "the guest did not return for a minute, in which the machine gave it {} ms of CPU time",
                used.as_millis()
            ),
            Self::Files(limit) => write!(
                f,
                "the guest waited for files for more than {} ms inside a call (--file-timeout)",
                limit.as_millis()
            ),
            Self::Start(limit) => write!(
                f,
                "the guest used more than {} ms of CPU time to start (--start-timeout)",
                limit.as_millis()
            ),
            Self::Memory(limit) => write!(
                f,
                "the guest needs more than {} MiB of memory (--memory)",
                limit >> 20
            ),
            Self::Blocked => write!(
                f,
                "the guest waited inside a call, where every function must return at once"
            ),
            Self::System(error) => write!(
                f,
                "the system has no memory for the guest: {error} (see the limits of the service, and vm.max_map_count)"
            ),
            Self::Runner(text) => write!(
                f,
                "a bug in the runner, not in the guest: a thread panicked during a call: {text}"
            ),
        }
    }
}

impl std::error::Error for GuestFault {}

/// The instance has ended. The reason is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dead;

impl fmt::Display for Dead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the instance has ended")
    }
}

impl std::error::Error for Dead {}

/// Whether a system call failed for want of memory, or of memory maps.
fn is_out_of_memory(error: &wasmtime::Error) -> bool {
    let cause = error.root_cause();
    let is_io = cause
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::OutOfMemory);
    is_io || cause.downcast_ref::<Errno>() == Some(&Errno::NOMEM)
}

/// The message of a panic, if it has one.
fn text_of(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else {
        "no message".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn a_panic_of_the_runner_is_not_blamed_on_the_guest() -> std::io::Result<()> {
        let runtime = Builder::new_current_thread().build()?;
        let thread = async { tokio::task::spawn_blocking(|| panic!("index 3 of {}", 2)).await };
        let bug = runtime.block_on(thread).expect_err("a panic");
        let fault = GuestFault::of_runner(bug);
        assert_eq!(fault.reason, FaultReason::Runner("index 3 of 2".to_owned()));
        let text = fault.to_string();
        assert!(
            text.starts_with("a bug in the runner, not in the guest"),
            "{text}"
        );
        Ok(())
    }
}
