//! The wasmtime engine: how components are compiled, and the clock that ends calls.

use std::thread;
use std::time::Duration;

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

/// The number of ticks that limits a call to `time`: one more than fit into it, since the first may come at once, so
/// that no call is ended early.
pub(crate) fn ticks(time: Duration) -> u64 {
    let whole = time.as_nanos().div_ceil(TICK.as_nanos());
    u64::try_from(whole).unwrap_or(u64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_never_ended_early() {
        assert_eq!(ticks(Duration::from_millis(100)), 11);
        assert_eq!(ticks(Duration::from_millis(101)), 12);
        assert_eq!(ticks(Duration::from_millis(1)), 2);
    }
}
