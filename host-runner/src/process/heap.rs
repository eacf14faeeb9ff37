//! The heap of the process.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::process::shared::Shared;

/// How often to look whether many connections have fallen asleep, and how many are many. While the heap is trimmed, other
/// threads wait that need memory of the part that is looked through.
const INTERVAL: Duration = Duration::from_secs(60);
const MANY: u64 = 1000;

/// Gives memory back that connections had while they were awake; never returns.
pub(crate) async fn trim_after_sleep(shared: &Shared) {
    let mut seen = 0;
    loop {
        sleep(INTERVAL).await;
        let fell_asleep = shared.fell_asleep();
        if fell_asleep.saturating_sub(seen) >= MANY {
            seen = fell_asleep;
            // It can only fail by a panic.
            let _ = spawn_blocking(trim).await;
        }
    }
}

/// Gives free pages in the middle of the heap back to the system, where its allocator does not by itself: after many
/// connections have fallen asleep, they are most of it. Takes milliseconds.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    #[allow(unsafe_code, reason = "rustix has no function of its own for it")]
    mod libc {
        unsafe extern "C" {
            /// malloc_trim(3).
            pub(super) safe fn malloc_trim(pad: usize) -> core::ffi::c_int;
        }
    }
    let _ = libc::malloc_trim(0);
}

/// As above: other allocators do so by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_in_use_stays() {
        let used: Vec<Vec<u8>> = (0..1000).map(|number| vec![number as u8; 5000]).collect();
        super::trim();
        let is_whole = |(number, bytes): (usize, &Vec<u8>)| *bytes == vec![number as u8; 5000];
        assert!(used.iter().enumerate().all(is_whole));
    }
}
