//! What the system knows of the process: what Prometheus expects of each under `process_..`.

use std::fs;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// When this was first asked for, in seconds since 1970.
static BEGAN: LazyLock<u64> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
});

/// The process has just begun.
pub(crate) fn begin() {
    LazyLock::force(&BEGAN);
}

/// When it began, in seconds since 1970.
pub(crate) fn began() -> u64 {
    *BEGAN
}

/// The memory that it has of its own, and shares, in bytes (proc_pid_status(5), `VmRSS`). None where the system
/// does not say.
pub(crate) fn memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// How many files it has open, the one aside that this is asked through.
pub(crate) fn open_files() -> Option<u64> {
    let files = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(files.saturating_sub(1)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says() {
        begin();
        // Later than this was written, and more than nothing.
        assert!(began() > 1_700_000_000);
        assert!(memory() > Some(1 << 20));
        let before = open_files();
        let file = fs::File::open("/proc/self/status");
        // Other tests open and close their own.
        assert!(file.is_ok() && before > Some(0) && open_files() > Some(0));
    }
}
