//! The wasmtime engine: how components are compiled, and the clocks that end calls.
//!
//! A call is limited by the CPU time that it uses, so that a guest is not blamed for a machine that is busy with
//! something else. Reading a thread's CPU clock is a system call, which nearly all calls are spared: the engine's epoch,
//! which advances with the time of day, only says when to look.

use std::cell::Cell;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, DynamicClockId, clock_gettime_dynamic};
use wasmtime::{Config, Engine, OptLevel, WasmBacktraceDetails};

/// The granularity of time limits on calls.
pub const TICK: Duration = Duration::from_millis(10);

/// An engine whose epoch advances every [`TICK`] for as long as the engine lives.
///
/// # Errors
///
/// If the machine cannot run wasmtime, or the clock's thread cannot be started.
pub fn engine() -> wasmtime::Result<Engine> {
    let engine = Engine::new(&config())?;
    start_ticking(&engine)?;
    Ok(engine)
}

fn config() -> Config {
    let mut config = Config::new();
    config
        // All functions of the contract are synchronous. Concurrency support would add about a microsecond to each
        // call, used or not.
        .concurrency_support(false)
        .cranelift_opt_level(OptLevel::Speed)
        // Costs nothing measurable, while fuel would slow byte loops.
        .epoch_interruption(true)
        // File and line in the backtraces of guests that carry DWARF.
        .wasm_backtrace_details(WasmBacktraceDetails::Enable);
    config
}

fn start_ticking(engine: &Engine) -> wasmtime::Result<()> {
    let engine = engine.weak();
    thread::Builder::new().name("epoch".into()).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    })?;
    Ok(())
}

/// Ticks after which a call yields to others: 10 to 20 ms.
pub(crate) const YIELD_TICKS: u64 = 2;

/// How long a call may take if it gets less CPU time than it may use, or none. Far more than a busy machine takes.
const MAX_WALL_TIME: Duration = Duration::from_secs(60);

/// The time of the current call of an instance.
#[derive(Debug, Default)]
pub(crate) struct CallClock {
    /// The CPU time it may use. What it uses before it yields does not count.
    cpu_time: Duration,
    /// When to end it regardless; `None` until it has yielded.
    ends_at: Option<Instant>,
}

/// What to do with a call whose epoch deadline has come.
#[derive(Debug, PartialEq)]
pub(crate) enum Due {
    /// It yields to others, and has this number of ticks once it is resumed.
    Yield(u64),
    /// It has this number of ticks more.
    Continue(u64),
    /// It ends here.
    End(OutOfTime),
}

impl CallClock {
    /// The clock of a call that may use this CPU time, from its start to its first deadline after [`YIELD_TICKS`].
    pub(crate) fn start(cpu_time: Duration) -> Self {
        Self {
            cpu_time,
            ends_at: None,
        }
    }

    /// Decides at a deadline of the call, on the thread that runs it.
    pub(crate) fn on_deadline(&mut self) -> Due {
        let now = Instant::now();
        let Some(ends_at) = self.ends_at else {
            let longest = MAX_WALL_TIME.saturating_add(self.cpu_time);
            self.ends_at = Some(now.checked_add(longest).unwrap_or(now));
            return Due::Yield(ticks(self.cpu_time));
        };
        let used = thread_time().saturating_sub(RESUMED_AT.get());
        match self.cpu_time.checked_sub(used) {
            None | Some(Duration::ZERO) => Due::End(OutOfTime::Used(self.cpu_time)),
            Some(_) if now >= ends_at => Due::End(OutOfTime::Starved(used)),
            Some(left) => Due::Continue(ticks(left)),
        }
    }
}

thread_local! {
    /// The CPU time of this thread when the call that it runs was resumed.
    static RESUMED_AT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Marks the point from which a resumed call uses the CPU time of this thread. Must precede the poll that resumes it.
pub(crate) fn resume() {
    RESUMED_AT.set(thread_time());
}

/// The CPU time of this thread so far; on a system without such a clock, the time since it was first asked for.
fn thread_time() -> Duration {
    thread_local! {
        static FIRST: Instant = Instant::now();
    }
    match clock_gettime_dynamic(DynamicClockId::Known(ClockId::ThreadCPUTime)) {
        Ok(time) => Duration::try_from(time).unwrap_or_default(),
        Err(_) => FIRST.with(Instant::elapsed),
    }
}

/// The error that ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutOfTime {
    /// It has used all of this CPU time.
    Used(Duration),
    /// It has used only this CPU time in [`MAX_WALL_TIME`].
    Starved(Duration),
}

impl fmt::Display for OutOfTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the call took too long: {self:?}")
    }
}

impl std::error::Error for OutOfTime {}

/// The number of ticks in which a call may use this CPU time, at least 1.
fn ticks(time: Duration) -> u64 {
    let whole = time.as_nanos().div_ceil(TICK.as_nanos());
    u64::try_from(whole).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses this CPU time of this thread.
    fn compute(time: Duration) {
        let begun = thread_time();
        while thread_time().saturating_sub(begun) < time {}
    }

    #[test]
    fn a_call_yields_once_and_ends_when_its_cpu_time_is_used() {
        let time = Duration::from_millis(25);
        let mut clock = CallClock::start(time);
        compute(time);
        assert_eq!(clock.on_deadline(), Due::Yield(3));
        resume();
        assert_eq!(clock.on_deadline(), Due::Continue(3));
        compute(time);
        assert_eq!(clock.on_deadline(), Due::End(OutOfTime::Used(time)));
    }

    #[test]
    fn time_in_which_the_thread_does_not_run_is_not_counted() {
        let time = Duration::from_millis(20);
        let mut clock = CallClock::start(time);
        assert_eq!(clock.on_deadline(), Due::Yield(2));
        resume();
        thread::sleep(2 * time);
        assert!(matches!(clock.on_deadline(), Due::Continue(_)));
        clock.ends_at = Some(Instant::now());
        assert!(matches!(
            clock.on_deadline(),
            Due::End(OutOfTime::Starved(_))
        ));
    }

    #[test]
    fn times_are_rounded_up_to_ticks() {
        assert_eq!(ticks(Duration::from_millis(100)), 10);
        assert_eq!(ticks(Duration::from_millis(101)), 11);
        assert_eq!(ticks(Duration::ZERO), 1);
    }
}
