//! Statistics of the process from the system, which Prometheus expects under `process_..`.

use std::fs;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// The time of the first access, in seconds since 1970.
static BEGAN: LazyLock<u64> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
});

/// Records the start of the process.
pub(crate) fn begin() {
    LazyLock::force(&BEGAN);
}

/// The start of the process, in seconds since 1970.
pub(crate) fn began() -> u64 {
    *BEGAN
}

/// Resident memory, in bytes (proc_pid_status(5), `VmRSS`); `None` if the system does not say.
pub(crate) fn memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Number of open files, not counting the one used to find out.
pub(crate) fn open_files() -> Option<u64> {
    let files = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(files.saturating_sub(1)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_provides_statistics() {
        begin();
        // A time after this was written.
        assert!(began() > 1_700_000_000);
        assert!(memory() > Some(1 << 20));
        let before = open_files();
        let file = fs::File::open("/proc/self/status");
        // Other tests open and close files too.
        assert!(file.is_ok() && before > Some(0) && open_files() > Some(0));
    }
}
